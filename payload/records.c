// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include "payload/records.h"

#include <stdlib.h>
#include <string.h>

#include <usplice/payload.h>

#define HOOKS_PREFIX ".usplice.hooks."

static const char *const hook_names[PAYLOAD_HOOK_KINDS] = {
	[PAYLOAD_HOOK_LOAD] = "load",
	[PAYLOAD_HOOK_UNLOAD] = "unload",
	[PAYLOAD_HOOK_PRE_APPLY] = "pre-apply",
	[PAYLOAD_HOOK_POST_APPLY] = "post-apply",
	[PAYLOAD_HOOK_PRE_REVERT] = "pre-revert",
	[PAYLOAD_HOOK_POST_REVERT] = "post-revert",
	[PAYLOAD_HOOK_APPLY] = "apply",
	[PAYLOAD_HOOK_REVERT] = "revert",
};

_Static_assert(sizeof(struct usplice_function) == 128, "format 1");
_Static_assert(sizeof(struct usplice_symbol) == 32, "format 1");
_Static_assert(USPLICE_EXPECTED_MAX == PAYLOAD_NOP_MAX, "format 1");

const struct payload_section *payload_records_section(const struct payload_file *file, const char *name)
{
	for (uint32_t i = 1; i < file->n_sections; i++) {
		if (file->sections[i].kind == PAYLOAD_SECTION_RECORDS &&
		    !strcmp(file->sections[i].name, name))
			return &file->sections[i];
	}
	return NULL;
}

/* Only sections that are known, each once: an unknown one may be what makes the payload safe. */
static struct usp_error *check_sections(const struct payload_file *file)
{
	for (uint32_t i = 1; i < file->n_sections; i++) {
		const struct payload_section *s = &file->sections[i];
		if (s->kind != PAYLOAD_SECTION_RECORDS)
			continue;
		bool known = !strcmp(s->name, ".usplice.funcs") || !strcmp(s->name, ".usplice.symbols") ||
			     !strcmp(s->name, ".usplice.info");
		for (int kind = 0; kind < PAYLOAD_HOOK_KINDS && !strncmp(s->name, HOOKS_PREFIX, 15); kind++)
			known = known || !strcmp(s->name + 15, hook_names[kind]);
		if (!known)
			return payload_bad("section %s (%u): not known to this usplice", s->name, i);
		if (payload_records_section(file, s->name) != s)
			return payload_bad("section %s (%u): is there twice", s->name, i);
	}
	return NULL;
}

/* A pointer of a record: where its relocation says it goes. */
struct pointer {
	bool set;
	struct payload_place place;
};

/*
 * The pointers of all records of a section, one for each 8 bytes; the caller frees. Each is a R_X86_64_64
 * against something that the payload defines, alone in its place, and the bytes under it are 0.
 */
static struct usp_error *read_pointers(const struct payload_file *file, const struct payload_section *s,
				       struct pointer **ret)
{
	_cleanup_free_ struct pointer *v = calloc(s->size / 8 + 1, sizeof(*v));
	if (!v)
		return &usp_error_no_memory;
	for (size_t i = 0; i < s->n_relocations; i++) {
		const struct payload_relocation *r = &s->relocations[i];
		if (r->type == R_X86_64_NONE)
			continue;
		const struct payload_symbol *symbol = &file->symbols[r->symbol];
		if (r->offset % 8)
			return payload_bad("section %s: a relocation at 0x%llx, which is no pointer", s->name,
					   (unsigned long long)r->offset);
		struct pointer *p = &v[r->offset / 8];
		if (p->set)
			return payload_bad("section %s: two relocations at 0x%llx", s->name,
					   (unsigned long long)r->offset);
		if (symbol->section == SHN_UNDEF || symbol->section == SHN_ABS)
			return payload_bad("section %s: the pointer at 0x%llx is to %s, which this payload "
					   "does not define",
					   s->name, (unsigned long long)r->offset,
					   payload_symbol_name(file, symbol));
		*p = (struct pointer){true, {symbol->section, symbol->value + (uint64_t)r->addend}};
		if (p->place.offset >= file->sections[symbol->section].size)
			return payload_bad("section %s: the pointer at 0x%llx is outside of section %s",
					   s->name, (unsigned long long)r->offset,
					   file->sections[symbol->section].name);
	}
	*ret = v;
	v = NULL;
	return NULL;
}

