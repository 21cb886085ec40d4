// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
/* Symbol table: payload_file_symbols(). */
#include "payload/file.h"

#include <stdlib.h>
#include <string.h>

const char *payload_symbol_name(const struct payload_file *file, const struct payload_symbol *symbol)
{
	if (*symbol->name)
		return symbol->name;
	if (symbol->section && symbol->section < file->n_sections)
		return file->sections[symbol->section].name;
	return "(no name)";
}

static struct usp_error *find_table(struct payload_file *file)
{
	uint32_t found = 0;
	for (uint32_t i = 1; i < file->n_sections; i++) {
		if (file->sections[i].type != SHT_SYMTAB)
			continue;
		if (found)
			return payload_bad("two symbol tables, sections %s (%u) and %s (%u)",
					   file->sections[found].name, found, file->sections[i].name, i);
		found = i;
	}
	if (!found)
		return payload_bad("no symbol table (was the file stripped?)");
	const struct payload_section *s = &file->sections[found];
	if (s->entry_size != sizeof(Elf64_Sym))
		return payload_bad("symbol table %s (%u): entry size %llu, not %zu", s->name, found,
				   (unsigned long long)s->entry_size, sizeof(Elf64_Sym));
	if (s->flags & SHF_COMPRESSED)
		return payload_bad("symbol table %s (%u) is compressed", s->name, found);
	if (!s->size || s->size % sizeof(Elf64_Sym))
		return payload_bad("symbol table %s (%u): its size 0x%llx is no multiple of %zu, or 0",
				   s->name, found, (unsigned long long)s->size, sizeof(Elf64_Sym));
	uint64_t n = s->size / sizeof(Elf64_Sym);
	if (n > PAYLOAD_SYMBOLS_MAX)
		return payload_bad("symbol table %s (%u): %llu symbols, more than %u", s->name, found,
				   (unsigned long long)n, PAYLOAD_SYMBOLS_MAX);
	if (!s->info || s->info > n)
		return payload_bad("symbol table %s (%u): first global symbol %u, of %llu", s->name, found,
				   s->info, (unsigned long long)n);
	if (!s->link || s->link >= file->n_sections)
		return payload_bad("symbol table %s (%u): its string table, section %u, does not exist",
				   s->name, found, s->link);
	file->symbol_section = found;
	return payload_string_table_check(file, s->link, "the symbol names");
}

static struct usp_error *check_place(const struct payload_file *file, uint32_t i, uint16_t index,
				     struct payload_symbol *s)
{
	const char *name = *s->name ? s->name : "(no name)";
	if (index == SHN_COMMON && !strcmp(name, "__gnu_lto_slim"))
		return payload_bad("compiled with -flto: there is no code in the file (add -fno-lto or "
				   "-ffat-lto-objects)");
	if (index == SHN_COMMON)
		return payload_bad("symbol %u, %s: is COMMON (compile with -fno-common)", i, name);
	if (index == SHN_XINDEX)
		return payload_bad("symbol %u, %s: extended section index (SHN_XINDEX), too many sections", i,
				   name);
	if (index == SHN_ABS) {
		s->section = SHN_ABS;
		return NULL;
	}
	if (index >= SHN_LORESERVE)
		return payload_bad("symbol %u, %s: reserved section index 0x%x", i, name, index);
	if (index >= file->n_sections)
		return payload_bad("symbol %u, %s: section index %u, of %u sections", i, name, index,
				   file->n_sections);
	s->section = index;
	if (index == SHN_UNDEF) {
		if (s->binding == STB_LOCAL)
			return payload_bad("symbol %u, %s: local and undefined", i, name);
		if (!*s->name || *s->name == '@')
			return payload_bad("symbol %u: undefined and has no name", i);
		return NULL;
	}
	const struct payload_section *section = &file->sections[index];
	if (s->value > section->size || section->size - s->value < s->size)
		return payload_bad(
			"symbol %u, %s: 0x%llx bytes at 0x%llx are not inside section %s (0x%llx bytes)", i,
			name, (unsigned long long)s->size, (unsigned long long)s->value, section->name,
			(unsigned long long)section->size);
	if (s->type == STT_TLS)
		return payload_bad("symbol %u, %s: the payload defines a new thread-local variable", i, name);
	if (s->type == STT_GNU_IFUNC)
		return payload_bad("symbol %u, %s: the payload defines an IFUNC; its resolver would have to "
				   "run in the target "
				   "(choose in an ordinary function instead)",
				   i, name);
	return NULL;
}

