// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include "process/elf/symbol_table.h"

#include <errno.h>
#include <string.h>

#include "process/elf/debugfile.h"
#include "process/elf/dynamic.h"

static uint32_t name_hash(const char *name)
{
	uint32_t hash = 5381;
	for (; *name; name++)
		hash = 33 * hash + (unsigned char)*name;
	return hash;
}

/* Whether what a symbol covers lies where its type says it should. */
static bool entry_is_sound(const struct elf_file *file, const struct entry *entry)
{
	if (!*entry->name)
		return false;
	for (size_t i = 0; i < file->n_phdr; i++) {
		const Elf64_Phdr *phdr = &file->phdr[i];
		uint64_t start = phdr->p_vaddr, into = entry->value - start;
		if (entry->type == STT_TLS) {
			if (phdr->p_type == PT_TLS && entry->value <= phdr->p_memsz &&
			    entry->size <= phdr->p_memsz - entry->value)
				return true;
			continue;
		}
		/* Size 0 at the very end: _end and its like. */
		if (phdr->p_type != PT_LOAD || entry->value < start || into > phdr->p_memsz ||
		    entry->size > phdr->p_memsz - into)
			continue;
		if (entry->type != STT_FUNC && entry->type != STT_GNU_IFUNC)
			return true;
		if ((phdr->p_flags & PF_X) && into < phdr->p_memsz)
			return true;
	}
	return false;
}

static bool is_defined(const Elf64_Sym *symbol)
{
	switch (ELF64_ST_TYPE(symbol->st_info)) {
	case STT_NOTYPE:
	case STT_OBJECT:
	case STT_FUNC:
	case STT_TLS:
	case STT_GNU_IFUNC:
		return symbol->st_shndx != SHN_UNDEF && symbol->st_shndx != SHN_ABS &&
		       symbol->st_shndx != SHN_COMMON;
	default:
		return false;
	}
}

static void entry_init(struct entry *entry, const Elf64_Sym *symbol)
{
	*entry = (struct entry){
		.value = symbol->st_value,
		.size = symbol->st_size,
		.type = ELF64_ST_TYPE(symbol->st_info),
		.binding = ELF64_ST_BIND(symbol->st_info),
		.visibility = ELF64_ST_VISIBILITY(symbol->st_other),
	};
}

static int set_add(struct symbol_set *set, const struct entry *entry)
{
	if (set->n == set->capacity) {
		size_t capacity = set->capacity ? 2 * set->capacity : 256;
		struct entry *v =
			capacity > UINT32_MAX / 2 ? NULL : reallocarray(set->v, capacity, sizeof(*v));
		if (!v)
			return -ENOMEM;
		set->v = v;
		set->capacity = capacity;
	}
	set->v[set->n++] = *entry;
	return 0;
}

static int set_index(struct symbol_set *set)
{
	set->n_heads = 16;
	while (set->n_heads < set->n)
		set->n_heads *= 2;
	set->heads = calloc(set->n_heads, sizeof(*set->heads));
	set->next = calloc(set->n + 1, sizeof(*set->next));
	if (!set->heads || !set->next)
		return -ENOMEM;
	for (size_t i = set->n; i-- > 0;) {
		uint32_t *head = &set->heads[name_hash(set->v[i].name) & (set->n_heads - 1)];
		set->next[i] = *head;
		*head = (uint32_t)i + 1;
	}
	set->loaded = true;
	return 0;
}

static void set_deinit(struct symbol_set *set)
{
	free(set->v);
	free(set->heads);
	free(set->next);
	*set = (struct symbol_set){0};
}

static const struct entry *chain(const struct symbol_set *set, uint32_t position, const char *name)
{
	for (; position; position = set->next[position - 1])
		if (strcmp(set->v[position - 1].name, name) == 0)
			return &set->v[position - 1];
	return NULL;
}

const struct entry *symbol_set_first(const struct symbol_set *set, const char *name)
{
	return set->loaded ? chain(set, set->heads[name_hash(name) & (set->n_heads - 1)], name) : NULL;
}

const struct entry *symbol_set_next(const struct symbol_set *set, const struct entry *entry)
{
	return chain(set, set->next[entry - set->v], entry->name);
}

/* GNU ld writes "name@VERSION" and "name@@VERSION" into .symtab: takes them apart. */
static int split_version(struct symbol_table *table, struct entry *entry)
{
	const char *at = strchr(entry->name, '@');
	if (!at || at == entry->name)
		return 0;
	char *name = strndup(entry->name, (size_t)(at - entry->name));
	char **strings = name ? reallocarray(table->strings, table->n_strings + 1, sizeof(*strings)) : NULL;
	if (!strings) {
		free(name);
		return -ENOMEM;
	}
	table->strings = strings;
	strings[table->n_strings++] = name;
	entry->name = name;
	entry->hidden_version = at[1] != '@';
	entry->version = at + (at[1] == '@' ? 2 : 1);
	return 0;
}