/* The string that a pointer of a record goes to. what: "record 3, name". */
static struct usp_error *read_text(const struct payload_file *file, const struct payload_section *s,
				   size_t record, const char *member, const struct pointer *p,
				   const char **ret)
{
	if (!p->set) {
		*ret = NULL;
		return NULL;
	}
	const struct payload_section *to = &file->sections[p->place.section];
	if (!to->data || (to->kind != PAYLOAD_SECTION_RODATA && to->kind != PAYLOAD_SECTION_DATA))
		return payload_bad("section %s, record %zu: its %s is in section %s, which holds no strings",
				   s->name, record, member, to->name);
	const char *text = (const char *)to->data + p->place.offset;
	size_t room = to->size - p->place.offset, length = strnlen(text, room);
	if (length == room)
		return payload_bad(
			"section %s, record %zu: its %s (section %s, 0x%llx) is not ended by a NUL", s->name,
			record, member, to->name, (unsigned long long)p->place.offset);
	if (!length || length > PAYLOAD_STRING_MAX)
		return payload_bad("section %s, record %zu: its %s has %zu bytes, not 1 to %u", s->name,
				   record, member, length, PAYLOAD_STRING_MAX);
	if (payload_text_check((const uint8_t *)text, length) != length)
		return payload_bad("section %s, record %zu: control character or bad UTF-8 in its %s",
				   s->name, record, member);
	*ret = text;
	return NULL;
}

/* A pointer to new code: to the first byte of a function of the payload's. */
static struct usp_error *check_code(const struct payload_file *file, const struct payload_section *s,
				    size_t record, const struct pointer *p, const struct payload_symbol **ret)
{
	const struct payload_section *to = &file->sections[p->place.section];
	if (to->kind != PAYLOAD_SECTION_TEXT)
		return payload_bad("section %s, record %zu: the new function is in section %s, which is not "
				   "a loaded executable one",
				   s->name, record, to->name);
	*ret = payload_file_function(file, p->place);
	if (!*ret)
		return payload_bad("section %s, record %zu: no function (STT_FUNC symbol with a size) begins "
				   "at %s+0x%llx",
				   s->name, record, to->name, (unsigned long long)p->place.offset);
	return NULL;
}

static struct usp_error *check_sizes(const struct payload_section *s, size_t i,
				     const struct payload_function *f, bool finished)
{
	const char *name = f->name ? f->name : "(by address)";
	uint64_t from = f->is_nop ? f->nop_offset : 0;
	if (f->is_nop && (!f->nop_length || f->nop_length > PAYLOAD_NOP_MAX))
		return payload_bad("section %s, record %zu, %s: %u bytes to blank (or the new function is "
				   "missing), not 1 to %u",
				   s->name, i, name, f->nop_length, PAYLOAD_NOP_MAX);
	if (f->old_address + f->old_size < f->old_address)
		return payload_bad("section %s, record %zu, %s: 0x%llx bytes at 0x%llx wrap around", s->name,
				   i, name, (unsigned long long)f->old_size,
				   (unsigned long long)f->old_address);
	if (f->old_size && (from + f->nop_length > f->old_size || from + f->expected_length > f->old_size))
		return payload_bad("section %s, record %zu, %s: what is blanked or expected is past the "
				   "function's %llu bytes",
				   s->name, i, name, (unsigned long long)f->old_size);
	if (!finished)
		return NULL;
	if (!f->old_size)
		return payload_bad(
			"section %s, record %zu, %s: old size 0 (make the payload with `usplice cc`)",
			s->name, i, name);
	if (!f->expected_length && !f->hash)
		return payload_bad(
			"section %s, record %zu, %s: neither expected bytes nor a hash of the old function",
			s->name, i, name);
	if (f->is_nop && !f->hash && f->expected_length < f->nop_length)
		return payload_bad(
			"section %s, record %zu, %s: %u bytes are blanked and only %u are expected", s->name,
			i, name, f->nop_length, f->expected_length);
	return NULL;
}

