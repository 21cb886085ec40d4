// SPDX-License-Identifier: MIT
#include "build/verify.h"

#include <stdio.h>

#include "build/resolve.h"
#include "payload/image.h"
#include "process/clobber/clobber.h"

/* Made up, far from 0, with room for everything within reach. */
#define IMAGE_BASE   UINT64_C(0x100000000)
#define NAMES_OFFSET UINT64_C(0x40000000)
#define IMAGE_ALIGN  UINT64_C(0x100000) /* how far behind a module that cannot move */

static void payload_destroyp(struct payload **payload)
{
	payload_destroy(*payload);
}

static void image_destroyp(struct payload_image **image)
{
	payload_image_destroy(*image);
}

struct trial {
	uint64_t base, names; /* where the image is; where everything that it names is */
};

/*
 * A program that is not position-independent lies where its file says, below 2 GiB, and the upload finds a
 * place beside it: there code compiled with -fno-pic works, and addresses of 32 bits are good ones.
 */
static struct trial trial_place(const struct module *module)
{
	uint64_t behind = (module->end + 2 * IMAGE_ALIGN - 1) & ~(IMAGE_ALIGN - 1);
	if (module->ehdr.e_type != ET_EXEC || !module->start || behind < module->end || behind > INT64_MAX)
		return (struct trial){IMAGE_BASE, IMAGE_BASE + NAMES_OFFSET};
	return (struct trial){behind, module->start};
}

/*
 * -fipa-ra: does a caller keep something in a register that the old function leaves alone and the new one
 * does not? The relocated text is asked, so that calls lead where they will lead: inside, or out through a
 * slot or to a far name.
 */
static struct usp_error *check_each(const struct against *against, const struct payload *payload,
				    const struct payload_image *image, const struct range_set *replaced)
{
	const uint8_t *text = image->bytes + (image->text_start - image->base);
	size_t size = image->text_end - image->text_start;
	for (size_t i = 0; i < payload->n_functions; i++) {
		const struct payload_function *function = &payload->functions[i];
		if (function->is_nop || function->has_witness)
			continue;
		uint64_t entry =
			payload_image_address(payload, image, function->replacement) - image->text_start;
		clobber_set fresh = CLOBBER_ALL;
		struct usp_error *error =
			clobber_of_code(text, size, entry, function->replacement_size, &fresh);
		if (!error)
			error = clobber_check_among(
				against->module, function->old_address, function->old_size,
				function->name ? function->name : "the function", fresh, replaced);
		if (error)
			return error;
	}
	return NULL;
}

/* A caller that is replaced with the function was compiled with the new one in sight. */
static struct usp_error *check_registers(const struct against *against, const struct payload *payload,
					 const struct payload_image *image)
{
	struct range_set replaced = {0};
	struct usp_error *error = NULL;
	for (size_t i = 0; i < payload->n_functions && !error; i++) {
		const struct payload_function *function = &payload->functions[i];
		if (!function->is_nop && function->old_address)
			error = function_ranges(against->module,
						function->old_address + against->module->bias,
						function->old_size, &replaced);
	}
	range_set_seal(&replaced);
	if (!error)
		error = check_each(against, payload, image, &replaced);
	range_set_deinit(&replaced);
	return error;
}

/* A name that the payload defines for all to see must not be the target's: which one would a reference mean?
 */
static struct usp_error *check_exports(const struct against *against, const struct payload *payload)
{
	for (size_t i = 0; i < payload->n_exports; i++) {
		struct symbol symbol;
		struct usp_error *error =
			symbol_find(against->module, payload->exports[i], NULL, STT_NOTYPE, &symbol);
		if (!error && symbol.binding != STB_LOCAL)
			return usp_errorf(USP_EXISTS,
					  "the payload defines %s, which %s has already: make it static, or "
					  "give it another name",
					  payload->exports[i], against->name);
		if (error == &usp_error_no_memory)
			return error;
		usp_error_destroy(error);
	}
	return NULL;
}

struct usp_error *verify_payload(const struct usp_cc_options *options, const struct against *against,
				 const void *bytes, size_t size)
{
	_cleanup_(payload_destroyp) struct payload *payload = NULL;
	_cleanup_(image_destroyp) struct payload_image *image = NULL;
	struct trial trial = trial_place(against->module);
	_cleanup_(resolver_deinit) struct resolver resolver = {
		.options = options, .against = against, .address = trial.names};
	struct usp_error *error = payload_read(bytes, size, true, &payload);
	if (!error)
		error = payload_image_build(payload, trial.base, resolve_reference, &resolver, &image);
	if (!error)
		error = check_exports(against, payload);
	if (!error)
		error = check_registers(against, payload, image);
	return error;
}