static struct usp_error *read_symbol(struct payload_file *file, uint32_t i)
{
	const struct payload_section *table = &file->sections[file->symbol_section];
	const struct payload_section *strings = &file->sections[table->link];
	struct payload_symbol *s = &file->symbols[i];
	Elf64_Sym e;
	memcpy(&e, table->data + i * sizeof(e), sizeof(e));
	if (e.st_name >= strings->size)
		return payload_bad("symbol %u: its name lies outside of the string table", i);
	*s = (struct payload_symbol){.name = (const char *)strings->data + e.st_name,
				     .value = e.st_value,
				     .size = e.st_size,
				     .type = ELF64_ST_TYPE(e.st_info),
				     .binding = ELF64_ST_BIND(e.st_info),
				     .visibility = ELF64_ST_VISIBILITY(e.st_other),
				     .slot = PAYLOAD_NO_OFFSET,
				     .word = PAYLOAD_NO_OFFSET,
				     .tp_word = PAYLOAD_NO_OFFSET,
				     .gd_pair = PAYLOAD_NO_OFFSET};
	if (!i) {
		static const Elf64_Sym null;
		if (memcmp(&e, &null, sizeof(e)))
			return payload_bad("symbol 0 is not the null symbol");
		return NULL;
	}
	switch (s->type) {
	case STT_NOTYPE:
	case STT_OBJECT:
	case STT_FUNC:
	case STT_SECTION:
	case STT_FILE:
	case STT_TLS:
	case STT_GNU_IFUNC:
		break;
	default:
		return payload_bad("symbol %u, %s: unknown type %u", i, s->name, s->type);
	}
	switch (s->binding) {
	case STB_LOCAL:
	case STB_GLOBAL:
	case STB_WEAK:
	case STB_GNU_UNIQUE:
		break;
	default:
		return payload_bad("symbol %u, %s: unknown binding %u", i, s->name, s->binding);
	}
	if ((i < table->info) != (s->binding == STB_LOCAL))
		return payload_bad("symbol %u, %s: %s among the %s ones", i, s->name,
				   i < table->info ? "global" : "local",
				   i < table->info ? "local" : "global");
	return check_place(file, i, e.st_shndx, s);
}

static int compare_name(const void *a, const void *b, void *context)
{
	const struct payload_symbol *symbols = context;
	return strcmp(symbols[*(const uint32_t *)a].name, symbols[*(const uint32_t *)b].name);
}

/* A name that has two global meanings would be bound to the first of several matches. */
static struct usp_error *check_unique(const struct payload_file *file)
{
	_cleanup_free_ uint32_t *order = calloc(file->n_symbols, sizeof(*order));
	if (!order)
		return &usp_error_no_memory;
	size_t n = 0;
	for (uint32_t i = 1; i < file->n_symbols; i++) {
		if (file->symbols[i].binding != STB_LOCAL)
			order[n++] = i;
	}
	qsort_r(order, n, sizeof(*order), compare_name, file->symbols);
	for (size_t i = 1; i < n; i++) {
		if (!compare_name(&order[i - 1], &order[i], file->symbols))
			return payload_bad("symbol %s is there twice (%u and %u)",
					   file->symbols[order[i]].name, order[i - 1], order[i]);
	}
	return NULL;
}

static int compare_functions(const void *a, const void *b, void *context)
{
	const struct payload_symbol *symbols = context;
	const struct payload_symbol *x = &symbols[*(const uint32_t *)a], *y = &symbols[*(const uint32_t *)b];
	if (x->section != y->section)
		return x->section < y->section ? -1 : 1;
	if (x->value != y->value)
		return x->value < y->value ? -1 : 1;
	return x < y ? -1 : x > y;
}

static struct usp_error *list_functions(struct payload_file *file)
{
	file->functions = calloc(file->n_symbols, sizeof(*file->functions));
	if (!file->functions)
		return &usp_error_no_memory;
	for (uint32_t i = 1; i < file->n_symbols; i++) {
		const struct payload_symbol *s = &file->symbols[i];
		if (s->type != STT_FUNC || s->section == SHN_UNDEF || s->section == SHN_ABS)
			continue;
		if (file->sections[s->section].kind != PAYLOAD_SECTION_TEXT)
			return payload_bad("symbol %u, %s: a function in section %s, which is not executable",
					   i, s->name, file->sections[s->section].name);
		if (s->size)
			file->functions[file->n_functions++] = i;
	}
	qsort_r(file->functions, file->n_functions, sizeof(*file->functions), compare_functions,
		file->symbols);
	return NULL;
}

/* How many functions begin before the place. */
static uint32_t functions_before(const struct payload_file *file, struct payload_place place)
{
	uint32_t low = 0, high = file->n_functions;
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		const struct payload_symbol *s = &file->symbols[file->functions[middle]];
		if (s->section < place.section || (s->section == place.section && s->value < place.offset))
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

const struct payload_symbol *payload_file_function(const struct payload_file *file,
						   struct payload_place place)
{
	uint32_t i = functions_before(file, place);
	if (i == file->n_functions)
		return NULL;
	const struct payload_symbol *s = &file->symbols[file->functions[i]];
	return s->section == place.section && s->value == place.offset ? s : NULL;
}

const struct payload_symbol *payload_file_function_around(const struct payload_file *file,
							  struct payload_place place)
{
	uint32_t i = functions_before(file, (struct payload_place){place.section, place.offset + 1});
	if (!i)
		return NULL;
	const struct payload_symbol *s = &file->symbols[file->functions[i - 1]];
	return s->section == place.section && place.offset - s->value < s->size ? s : NULL;
}

struct usp_error *payload_file_symbols(struct payload_file *file)
{
	struct usp_error *error = find_table(file);
	if (error)
		return error;
	uint32_t n = (uint32_t)(file->sections[file->symbol_section].size / sizeof(Elf64_Sym));
	file->symbols = calloc(n, sizeof(*file->symbols));
	if (!file->symbols)
		return &usp_error_no_memory;
	file->n_symbols = n;
	for (uint32_t i = 0; i < n; i++) {
		error = read_symbol(file, i);
		if (error)
			return error;
	}
	error = check_unique(file);
	return error ? error : list_functions(file);
}
