// SPDX-License-Identifier: MIT
/* Symbols, COMDAT groups and relocations of an object: object_read_symbols(), object_read_relocations(). */
#include "build/object/object.h"

#include <stdlib.h>
#include <string.h>

#include "payload/relocation.h"

#define GROUP_COMDAT 1u /* GRP_COMDAT */

static struct usp_error *read_symbol(struct object *object, const Elf64_Sym *e, uint32_t i)
{
	const struct object_section *table = &object->sections[object->symbol_section];
	const struct object_section *names = &object->sections[table->link];
	struct object_symbol *s = &object->symbols[i];
	if (e->st_name >= names->size)
		return object_bad("symbol %u: its name lies outside of the symbol names", i);
	*s = (struct object_symbol){.name = (const char *)names->data + e->st_name,
				    .section = e->st_shndx,
				    .value = e->st_value,
				    .size = e->st_size,
				    .type = ELF64_ST_TYPE(e->st_info),
				    .binding = ELF64_ST_BIND(e->st_info),
				    .visibility = ELF64_ST_VISIBILITY(e->st_other)};
	if (s->section == SHN_UNDEF || s->section == SHN_ABS || s->section == SHN_COMMON)
		return NULL;
	if (s->section >= object->n_sections)
		return usp_errorf(USP_UNSUPPORTED, "symbol %s: section index 0x%x means nothing here",
				  s->name, s->section);
	const struct object_section *in = &object->sections[s->section];
	if (s->value > in->size || in->size - s->value < s->size)
		return object_bad("symbol %s (0x%llx bytes at 0x%llx) lies outside of section %s", s->name,
				  (unsigned long long)s->size, (unsigned long long)s->value, in->name);
	return NULL;
}

static struct usp_error *read_groups(struct object *object)
{
	for (uint32_t i = 1; i < object->n_sections; i++) {
		const struct object_section *group = &object->sections[i];
		if (group->type != SHT_GROUP)
			continue;
		if (group->size < 4 || group->size % 4 || !group->data)
			return object_bad("section group %u: 0x%llx bytes", i,
					  (unsigned long long)group->size);
		if (group->info >= object->n_symbols)
			return object_bad("section group %u: its symbol %u does not exist", i, group->info);
		uint32_t flags, member;
		memcpy(&flags, group->data, 4);
		for (uint64_t at = 4; at < group->size; at += 4) {
			memcpy(&member, group->data + at, 4);
			if (!member || member >= object->n_sections)
				return object_bad("section group %u: its member %u does not exist", i,
						  member);
			if (flags & GROUP_COMDAT)
				object->sections[member].group = i;
		}
	}
	return NULL;
}

struct usp_error *object_read_symbols(struct object *object)
{
	const struct object_section *table = &object->sections[object->symbol_section];
	if (table->entry_size != sizeof(Elf64_Sym) || table->size % sizeof(Elf64_Sym) || !table->size ||
	    table->size / sizeof(Elf64_Sym) > UINT32_MAX - 1)
		return object_bad("symbol table: 0x%llx bytes, entries of %llu",
				  (unsigned long long)table->size, (unsigned long long)table->entry_size);
	size_t n = table->size / sizeof(Elf64_Sym);
	object->symbols = calloc(n, sizeof(*object->symbols));
	if (!object->symbols)
		return &usp_error_no_memory;
	object->n_symbols = (uint32_t)n;
	for (uint32_t i = 0; i < object->n_symbols; i++) {
		Elf64_Sym e;
		memcpy(&e, table->data + i * sizeof(e), sizeof(e));
		struct usp_error *error = read_symbol(object, &e, i);
		if (error)
			return error;
	}
	return read_groups(object);
}

static int by_offset(const void *a, const void *b)
{
	const struct object_relocation *x = a, *y = b;
	if (x->offset != y->offset)
		return x->offset < y->offset ? -1 : 1;
	return x->type < y->type ? -1 : x->type > y->type;
}

