// SPDX-License-Identifier: MIT
/*
 * What counts as inside a function. A list of parts, each decoded once:
 *
 * 1. the function's own range;
 * 2. what its names' .cold and .part symbols cover;
 * 3. where its direct jumps land outside of all parts, if no other function begins there: the FDE that holds
 * the landing, else the symbol, else the straight run of instructions from there on;
 * 4. the landing pads of its exception table;
 * 5. in a module without .symtab: every unnamed FDE that jumps into the middle of a part (a .cold that only a
 * jump table or an unwinder leads to).
 *
 * Steps 2 to 5 are applied to each new part, until there is none. A jump to an unnamed FDE's start counts as
 * a part: it may be a tail call, but then we only wait for one function too many.
 */
#include <errno.h>
#include <string.h>

#include "process/branch.h"
#include "process/elf/symbol_table.h"

#define PARTS_MAX 65536u
#define RUN_MAX	  65536u /* bytes of code that neither a symbol nor an FDE covers */

struct parts {
	struct module *module;
	struct symbol_table *table;
	struct branch_decoder *decoder;
	struct range *v; /* link-time, disjoint or not, in order of discovery */
	size_t n, capacity;
	struct usp_error *error;
};

static bool is_inside(const struct parts *parts, uint64_t address)
{
	for (size_t i = 0; i < parts->n; i++)
		if (address >= parts->v[i].start && address < parts->v[i].end)
			return true;
	return false;
}

static int parts_add(struct parts *parts, uint64_t start, uint64_t end)
{
	for (size_t i = 0; i < parts->n; i++)
		if (start >= parts->v[i].start && end <= parts->v[i].end)
			return 0;
	if (start >= end)
		return 0;
	if (parts->n == PARTS_MAX)
		return -E2BIG;
	if (parts->n == parts->capacity) {
		size_t capacity = parts->capacity ? 2 * parts->capacity : 8;
		struct range *v = reallocarray(parts->v, capacity, sizeof(*v));
		if (!v)
			return -ENOMEM;
		parts->v = v;
		parts->capacity = capacity;
	}
	parts->v[parts->n++] = (struct range){start, end};
	return 0;
}

/* ".cold", ".cold.3", ".part.0", ".part.0.cold": what follows a function's name in those of its parts. */
static bool is_part_suffix(const char *rest)
{
	if (strncmp(rest, ".cold", 5) == 0)
		return rest[5] == '\0' || rest[5] == '.';
	return strncmp(rest, ".part.", 6) == 0;
}

static int add_named_parts(struct parts *parts, const struct entry *function)
{
	const struct symbol_set *set = &parts->table->full;
	size_t length = strlen(function->name);
	for (size_t i = 0; i < set->n; i++) {
		const struct entry *entry = &set->v[i];
		if (strncmp(entry->name, function->name, length) != 0 ||
		    !is_part_suffix(entry->name + length) || !entry_is_class(entry, STT_FUNC) ||
		    !elf_file_is_code(parts->module->elf, entry->value, 1))
			continue;
		/* Two files may have each a static function of this name. For a global one, any may be its
		 * part. */
		if (function->binding == STB_LOCAL && function->file && entry->file &&
		    strcmp(function->file, entry->file) != 0)
			continue;
		const struct fde *fde = fde_table_starting(&parts->table->fdes, entry->value);
		uint64_t end = entry->size ? entry->value + entry->size : fde ? fde->end : entry->value;
		int r = parts_add(parts, entry->value, end);
		if (r < 0)
			return r;
	}
	return 0;
}

/* All names of the function that begins at address. */
static int add_parts_by_name(struct parts *parts, uint64_t address)
{
	const struct symbol_set *set = &parts->table->full;
	for (size_t i = 0; i < set->n; i++) {
		const struct entry *entry = &set->v[i];
		if (entry->value != address || !entry_is_class(entry, STT_FUNC))
			continue;
		int r = add_named_parts(parts, entry);
		if (r < 0)
			return r;
	}
	return 0;
}

