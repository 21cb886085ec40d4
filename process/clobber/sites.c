// SPDX-License-Identifier: MIT
#include "process/clobber/sites.h"

#include <string.h>

#define SITES_SCANS 4

static bool add_site(struct sites *sites, uint64_t address)
{
	if (sites->n == sites->capacity) {
		size_t capacity = sites->capacity ? 2 * sites->capacity : 16;
		uint64_t *v = reallocarray(sites->v, capacity, sizeof(*v));
		if (!v)
			return false;
		sites->v = v;
		sites->capacity = capacity;
	}
	sites->v[sites->n++] = address;
	return true;
}

void sites_deinit(struct sites *sites)
{
	free(sites->v);
	*sites = (struct sites){0};
}

/* Whether decoding from the start of the function that covers address meets an instruction there. */
static bool is_met(struct analysis *a, uint64_t address)
{
	struct function_extent function;
	if (!analysis_function(a, address, &function))
		return true; /* not known: taken for one */
	for (uint64_t at = function.start; at <= address;) {
		if (at == address)
			return true;
		const struct insn *insn = text_at(&a->text, at);
		at += insn ? insn->length : 1;
	}
	return false;
}

static bool is_short(uint8_t byte)
{
	return byte == 0xeb || (byte & 0xf0) == 0x70 || (byte & 0xfc) == 0xe0;
}

/* The length of a near branch that begins with these bytes, its displacement last; 0: none. */
static size_t near_length(const uint8_t *bytes)
{
	if ((bytes[0] & 0xfe) == 0xe8)
		return 5;
	return bytes[0] == 0x0f && (bytes[1] & 0xf0) == 0x80 ? 6 : 0;
}

/* Calls fn for every byte that can begin a direct branch, until it returns false. */
static bool each_branch(const struct text *text, bool (*fn)(void *context, const struct branch *branch),
			void *context)
{
	for (size_t p = 0; p < text->n_pieces; p++) {
		const struct text_piece *piece = &text->pieces[p];
		for (uint64_t i = 0; i + 2 <= piece->size; i++) {
			const uint8_t *bytes = piece->bytes + i;
			struct branch branch = {.site = piece->address + i};
			size_t length = near_length(bytes);
			if (length && length <= piece->size - i) {
				int32_t displacement;
				memcpy(&displacement, bytes + length - 4, 4);
				branch.target = branch.site + length + (int64_t)displacement;
			} else if (is_short(bytes[0])) {
				branch.is_short = true;
				branch.target = branch.site + 2 + (int64_t)(int8_t)bytes[1];
			} else {
				continue;
			}
			if (!fn(context, &branch))
				return false;
		}
	}
	return true;
}

struct search {
	struct analysis *a;
	uint64_t start, size;
	struct sites sites;
};

static bool look_at_branch(void *context, const struct branch *branch)
{
	struct search *search = context;
	if (branch->target - search->start >= search->size ||
	    (branch->is_short && !is_met(search->a, branch->site)))
		return true;
	return add_site(&search->sites, branch->site);
}

static bool index_branch(void *context, const struct branch *branch)
{
	struct analysis *a = context;
	if (!text_has(&a->text, branch->target))
		return true;
	if (a->n_branches == a->branches_capacity) {
		size_t capacity = a->branches_capacity ? 2 * a->branches_capacity : 4096;
		struct branch *v = reallocarray(a->branches, capacity, sizeof(*v));
		if (!v)
			return false;
		a->branches = v;
		a->branches_capacity = capacity;
	}
	a->branches[a->n_branches++] = *branch;
	return true;
}

static int compare_branches(const void *a, const void *b)
{
	const struct branch *x = a, *y = b;
	if (x->target != y->target)
		return x->target < y->target ? -1 : 1;
	return x->site < y->site ? -1 : x->site > y->site;
}

static bool find_by_index(struct search *search)
{
	struct analysis *a = search->a;
	size_t low = 0, high = a->n_branches;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (a->branches[middle].target < search->start)
			low = middle + 1;
		else
			high = middle;
	}
	for (; low < a->n_branches && a->branches[low].target - search->start < search->size; low++)
		if (!look_at_branch(search, &a->branches[low]))
			return false;
	return true;
}

/* Most questions end after one or two searches, quicker than an index is made. */
struct usp_error *sites_find(struct analysis *a, uint64_t start, uint64_t end, struct sites *ret)
{
	struct search search = {.a = a, .start = start, .size = end - start};
	bool ok = true;
	if (++a->sites_asked == SITES_SCANS && (ok = each_branch(&a->text, index_branch, a)) && a->n_branches)
		qsort(a->branches, a->n_branches, sizeof(*a->branches), compare_branches);
	if (ok)
		ok = a->sites_asked < SITES_SCANS ? each_branch(&a->text, look_at_branch, &search)
						  : find_by_index(&search);
	if (!ok) {
		sites_deinit(&search.sites);
		a->no_memory = true;
		return &usp_error_no_memory;
	}
	*ret = search.sites;
	return NULL;
}

/* The file's bytes of .dynsym; none: no section headers say where. */
static struct range dynamic_symbols(const struct module *module)
{
	for (size_t i = 0; i < module->n_shdr; i++)
		if (module->shdr[i].sh_type == SHT_DYNSYM)
			return (struct range){module->shdr[i].sh_offset,
					      module->shdr[i].sh_offset + module->shdr[i].sh_size};
	return (struct range){0};
}

/* An aligned word of what is loaded; symbol tables and debug information, which are not, hold every address. */
static bool is_held(const struct module *module, uint64_t address, bool exports)
{
	struct range left_out = exports ? (struct range){0} : dynamic_symbols(module);
	for (size_t k = 0; k < module->n_phdr; k++) {
		const Elf64_Phdr *p = &module->phdr[k];
		if (p->p_type != PT_LOAD || p->p_offset > module->file_size)
			continue;
		uint64_t end = module->file_size - p->p_offset < p->p_filesz ? module->file_size
									     : p->p_offset + p->p_filesz;
		for (uint64_t i = (p->p_offset + 7) & ~UINT64_C(7); i + 8 <= end; i += 8)
			if (!memcmp(module->file + i, &address, 8) &&
			    (i < left_out.start || i >= left_out.end))
				return true;
	}
	return false;
}

bool sites_address_taken(struct analysis *a, uint64_t address, bool exports)
{
	const struct module *module = a->text.module;
	for (size_t p = 0; p < a->text.n_pieces; p++) {
		const struct text_piece *piece = &a->text.pieces[p];
		for (uint64_t i = 0; i + 6 <= piece->size; i++) {
			const uint8_t *bytes = piece->bytes + i;
			int32_t value;
			/* lea and mov with a displacement from rip; mov and push of 4 bytes, in low
			 * addresses. */
			bool relative = bytes[0] == 0x8d && (bytes[1] & 0xc7) == 0x05;
			memcpy(&value, bytes + 2, 4);
			if (relative && piece->address + i + 6 + (int64_t)value == address)
				return true;
			if (address <= INT32_MAX && (uint64_t)value == address)
				return true;
		}
	}
	return is_held(module, address, exports);
}