static int add_file(struct symbol_table *table, const char *name)
{
	size_t n = table->n_files;
	if (!(n & (n - 1))) { /* a power of two, or none yet: the array is full */
		const char **files =
			n > UINT32_MAX / 4 ? NULL : reallocarray(table->files, n ? 2 * n : 1, sizeof(*files));
		if (!files)
			return -ENOMEM;
		table->files = files;
	}
	table->files[table->n_files++] = name;
	return 0;
}

static int read_symtab(struct module *module, struct symbol_table *table, struct elf_file *file,
		       const Elf64_Shdr *section)
{
	size_t n;
	const Elf64_Sym *symbols = section->sh_entsize == sizeof(Elf64_Sym)
					   ? elf_file_section_table(file, section, sizeof(Elf64_Sym), 8, &n)
					   : NULL;
	const Elf64_Shdr *string_section =
		section->sh_link < file->n_shdr ? &file->shdr[section->sh_link] : NULL;
	const char *strings = string_section && string_section->sh_type == SHT_STRTAB
				      ? elf_file_section_bytes(file, string_section)
				      : NULL;
	const char *source = NULL;
	if (!symbols || !strings || strings[string_section->sh_size - 1] != '\0')
		return 0;
	for (size_t i = 1; i < n; i++) {
		struct entry entry;
		if (symbols[i].st_name >= string_section->sh_size)
			continue;
		const char *name = strings + symbols[i].st_name;
		if (ELF64_ST_TYPE(symbols[i].st_info) == STT_FILE) {
			source = *name ? name : NULL; /* an empty one ends the last file's locals */
			if (add_file(table, name) < 0)
				return -ENOMEM;
		}
		if (!is_defined(&symbols[i]))
			continue;
		entry_init(&entry, &symbols[i]);
		entry.name = name;
		if (entry.binding == STB_LOCAL) {
			entry.file = source;
			entry.group = (uint32_t)table->n_files;
		}
		int r = entry_is_sound(module->elf, &entry) ? split_version(table, &entry) : 1;
		if (r == 0)
			r = set_add(&table->full, &entry);
		if (r < 0)
			return r;
	}
	table->has_symtab = table->full.n > 0;
	return 0;
}

static const Elf64_Shdr *find_symtab(const struct elf_file *file)
{
	for (size_t i = 0; i < file->n_shdr; i++)
		if (file->shdr[i].sh_type == SHT_SYMTAB)
			return &file->shdr[i];
	return NULL;
}

static int read_full(struct module *module, struct symbol_table *table)
{
	const Elf64_Shdr *section = find_symtab(module->elf);
	int r = section ? read_symtab(module, table, module->elf, section) : 0;
	if (r == 0 && !table->has_symtab) {
		r = debugfile_open(module, &table->debug, &table->where);
		section = r == 0 && table->debug ? find_symtab(table->debug) : NULL;
		if (section)
			r = read_symtab(module, table, table->debug, section);
	}
	return r < 0 ? r : set_index(&table->full);
}

static int read_dynamic(struct module *module, struct symbol_table *table)
{
	const struct dynamic *dynamic = module_dynamic(module);
	if (!dynamic)
		return -ENOMEM;
	for (size_t i = 1; i < dynamic->n_symbols && i <= UINT32_MAX; i++) {
		struct entry entry;
		if (!is_defined(&dynamic->symbols[i]))
			continue;
		entry_init(&entry, &dynamic->symbols[i]);
		entry.name = dynamic_symbol_name(dynamic, i);
		entry.version = dynamic_symbol_version(dynamic, i, &entry.hidden_version);
		entry.dynamic_index = (uint32_t)i;
		/* Version index 0 says: local to the file after all. */
		if (dynamic->versym && (dynamic->versym[i] & 0x7fff) == 0)
			entry.binding = STB_LOCAL;
		int r = entry_is_sound(module->elf, &entry) ? set_add(&table->dynamic, &entry) : 0;
		if (r < 0)
			return r;
	}
	return set_index(&table->dynamic);
}

static struct usp_error *get_table(struct module *module, struct symbol_table **ret)
{
	if (!module->elf)
		return usp_errorf(USP_MISMATCH, "the symbols of %s cannot be used: %s", module->path,
				  module->unusable ? module->unusable : "it has no file");
	if (!module->symbols)
		module->symbols = calloc(1, sizeof(*module->symbols));
	*ret = module->symbols;
	return module->symbols ? NULL : &usp_error_no_memory;
}

struct usp_error *symbol_table_dynamic(struct module *module, struct symbol_table **ret)
{
	struct usp_error *error = get_table(module, ret);
	if (error || (*ret)->dynamic.loaded)
		return error;
	if (read_dynamic(module, *ret) < 0) {
		set_deinit(&(*ret)->dynamic);
		return &usp_error_no_memory;
	}
	return NULL;
}

struct usp_error *symbol_table_full(struct module *module, struct symbol_table **ret)
{
	struct usp_error *error = symbol_table_dynamic(module, ret);
	if (error || (*ret)->full.loaded)
		return error;
	if (read_full(module, *ret) < 0) {
		symbol_table_destroy(module->symbols);
		module->symbols = NULL;
		return &usp_error_no_memory;
	}
	return NULL;
}