/* A linkage stub: [endbr64] [bnd] jmp *slot(%rip). */
static bool is_stub(const struct parts *parts, uint64_t address)
{
	for (int i = 0; i < 2; i++) {
		struct step step;
		uint64_t extent = elf_file_extent(parts->module->elf, address);
		uint64_t n = extent < BRANCH_INSTRUCTION_MAX ? extent : BRANCH_INSTRUCTION_MAX;
		const uint8_t *bytes = elf_file_at_address(parts->module->elf, address, n);
		if (!bytes || !branch_decode(parts->decoder, bytes, n, address, &step))
			return false;
		if (step.is_branch)
			return step.by_slot;
		if (!step.is_landmark)
			return false;
		address += step.length;
	}
	return false;
}

/* Code that nothing describes: up to the first instruction that ends a run, or the next known thing. */
static int add_run(struct parts *parts, uint64_t start)
{
	ssize_t next = function_before(parts->table, start) + 1;
	uint64_t n = elf_file_extent(parts->module->elf, start), at = 0;
	if ((size_t)next < parts->table->n_functions && parts->table->functions[next].start - start < n)
		n = parts->table->functions[next].start - start;
	if (n > RUN_MAX)
		n = RUN_MAX;
	const uint8_t *bytes = elf_file_at_address(parts->module->elf, start, n);
	struct step step = {0};
	while (bytes && at < n && !step.ends && !fde_table_starting(&parts->table->fdes, start + at + !at)) {
		if (!branch_decode(parts->decoder, bytes + at, n - at, start + at, &step))
			return -EILSEQ;
		at += step.length;
	}
	return bytes ? parts_add(parts, start, start + at) : -EILSEQ;
}

/* A direct jump out of all parts: a tail call, or a part that was not known. */
static int land(struct parts *parts, uint64_t target)
{
	const struct symbol_table *table = parts->table;
	if (is_inside(parts, target) || !elf_file_is_code(parts->module->elf, target, 1))
		return 0;
	ssize_t i = function_before(table, target);
	if (i >= 0 && table->functions[i].start == target &&
	    !strstr(table->functions[i].entry->name, ".cold"))
		return 0; /* another function's entry: a tail call */
	if (is_stub(parts, target))
		return 0;
	const struct fde *fde = fde_table_find(&table->fdes, target);
	if (fde)
		return parts_add(parts, fde->start, fde->end);
	const struct function *function = function_covering(table, target);
	if (function)
		return parts_add(parts, function->start, function->end);
	return add_run(parts, target);
}

static int follow_jumps(struct parts *parts, struct range part)
{
	const uint8_t *bytes = elf_file_at_address(parts->module->elf, part.start, part.end - part.start);
	if (!bytes)
		return -EFAULT;
	for (uint64_t at = part.start; at < part.end;) {
		struct step step;
		if (!branch_decode(parts->decoder, bytes + (at - part.start), part.end - at, at, &step)) {
			parts->error =
				usp_errorf(USP_UNSUPPORTED,
					   "cannot decode the code at 0x%lx of %s (0x%lx in the file), part "
					   "of the function: data between the instructions?",
					   at + parts->module->bias, parts->module->name, at);
			return -EILSEQ;
		}
		int r = step.is_branch && step.is_direct ? land(parts, step.target) : 0;
		if (r < 0)
			return r;
		at += step.length;
	}
	return 0;
}

/*
 * Jumps from one FDE into the middle of another, by unnamed ones: what a .cold does when its name is gone.
 * Found once for a module. What cannot be decoded (data in hand-written code) is passed over: the compiler's
 * .cold can be.
 */
static int find_crossings(struct parts *parts)
{
	struct symbol_table *table = parts->table;
	size_t capacity = 0;
	for (size_t i = 0; i < table->fdes.n; i++) {
		const struct fde *fde = &table->fdes.v[i];
		ssize_t named = function_before(table, fde->start);
		const uint8_t *bytes =
			elf_file_at_address(parts->module->elf, fde->start, fde->end - fde->start);
		if (!bytes || (named >= 0 && table->functions[named].start == fde->start))
			continue;
		for (uint64_t at = fde->start; at < fde->end;) {
			struct step step;
			if (!branch_decode(parts->decoder, bytes + (at - fde->start), fde->end - at, at,
					   &step))
				break;
			at += step.length;
			if (!step.is_branch || !step.is_direct ||
			    (step.target >= fde->start && step.target < fde->end) ||
			    fde_table_starting(&table->fdes, step.target))
				continue;
			if (table->n_crossings == capacity) {
				capacity = capacity ? 2 * capacity : 256;
				struct crossing *v = reallocarray(table->crossings, capacity, sizeof(*v));
				if (!v)
					return -ENOMEM;
				table->crossings = v;
			}
			table->crossings[table->n_crossings++] = (struct crossing){i, step.target};
		}
	}
	table->crossings_loaded = true;
	return 0;
}