static struct usp_error *read_function(const struct payload_file *file, const struct payload_section *s,
				       size_t i, const struct pointer *pointers, bool finished,
				       struct payload_function *f)
{
	const uint8_t *bytes = s->data + i * sizeof(struct usplice_function);
	struct usplice_function raw;
	memcpy(&raw, bytes, sizeof(raw));
	if (raw.name || raw.file || raw.replacement)
		return payload_bad("section %s, record %zu: a pointer that is a number, not a relocation",
				   s->name, i);
	for (size_t k = 3; k < sizeof(raw) / 8; k++) {
		if (pointers[k].set)
			return payload_bad(
				"section %s, record %zu: a relocation at 0x%zx, which is no pointer", s->name,
				i, 8 * k);
	}
	for (size_t k = 0; k < sizeof(raw.reserved); k++) {
		if (raw.reserved[k])
			return payload_bad("section %s, record %zu: reserved byte %zu is not 0", s->name, i,
					   k);
	}
	if (raw.expected_length > USPLICE_EXPECTED_MAX)
		return payload_bad("section %s, record %zu: %u expected bytes, more than %u", s->name, i,
				   raw.expected_length, USPLICE_EXPECTED_MAX);
	if (raw.has_witness > 1)
		return payload_bad("section %s, record %zu: has_witness is %u, not 0 or 1", s->name, i,
				   raw.has_witness);
	if (raw.has_hash > 1)
		return payload_bad("section %s, record %zu: has_hash is %u, not 0 or 1", s->name, i,
				   raw.has_hash);
	*f = (struct payload_function){.is_nop = !pointers[2].set,
				       .nop_offset = raw.nop_offset,
				       .nop_length = raw.nop_length,
				       .old_address = raw.old_address,
				       .old_size = raw.old_size,
				       .expected = bytes + offsetof(struct usplice_function, expected),
				       .expected_length = raw.expected_length,
				       .has_witness = raw.has_witness,
				       .hash = raw.has_hash ? bytes + offsetof(struct usplice_function, hash)
							    : NULL,
				       .record_offset = s->file_offset + i * sizeof(raw)};
	struct usp_error *error = read_text(file, s, i, "name", &pointers[0], &f->name);
	if (!error)
		error = read_text(file, s, i, "file", &pointers[1], &f->file);
	if (error)
		return error;
	if (!f->name && !f->old_address)
		return payload_bad(
			"section %s, record %zu: neither a name nor an address of the old function", s->name,
			i);
	if (!f->is_nop) {
		const struct payload_symbol *symbol;
		error = check_code(file, s, i, &pointers[2], &symbol);
		if (error)
			return error;
		f->replacement = pointers[2].place;
		f->replacement_size = symbol->size;
		if (f->nop_offset || f->nop_length)
			return payload_bad("section %s, record %zu: both a new function and bytes to blank",
					   s->name, i);
	}
	return check_sizes(s, i, f, finished);
}

/* By address where both have one, else by name and file. */
static int compare_names(const void *a, const void *b)
{
	const struct payload_function *x = *(const struct payload_function *const *)a;
	const struct payload_function *y = *(const struct payload_function *const *)b;
	if (!x->name || !y->name)
		return !x->name - !y->name;
	int names = strcmp(x->name, y->name);
	return names ? names : strcmp(x->file ? x->file : "", y->file ? y->file : "");
}

static int compare_addresses(const void *a, const void *b)
{
	const struct payload_function *x = *(const struct payload_function *const *)a;
	const struct payload_function *y = *(const struct payload_function *const *)b;
	if (x->old_address != y->old_address)
		return x->old_address < y->old_address ? -1 : 1;
	return x->nop_offset < y->nop_offset ? -1 : x->nop_offset > y->nop_offset;
}

static bool same_name(const struct payload_function *x, const struct payload_function *y)
{
	return x->name && y->name && !compare_names(&x, &y);
}

static bool same_address(const struct payload_function *x, const struct payload_function *y)
{
	return x->old_address && x->old_address == y->old_address;
}

