// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include "build/types/side.h"

#include <elf.h>
#include <gelf.h>
#include <stdlib.h>
#include <string.h>

#include "build/file.h"
#include "build/object/object.h"
#include "build/types/address.h"

/* Debug information is nowhere but in the object itself. */
static int find_nothing(Dwfl_Module *module, void **data, const char *name, Dwarf_Addr base,
			const char *file_name, const char *link, GElf_Word crc, char **ret)
{
	(void)module, (void)data, (void)name, (void)base, (void)file_name, (void)link, (void)crc, (void)ret;
	return -1;
}

static const Dwfl_Callbacks callbacks = {
	.find_debuginfo = find_nothing,
	.section_address = dwfl_offline_section_address,
};

struct usp_error *types_side_open(const char *path, struct types_side *ret)
{
	*ret = (struct types_side){.path = path};
	struct usp_error *error = file_read(path, OBJECT_FILE_MAX, &ret->data, &ret->size);
	if (error)
		return error;
	Elf64_Ehdr header;
	if (ret->size < sizeof(header) || memcmp(ret->data, ELFMAG, SELFMAG))
		return object_bad("%s: not an ELF file", path);
	memcpy(&header, ret->data, sizeof(header));
	if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_ident[EI_DATA] != ELFDATA2LSB ||
	    header.e_type != ET_REL || header.e_machine != EM_X86_64)
		return usp_errorf(USP_UNSUPPORTED, "%s: not a relocatable object for x86-64", path);
	return NULL;
}

struct survey {
	unsigned info, types, old;
	uint64_t size; /* of all, unpacked */
};

static struct usp_error *survey_sections(Elf *elf, struct survey *ret)
{
	size_t names;
	if (elf_getshdrstrndx(elf, &names) != 0)
		return object_bad("broken section headers");
	for (Elf_Scn *section = NULL; (section = elf_nextscn(elf, section));) {
		GElf_Shdr header;
		GElf_Chdr packed;
		if (!gelf_getshdr(section, &header))
			return object_bad("broken section headers");
		const char *name = elf_strptr(elf, names, header.sh_name);
		if (!name)
			return object_bad("broken section names");
		uint64_t size = header.sh_type == SHT_NOBITS ? 0 : header.sh_size;
		if (header.sh_flags & SHF_COMPRESSED) {
			if (!gelf_getchdr(section, &packed))
				return object_bad("section %s: broken compression", name);
			size = packed.ch_size;
		}
		if (size > OBJECT_FILE_MAX || ret->size > OBJECT_FILE_MAX)
			return object_bad("section %s: too large", name);
		ret->size += size;
		if ((header.sh_flags & SHF_ALLOC) && header.sh_addr)
			return usp_errorf(USP_UNSUPPORTED, "section %s has an address already", name);
		ret->info += !strcmp(name, ".debug_info");
		ret->types += !strcmp(name, ".debug_types");
		ret->old += !strncmp(name, ".zdebug", 7);
	}
	return NULL;
}

static struct usp_error *check_sections(struct types_side *side)
{
	struct survey survey = {0};
	Elf *elf = elf_memory((char *)side->data, side->size);
	if (!elf)
		return object_bad("broken: %s", elf_errmsg(-1));
	struct usp_error *error = survey_sections(elf, &survey);
	elf_end(elf);
	if (error)
		return error;
	if (survey.old)
		return usp_errorf(
			USP_UNSUPPORTED,
			"debug information compressed the old way (.zdebug); build with -gz or -gz=none");
	if (!survey.info)
		return usp_errorf(USP_NOT_FOUND, "no debug information; build with -g");
	if (survey.info + survey.types > 1)
		return usp_errorf(
			USP_UNSUPPORTED,
			"debug information in several sections; build without -fdebug-types-section");
	return NULL;
}