bool entry_is_class(const struct entry *entry, unsigned char type)
{
	switch (type) {
	case STT_FUNC:
		return entry->type == STT_FUNC || entry->type == STT_GNU_IFUNC ||
		       (entry->type == STT_NOTYPE && entry->size);
	case STT_NOTYPE:
		return true;
	default:
		return entry->type == type;
	}
}

bool file_matches(const char *a, const char *b)
{
	size_t a_length = strlen(a), b_length = strlen(b);
	if (a_length > b_length)
		return file_matches(b, a);
	const char *end = b + (b_length - a_length);
	return a_length && strcmp(a, end) == 0 && (end == b || end[-1] == '/' || *a == '/');
}

void entry_to_symbol(struct module *module, const struct entry *entry, struct symbol *ret)
{
	*ret = (struct symbol){
		.name = entry->name,
		.file = entry->file,
		.version = entry->version,
		.module = module,
		.address = entry->type == STT_TLS ? entry->value : entry->value + module->bias,
		.size = entry->size,
		.type = entry->type,
		.binding = entry->binding,
	};
}

/* Of two names for one address, the one to show: a real function, with a size, known to the world. */
static int goodness(const struct entry *entry)
{
	return (entry->size ? 4 : 0) + (entry->type != STT_NOTYPE ? 2 : 0) +
	       (entry->binding != STB_LOCAL ? 1 : 0);
}

static int by_start(const void *a, const void *b)
{
	const struct function *x = a, *y = b;
	if (x->start != y->start)
		return x->start < y->start ? -1 : 1;
	int x_good = goodness(x->entry), y_good = goodness(y->entry);
	if (x_good != y_good)
		return y_good - x_good;
	return x->end != y->end ? (x->end > y->end ? -1 : 1) : strcmp(x->entry->name, y->entry->name);
}

static void collect(const struct elf_file *file, const struct symbol_set *set, struct function *functions,
		    size_t *n)
{
	for (size_t i = 0; i < set->n; i++) {
		const struct entry *entry = &set->v[i];
		bool label = entry->type == STT_NOTYPE && (entry->size || entry->binding != STB_LOCAL);
		if ((entry->type == STT_FUNC || entry->type == STT_GNU_IFUNC || label) &&
		    elf_file_is_code(file, entry->value, entry->size ? entry->size : 1))
			functions[(*n)++] =
				(struct function){entry->value, entry->value + entry->size, 0, entry};
	}
}

static int read_functions(struct module *module, struct symbol_table *table)
{
	size_t n = 0, last = 0;
	struct function *v = calloc(table->full.n + table->dynamic.n + 1, sizeof(*v));
	if (!v)
		return -ENOMEM;
	collect(module->elf, &table->full, v, &n);
	collect(module->elf, &table->dynamic, v, &n);
	if (n)
		qsort(v, n, sizeof(*v), by_start);
	for (size_t i = 1; i < n; i++) {
		if (v[i].start != v[last].start)
			v[++last] = v[i];
		else if (v[i].end > v[last].end)
			v[last].end = v[i].end;
	}
	n = n ? last + 1 : 0;
	for (size_t i = 0; i < n; i++) {
		const struct fde *fde =
			v[i].end == v[i].start ? fde_table_starting(&table->fdes, v[i].start) : NULL;
		if (fde)
			v[i].end = fde->end;
		v[i].reach = i && v[i - 1].reach > v[i].end ? v[i - 1].reach : v[i].end;
	}
	table->functions = v;
	table->n_functions = n;
	table->functions_loaded = true;
	return 0;
}

struct usp_error *symbol_table_functions(struct module *module, struct symbol_table **ret)
{
	struct usp_error *error = symbol_table_full(module, ret);
	if (error)
		return error;
	struct symbol_table *table = *ret;
	if (!table->fdes_loaded) {
		if (fde_table_read(module->elf, &table->fdes) < 0)
			return &usp_error_no_memory;
		table->fdes_loaded = true;
	}
	if (!table->functions_loaded && read_functions(module, table) < 0)
		return &usp_error_no_memory;
	return NULL;
}

ssize_t function_before(const struct symbol_table *table, uint64_t address)
{
	size_t low = 0, high = table->n_functions;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (table->functions[middle].start <= address)
			low = middle + 1;
		else
			high = middle;
	}
	return (ssize_t)low - 1;
}

const struct function *function_covering(const struct symbol_table *table, uint64_t address)
{
	for (ssize_t i = function_before(table, address); i >= 0 && table->functions[i].reach > address; i--)
		if (address < table->functions[i].end)
			return &table->functions[i];
	return NULL;
}

void symbol_table_destroy(struct symbol_table *table)
{
	if (!table)
		return;
	set_deinit(&table->full);
	set_deinit(&table->dynamic);
	elf_file_close(table->debug);
	free(table->where);
	for (size_t i = 0; i < table->n_strings; i++)
		free(table->strings[i]);
	free(table->strings);
	free(table->files);
	fde_table_deinit(&table->fdes);
	free(table->functions);
	free(table->crossings);
	free(table);
}