static struct usp_error *clash(const struct payload_function *x, const struct payload_function *y)
{
	bool apart = x->is_nop && y->is_nop &&
		     (x->nop_offset + (uint64_t)x->nop_length <= y->nop_offset ||
		      y->nop_offset + (uint64_t)y->nop_length <= x->nop_offset);
	if (apart)
		return NULL;
	if (x->name)
		return payload_bad("section .usplice.funcs: two records for %s%s%s", x->name,
				   x->file ? " of " : "", x->file ? x->file : "");
	return payload_bad("section .usplice.funcs: two records for the function at 0x%llx",
			   (unsigned long long)x->old_address);
}

/* No function is replaced twice, nor replaced and blanked; blanked places of one function do not overlap. */
static struct usp_error *check_duplicates(const struct payload *payload)
{
	size_t n = payload->n_functions;
	_cleanup_free_ const struct payload_function **order =
		calloc(n + 1, sizeof(const struct payload_function *));
	if (!order)
		return &usp_error_no_memory;
	for (size_t i = 0; i < n; i++)
		order[i] = &payload->functions[i];
	for (int pass = 0; pass < 2; pass++) {
		bool (*same)(const struct payload_function *, const struct payload_function *) =
			pass ? same_address : same_name;
		qsort(order, n, sizeof(struct payload_function *), pass ? compare_addresses : compare_names);
		for (size_t i = 0; i < n; i++) {
			for (size_t k = i + 1; k < n && same(order[i], order[k]); k++) {
				struct usp_error *error = clash(order[i], order[k]);
				if (error)
					return error;
			}
		}
	}
	return NULL;
}

static struct usp_error *read_functions(struct payload *payload, bool finished)
{
	const struct payload_section *s = payload_records_section(payload->file, ".usplice.funcs");
	if (!s)
		return NULL;
	const size_t record = sizeof(struct usplice_function);
	if (s->size % record)
		return payload_bad("section %s: 0x%llx bytes are no multiple of a record's %zu", s->name,
				   (unsigned long long)s->size, record);
	size_t n = s->size / record;
	if (n > PAYLOAD_FUNCTIONS_MAX)
		return payload_bad("section %s: %zu records, more than %u", s->name, n,
				   PAYLOAD_FUNCTIONS_MAX);
	payload->functions = calloc(n + 1, sizeof(*payload->functions));
	if (!payload->functions)
		return &usp_error_no_memory;
	_cleanup_free_ struct pointer *pointers = NULL;
	struct usp_error *error = read_pointers(payload->file, s, &pointers);
	for (size_t i = 0; !error && i < n; i++)
		error = read_function(payload->file, s, i, pointers + i * record / 8, finished,
				      &payload->functions[i]);
	payload->n_functions = n;
	return error ? error : check_duplicates(payload);
}

static struct usp_error *read_hook_section(struct payload *payload, const struct payload_section *s,
					   enum payload_hook_kind kind)
{
	bool many = kind == PAYLOAD_HOOK_LOAD || kind == PAYLOAD_HOOK_UNLOAD;
	if (!s->size || s->size % 8)
		return payload_bad("section %s: 0x%llx bytes are no pointers", s->name,
				   (unsigned long long)s->size);
	if (!many && s->size != 8)
		return payload_bad("section %s: %llu pointers, where only one may be", s->name,
				   (unsigned long long)s->size / 8);
	size_t n = s->size / 8;
	_cleanup_free_ struct pointer *pointers = NULL;
	struct usp_error *error = read_pointers(payload->file, s, &pointers);
	if (error)
		return error;
	struct payload_hook *hooks = reallocarray(payload->hooks, payload->n_hooks + n, sizeof(*hooks));
	if (!hooks)
		return &usp_error_no_memory;
	payload->hooks = hooks;
	for (size_t i = 0; i < n; i++) {
		const struct payload_symbol *symbol;
		uint64_t raw;
		memcpy(&raw, s->data + 8 * i, sizeof(raw));
		if (raw || !pointers[i].set)
			return payload_bad("section %s, record %zu: not a relocated pointer", s->name, i);
		error = check_code(payload->file, s, i, &pointers[i], &symbol);
		if (error)
			return error;
		payload->hooks[payload->n_hooks++] = (struct payload_hook){kind, pointers[i].place};
	}
	return NULL;
}