static struct usp_error *open_dwarf(struct types_side *side)
{
	Dwarf_Addr bias;
	elf_version(EV_CURRENT);
	struct usp_error *error = check_sections(side);
	if (error)
		return error;
	side->dwfl = dwfl_begin(&callbacks);
	if (!side->dwfl)
		return usp_errorf(USP_FAILED, "libdwfl: %s", dwfl_errmsg(-1));
	dwfl_report_begin(side->dwfl);
	Dwfl_Module *module = dwfl_report_offline_memory(side->dwfl, side->path, side->path,
							 (char *)side->data, side->size);
	if (!module || dwfl_report_end(side->dwfl, NULL, NULL) != 0)
		return object_bad("broken: %s", dwfl_errmsg(-1));
	side->dwarf = dwfl_module_getdwarf(module, &bias);
	if (!side->dwarf)
		return object_bad("broken debug information: %s", dwfl_errmsg(-1));
	return NULL;
}

static int by_address(const void *a, const void *b, void *context)
{
	const struct types_side *side = context;
	uint32_t i = *(const uint32_t *)a, k = *(const uint32_t *)b;
	uintptr_t x = (uintptr_t)side->entries[i].die.addr, y = (uintptr_t)side->entries[k].die.addr;
	return x != y ? (x < y ? -1 : 1) : i < k ? -1 : i > k;
}

static int by_key(const void *a, const void *b)
{
	const struct types_entry *x = a, *y = b;
	if (x->kind != y->kind)
		return x->kind < y->kind ? -1 : 1;
	int order = strcmp(x->key, y->key);
	uintptr_t i = (uintptr_t)x->die.addr, k = (uintptr_t)y->die.addr;
	return order ? order : i < k ? -1 : i > k;
}

/* One layout for each DIE: a struct is often there by its tag and by its typedef. */
static struct usp_error *read_layouts(struct types_side *side)
{
	for (size_t i = 0; i < side->n_entries; i++) {
		struct types_entry *e = &side->entries[side->by_address[i]];
		struct types_entry *before = i ? &side->entries[side->by_address[i - 1]] : NULL;
		if (before && before->die.addr == e->die.addr) {
			e->layout = before->layout;
			e->shared = true;
			continue;
		}
		struct types_die d;
		e->layout = calloc(1, sizeof(*e->layout));
		if (!e->layout)
			return &usp_error_no_memory;
		struct usp_error *error = types_die_read(&e->die, &d);
		if (!error)
			error = types_layout_read(&side->reader, &d, e->layout);
		if (error)
			return error;
	}
	return NULL;
}

struct usp_error *types_side_read(struct types_side *side)
{
	side->reader.pool = &side->pool;
	struct usp_error *error = open_dwarf(side);
	if (!error)
		error = types_walk(side);
	if (!error)
		error = types_address_read(side);
	if (error)
		return error;
	side->by_address = calloc(side->n_entries + 1, sizeof(*side->by_address));
	if (!side->by_address)
		return &usp_error_no_memory;
	for (size_t i = 0; i < side->n_entries; i++)
		side->by_address[i] = (uint32_t)i;
	if (side->n_entries) {
		qsort(side->entries, side->n_entries, sizeof(*side->entries), by_key);
		qsort_r(side->by_address, side->n_entries, sizeof(*side->by_address), by_address, side);
	}
	return read_layouts(side);
}

void types_side_close(struct types_side *side)
{
	for (size_t i = 0; i < side->n_entries; i++) {
		struct types_entry *e = &side->entries[i];
		if (e->layout && !e->shared) {
			types_layout_deinit(e->layout);
			free(e->layout);
		}
	}
	free(side->entries);
	free(side->by_address);
	free(side->bodies);
	free(side->symbols);
	free(side->ranges);
	types_text_deinit(&side->reader.text);
	types_pool_deinit(&side->pool);
	if (side->dwfl)
		dwfl_end(side->dwfl);
	free(side->data);
	*side = (struct types_side){0};
}

size_t types_side_at(const struct types_side *side, const void *address)
{
	size_t low = 0, high = side->n_entries;
	while (low < high) {
		size_t middle = (low + high) / 2;
		if ((uintptr_t)side->entries[side->by_address[middle]].die.addr < (uintptr_t)address)
			low = middle + 1;
		else
			high = middle;
	}
	return low < side->n_entries && side->entries[side->by_address[low]].die.addr == address
		       ? low
		       : side->n_entries;
}