static struct usp_error *read_relocation(const struct object *object, const struct object_section *to,
					 const Elf64_Rela *e, struct object_relocation *r)
{
	*r = (struct object_relocation){.offset = e->r_offset,
					.type = (uint32_t)ELF64_R_TYPE(e->r_info),
					.symbol = (uint32_t)ELF64_R_SYM(e->r_info),
					.addend = e->r_addend};
	const struct payload_relocation_type *type = payload_relocation_type(r->type);
	if (!type)
		return object_bad("unknown relocation type %u at 0x%llx", r->type,
				  (unsigned long long)r->offset);
	if (r->symbol >= object->n_symbols)
		return object_bad("relocation at 0x%llx: symbol %u does not exist",
				  (unsigned long long)r->offset, r->symbol);
	if (r->offset > to->size || to->size - r->offset < type->width)
		return object_bad("relocation at 0x%llx: past the section's end",
				  (unsigned long long)r->offset);
	if (r->addend > INT64_MAX / 4 || r->addend < INT64_MIN / 4)
		return object_bad("relocation at 0x%llx: addend 0x%llx", (unsigned long long)r->offset,
				  (unsigned long long)r->addend);
	return NULL;
}

size_t object_relocation_from(const struct object_section *section, uint64_t offset)
{
	size_t low = 0, high = section->n_relocations;
	while (low < high) {
		size_t middle = (low + high) / 2;
		if (section->relocations[middle].offset < offset)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* No byte may be given by two relocations. */
static struct usp_error *check_order(const struct object_section *to)
{
	uint64_t end = 0;
	for (size_t k = 0; k < to->n_relocations; k++) {
		const struct object_relocation *r = &to->relocations[k];
		unsigned width = payload_relocation_type(r->type)->width;
		if (width && r->offset < end)
			return object_bad("two relocations at 0x%llx", (unsigned long long)r->offset);
		if (width)
			end = r->offset + width;
	}
	return NULL;
}

static struct usp_error *read_table(struct object *object, const struct object_section *table)
{
	if (table->info >= object->n_sections || table->link != object->symbol_section ||
	    table->entry_size != sizeof(Elf64_Rela) || table->size % sizeof(Elf64_Rela))
		return object_bad("relocation section %s is malformed", table->name);
	struct object_section *to = &object->sections[table->info];
	/* Of what is not compared, only the line table (not a compressed one) and the unwind information are of interest. */
	if (to->kind == OBJECT_KIND_IGNORED &&
	    (to->flags & SHF_COMPRESSED ||
	     (strcmp(to->name, ".debug_line") && strcmp(to->name, ".eh_frame"))))
		return NULL;
	if (to->relocations)
		return object_bad("section %s has two relocation sections", to->name);
	size_t n = table->size / sizeof(Elf64_Rela);
	if (!n)
		return NULL;
	if (!to->data)
		return object_bad("relocation section %s applies to a section without contents", table->name);
	to->relocations = calloc(n, sizeof(*to->relocations));
	if (!to->relocations)
		return &usp_error_no_memory;
	to->n_relocations = n;
	for (size_t k = 0; k < n; k++) {
		Elf64_Rela e;
		memcpy(&e, table->data + k * sizeof(e), sizeof(e));
		struct usp_error *error = read_relocation(object, to, &e, &to->relocations[k]);
		if (error)
			return usp_error_prefix(error, "section %s", to->name);
	}
	qsort(to->relocations, n, sizeof(*to->relocations), by_offset);
	return usp_error_prefix(check_order(to), "section %s", to->name);
}

struct usp_error *object_read_relocations(struct object *object)
{
	for (uint32_t i = 1; i < object->n_sections; i++) {
		if (object->sections[i].type != SHT_RELA)
			continue;
		struct usp_error *error = read_table(object, &object->sections[i]);
		if (error)
			return error;
	}
	return NULL;
}
