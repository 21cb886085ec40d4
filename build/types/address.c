// SPDX-License-Identifier: MIT
#include "build/types/address.h"

#include <elf.h>
#include <gelf.h>
#include <stdlib.h>
#include <string.h>

#include "build/object/object.h"

/* Reads the symbol if it is a place in code or data that is loaded. */
static struct usp_error *read_symbol(Elf *elf, const GElf_Shdr *table, const GElf_Sym *symbol,
				     struct types_side *side, size_t *capacity)
{
	unsigned type = GELF_ST_TYPE(symbol->st_info);
	GElf_Shdr header;
	if ((type != STT_FUNC && type != STT_GNU_IFUNC && type != STT_NOTYPE) ||
	    symbol->st_shndx == SHN_UNDEF || symbol->st_shndx >= SHN_LORESERVE)
		return NULL;
	if (!gelf_getshdr(elf_getscn(elf, symbol->st_shndx), &header))
		return object_bad("a symbol in a section that does not exist");
	const char *name = elf_strptr(elf, table->sh_link, symbol->st_name);
	if (!name)
		return object_bad("broken symbol names");
	/* What lies at a section's end would be at the next one's begin. */
	if (!(header.sh_flags & SHF_ALLOC) || !*name || symbol->st_value >= header.sh_size)
		return NULL;
	if (!object_grow(&side->symbols, side->n_symbols, capacity, sizeof(*side->symbols)))
		return &usp_error_no_memory;
	side->symbols[side->n_symbols++] =
		(struct types_symbol){.name = name, .address = header.sh_addr + symbol->st_value};
	return NULL;
}

static struct usp_error *read_table(Elf *elf, Elf_Scn *section, const GElf_Shdr *table,
				    struct types_side *side, size_t *capacity)
{
	Elf_Data *data = elf_getdata(section, NULL);
	if (!data)
		return object_bad("a broken symbol table");
	size_t n = data->d_size / sizeof(Elf64_Sym);
	for (size_t i = 1; i < n && i < INT32_MAX; i++) {
		GElf_Sym symbol;
		if (!gelf_getsym(data, (int)i, &symbol))
			return object_bad("a broken symbol table");
		struct usp_error *error = read_symbol(elf, table, &symbol, side, capacity);
		if (error)
			return error;
	}
	return NULL;
}

static struct usp_error *read_symbols(struct types_side *side)
{
	Elf *elf = dwarf_getelf(side->dwarf); /* with the sections' places */
	size_t capacity = 0;
	for (Elf_Scn *section = NULL; (section = elf_nextscn(elf, section));) {
		GElf_Shdr header;
		if (!gelf_getshdr(section, &header))
			return object_bad("broken section headers");
		struct usp_error *error = header.sh_type == SHT_SYMTAB
						  ? read_table(elf, section, &header, side, &capacity)
						  : NULL;
		if (error)
			return error;
	}
	return NULL;
}

static struct usp_error *read_ranges(struct types_side *side, size_t body, size_t *capacity)
{
	struct types_die d;
	struct types_die_range range = {0};
	struct usp_error *error = types_die_read(&side->bodies[body].die, &d);
	while (!error) {
		error = types_die_next_range(&d, &range);
		if (error || !range.next)
			return error;
		error = types_reader_step(&side->reader, 0);
		if (error)
			return error;
		if (!object_grow(&side->ranges, side->n_ranges, capacity, sizeof(*side->ranges)))
			return &usp_error_no_memory;
		side->bodies[body].placed = true;
		side->ranges[side->n_ranges++] =
			(struct types_range){.start = range.start, .end = range.end, .body = body};
	}
	return error;
}

static int by_name(const void *a, const void *b)
{
	const struct types_symbol *x = a, *y = b;
	int order = strcmp(x->name, y->name);
	return order ? order : x->address < y->address ? -1 : x->address > y->address;
}

struct usp_error *types_address_read(struct types_side *side)
{
	size_t capacity = 0;
	struct usp_error *error = read_symbols(side);
	for (size_t i = 0; i < side->n_bodies && !error; i++)
		error = read_ranges(side, i, &capacity);
	if (!error && side->n_symbols)
		qsort(side->symbols, side->n_symbols, sizeof(*side->symbols), by_name);
	return error;
}

static int order_of(const char *name, const char *wanted, size_t length)
{
	int order = strncmp(name, wanted, length);
	return order ? order : name[length] != '\0';
}

const struct types_symbol *types_address_symbols(const struct types_side *side, const char *name,
						 size_t length, size_t *n)
{
	size_t low = 0, high = side->n_symbols;
	while (low < high) {
		size_t middle = (low + high) / 2;
		if (order_of(side->symbols[middle].name, name, length) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	*n = 0;
	while (low + *n < side->n_symbols && !order_of(side->symbols[low + *n].name, name, length))
		++*n;
	return *n ? &side->symbols[low] : NULL;
}