static struct usp_error *read_hooks(struct payload *payload)
{
	for (int kind = 0; kind < PAYLOAD_HOOK_KINDS; kind++) {
		char name[32] = HOOKS_PREFIX;
		strcat(name, hook_names[kind]);
		const struct payload_section *s = payload_records_section(payload->file, name);
		struct usp_error *error = s ? read_hook_section(payload, s, kind) : NULL;
		if (error)
			return error;
	}
	return NULL;
}

struct symbol_record {
	const char *name, *file;
	uint64_t address;
	bool by_address;
};

static int compare_symbol_records(const void *a, const void *b)
{
	return strcmp(((const struct symbol_record *)a)->name, ((const struct symbol_record *)b)->name);
}

/* A symbol's name without its version, compared with a record's. */
static int compare_base_name(const void *key, const void *element)
{
	const char *name = key, *other = ((const struct symbol_record *)element)->name;
	size_t n = strcspn(name, "@");
	int difference = strncmp(name, other, n);
	return difference ? difference : -(other[n] != 0);
}

static struct usp_error *read_symbol(const struct payload_file *file, const struct payload_section *s,
				     size_t i, const struct pointer *pointers, struct symbol_record *ret)
{
	static const uint8_t zeros[sizeof(((struct usplice_symbol *)0)->reserved)];
	struct usplice_symbol raw;
	memcpy(&raw, s->data + i * sizeof(raw), sizeof(raw));
	struct usp_error *error = read_text(file, s, i, "name", &pointers[0], &ret->name);
	if (!error)
		error = read_text(file, s, i, "file", &pointers[1], &ret->file);
	if (error)
		return error;
	if (raw.by_address > 1 || memcmp(raw.reserved, zeros, sizeof(zeros)) || pointers[2].set ||
	    pointers[3].set)
		return payload_bad("section %s, record %zu: reserved bytes are not 0", s->name, i);
	if (!ret->name || (!ret->file && !raw.by_address))
		return payload_bad("section %s, record %zu: name or file is missing", s->name, i);
	if ((ret->file && raw.by_address) || (raw.address && !raw.by_address))
		return payload_bad("section %s, record %zu: has both a file and an address", s->name, i);
	ret->by_address = raw.by_address;
	ret->address = raw.address;
	return NULL;
}

static struct usp_error *read_symbols(struct payload *payload)
{
	struct payload_file *file = payload->file;
	const struct payload_section *s = payload_records_section(file, ".usplice.symbols");
	if (!s)
		return NULL;
	const size_t record = sizeof(struct usplice_symbol);
	if (s->size % record)
		return payload_bad("section %s: 0x%llx bytes are no multiple of a record's %zu", s->name,
				   (unsigned long long)s->size, record);
	size_t n = s->size / record;
	_cleanup_free_ struct symbol_record *records = calloc(n + 1, sizeof(*records));
	if (!records)
		return &usp_error_no_memory;
	_cleanup_free_ struct pointer *pointers = NULL;
	struct usp_error *error = read_pointers(file, s, &pointers);
	for (size_t i = 0; !error && i < n; i++)
		error = read_symbol(file, s, i, &pointers[i * sizeof(struct usplice_symbol) / 8],
				    &records[i]);
	if (error)
		return error;
	qsort(records, n, sizeof(*records), compare_symbol_records);
	for (size_t i = 1; i < n; i++) {
		if (!compare_symbol_records(&records[i - 1], &records[i]))
			return payload_bad("section %s: two records for %s", s->name, records[i].name);
	}
	for (uint32_t i = 1; i < file->n_symbols; i++) {
		if (file->symbols[i].section != SHN_UNDEF)
			continue;
		const struct symbol_record *found =
			bsearch(file->symbols[i].name, records, n, sizeof(*records), compare_base_name);
		if (!found)
			continue;
		file->symbols[i].file = found->file;
		file->symbols[i].by_address = found->by_address;
		file->symbols[i].address = found->address;
	}
	return NULL;
}

struct usp_error *payload_records_read(struct payload *payload, bool finished)
{
	struct usp_error *error = check_sections(payload->file);
	if (!error)
		error = read_functions(payload, finished);
	if (!error)
		error = read_hooks(payload);
	if (!error)
		error = read_symbols(payload);
	if (!error && !payload->n_functions && !payload->n_hooks)
		error = payload_bad("replaces no function (.usplice.funcs is empty) and has no hooks");
	return error;
}
