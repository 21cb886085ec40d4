// SPDX-License-Identifier: MIT
#include "process/pads.h"

#include <stdlib.h>
#include <string.h>

#include "process/displace.h"

#define PAGE	  4096u
#define CODE_MAX  (16u << 20) /* of one range of a function */
#define ALIGNMENT 16u

/* Whether any piece of the old function may enter the site behind its start. Not found out: it may. */
static struct usp_error *find_enterable(const struct target *target, struct record_function *function)
{
	function->enterable = false;
	for (size_t i = 0; i < function->n_ranges && !function->enterable; i++) {
		const struct range *range = &function->ranges[i];
		uint64_t size = range->end - range->start;
		if (size > CODE_MAX) {
			function->enterable = true;
			break;
		}
		_cleanup_free_ uint8_t *code = malloc(size + 1);
		if (!code)
			return &usp_error_no_memory;
		function->enterable = target_read(target, range->start, code, size) < 0;
		if (function->enterable)
			break;
		/* What another payload has written there is not what the old code looks like. */
		if (function->site >= range->start && function->site < range->end &&
		    function->site_length <= range->end - function->site)
			memcpy(code + (function->site - range->start), function->original,
			       function->site_length);
		function->enterable =
			displace_enters_site(code, size, range->start, function->site, function->site_length);
	}
	return NULL;
}

static struct usp_error *make_one(const struct target *target, struct record_function *function,
				  uint64_t address, uint8_t *pad, size_t *size)
{
	uint8_t code[DISPLACE_SITE_MAX + DISPLACE_LOOK_AHEAD];
	size_t n = function->site_length, covered;
	*size = 0;
	memcpy(code, function->original, n);
	for (unsigned i = 0; i < DISPLACE_LOOK_AHEAD; i++, n++)
		if (target_read(target, function->site + n, &code[n], 1) < 0)
			break;
	struct usp_error *error =
		displace(code, n, function->site, function->site_length, address, pad, size, &covered);
	if (!error || error->code != USP_UNSUPPORTED)
		return error;
	usp_error_destroy(error);
	*size = 0;
	return NULL;
}

struct usp_error *pads_make(const struct target *target, struct record *record, struct pads *ret)
{
	uint64_t base = record->image_base + record->image_size;
	size_t used = 0;
	*ret = (struct pads){0};
	uint8_t *bytes = calloc(record->n_functions + 1, DISPLACE_MAX + ALIGNMENT);
	if (!bytes)
		return &usp_error_no_memory;
	struct usp_error *error = NULL;
	for (size_t i = 0; i < record->n_functions && !error; i++) {
		struct record_function *function = &record->functions[i];
		size_t size;
		error = make_one(target, function, base + used, bytes + used, &size);
		if (!error)
			error = find_enterable(target, function);
		function->pad = size ? base + used : 0;
		function->pad_size = (uint32_t)size;
		used = (used + size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
	}
	if (error) {
		free(bytes);
		return error;
	}
	size_t size = (used + PAGE - 1) & ~(size_t)(PAGE - 1);
	uint8_t *all = realloc(bytes, size + 1);
	if (!all) {
		free(bytes);
		return &usp_error_no_memory;
	}
	memset(all + used, 0xcc, size - used);
	record->pads_size = size;
	*ret = (struct pads){all, size};
	return NULL;
}

void pads_deinit(struct pads *pads)
{
	free(pads->bytes);
	*pads = (struct pads){0};
}