static int follow_crossings(struct parts *parts, struct range part)
{
	struct symbol_table *table = parts->table;
	if (table->has_symtab)
		return 0;
	if (!table->crossings_loaded) {
		table->n_crossings = 0;
		int r = find_crossings(parts);
		if (r < 0)
			return r;
	}
	for (size_t i = 0; i < table->n_crossings; i++) {
		const struct crossing *crossing = &table->crossings[i];
		const struct fde *from = &table->fdes.v[crossing->fde];
		if (crossing->target <= part.start || crossing->target >= part.end)
			continue;
		int r = parts_add(parts, from->start, from->end);
		if (r < 0)
			return r;
	}
	return 0;
}

static int land_pad(void *context, uint64_t address)
{
	return land(context, address);
}

/* The exception tables of all FDEs that lie in the part. */
static int follow_landing_pads(struct parts *parts, struct range part)
{
	const struct fde_table *fdes = &parts->table->fdes;
	const struct fde *first = fde_table_find(fdes, part.start);
	for (const struct fde *fde = first; fde && fde < fdes->v + fdes->n && fde->start < part.end; fde++) {
		int r = fde_each_landing_pad(parts->module->elf, fde, land_pad, parts);
		if (r < 0) {
			if (r == -EBADMSG)
				parts->error =
					usp_errorf(USP_UNSUPPORTED,
						   "the exception table of the function at 0x%lx of %s "
						   "cannot be understood",
						   fde->start + parts->module->bias, parts->module->name);
			return r;
		}
	}
	return 0;
}

static int parts_find(struct parts *parts, uint64_t start, uint64_t end)
{
	int r = parts_add(parts, start, end);
	if (r == 0)
		r = add_parts_by_name(parts, start);
	for (size_t i = 0; r == 0 && i < parts->n; i++) {
		struct range part = parts->v[i]; /* the array may move */
		r = follow_jumps(parts, part);
		if (r == 0)
			r = follow_landing_pads(parts, part);
		if (r == 0)
			r = follow_crossings(parts, part);
	}
	return r;
}

/* How long a function is whose size nobody gave. */
static uint64_t known_end(const struct symbol_table *table, uint64_t start)
{
	ssize_t i = function_before(table, start);
	if (i >= 0 && table->functions[i].start == start && table->functions[i].end > start)
		return table->functions[i].end;
	const struct fde *fde = fde_table_starting(&table->fdes, start);
	return fde ? fde->end : start;
}

static struct usp_error *parts_error(struct parts *parts, int r, uint64_t address)
{
	if (parts->error)
		return parts->error;
	if (r == -ENOMEM)
		return &usp_error_no_memory;
	return usp_errorf(USP_UNSUPPORTED,
			  "cannot tell which code belongs to the function at 0x%lx of %s: %s", address,
			  parts->module->name,
			  r == -E2BIG ? "it has too many parts" : "a jump leads to what is not code");
}

struct usp_error *function_ranges(struct module *module, uint64_t address, uint64_t size,
				  struct range_set *set)
{
	struct parts parts = {.module = module};
	struct usp_error *error = symbol_table_functions(module, &parts.table);
	if (error)
		return error;
	uint64_t start = address - module->bias, end = size ? start + size : known_end(parts.table, start);
	if (end <= start || !elf_file_is_code(module->elf, start, end - start))
		return usp_errorf(USP_NOT_FOUND, "at 0x%lx of %s is no function of a known size", address,
				  module->name);
	if (!parts.table->has_symtab && !parts.table->fdes.complete)
		return usp_errorf(
			USP_UNSUPPORTED,
			"%s has neither symbols nor an .eh_frame that can be understood: which code belongs "
			"to a function cannot be told; install its debug symbols",
			module->name);
	parts.decoder = branch_decoder_create();
	int r = parts.decoder ? parts_find(&parts, start, end) : -ENOMEM;
	branch_decoder_destroy(parts.decoder);
	for (size_t i = 0; r == 0 && i < parts.n; i++)
		r = range_set_add(set, parts.v[i].start + module->bias, parts.v[i].end + module->bias);
	free(parts.v);
	return r < 0 ? parts_error(&parts, r, address) : NULL;
}
