// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include "process/elf/symbols.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "process/elf/nearest.h"
#include "process/elf/symbol_table.h"

#define LISTED_MAX 16u

struct matches {
	struct entry *v; /* one for each address */
	size_t n;
};

static int matches_add(struct matches *matches, const struct entry *entry)
{
	bool tls = entry->type == STT_TLS;
	for (size_t i = 0; i < matches->n; i++) {
		struct entry *have = &matches->v[i];
		if (have->value != entry->value || (have->type == STT_TLS) != tls)
			continue;
		/* .dynsym knows the version, .symtab the file: keep what either says. */
		if (!have->version)
			have->version = entry->version;
		if (!have->file)
			have->file = entry->file;
		if (have->type == STT_NOTYPE)
			have->type = entry->type;
		if (entry->size > have->size)
			have->size = entry->size;
		if (have->binding == STB_LOCAL)
			have->binding = entry->binding;
		have->hidden_version = have->hidden_version && entry->hidden_version;
		return 0;
	}
	struct entry *v = reallocarray(matches->v, matches->n + 1, sizeof(*v));
	if (!v)
		return -1;
	matches->v = v;
	v[matches->n++] = *entry;
	return 0;
}

static int matches_collect(const struct symbol_set *set, const char *name, unsigned char type,
			   struct matches *matches)
{
	for (const struct entry *e = symbol_set_first(set, name); e; e = symbol_set_next(set, e))
		if (entry_is_class(e, type) && matches_add(matches, e) < 0)
			return -1;
	return 0;
}

/* Keeps those that `keep` likes, unless it likes none. */
static void prefer(struct matches *matches, bool (*keep)(const struct entry *entry, const char *with),
		   const char *with)
{
	size_t n = 0;
	for (size_t i = 0; i < matches->n; i++)
		n += keep(&matches->v[i], with);
	if (!n)
		return;
	n = 0;
	for (size_t i = 0; i < matches->n; i++)
		if (keep(&matches->v[i], with))
			matches->v[n++] = matches->v[i];
	matches->n = n;
}

static bool is_default_version(const struct entry *entry, const char *unused)
{
	(void)unused;
	return !entry->hidden_version;
}

static bool has_version(const struct entry *entry, const char *version)
{
	return entry->version && strcmp(entry->version, version) == 0;
}

static bool is_of_file(const struct entry *entry, const char *file)
{
	return entry->file && file_matches(entry->file, file);
}

static bool is_exactly_of_file(const struct entry *entry, const char *file)
{
	return entry->file && strcmp(entry->file, file) == 0;
}

static bool is_global(const struct entry *entry, const char *unused)
{
	(void)unused;
	return entry->binding != STB_LOCAL;
}

/* Names come from the target's files: what a terminal would obey is shown as '?'. */
static void print_name(FILE *out, const char *name)
{
	for (size_t i = 0; name[i] && i < 256; i++)
		fputc(iscntrl((unsigned char)name[i]) ? '?' : name[i], out);
}

static void print_matches(FILE *out, const struct module *module, const struct matches *matches)
{
	for (size_t i = 0; i < matches->n && i < LISTED_MAX; i++) {
		const struct entry *entry = &matches->v[i];
		fprintf(out, "%s0x%lx (", i ? ", " : "", entry->value + module->bias);
		if (entry->file)
			print_name(out, entry->file);
		else
			fputs(entry->binding == STB_LOCAL ? "local, file unknown" : "global", out);
		if (entry->version) {
			fputs(", version ", out);
			print_name(out, entry->version);
		}
		fputc(')', out);
	}
	if (matches->n > LISTED_MAX)
		fprintf(out, " and %zu more", matches->n - LISTED_MAX);
}

/* A text made in memory becomes an error. */
static struct usp_error *error_from(enum usp_code code, FILE *out, char **text)
{
	bool bad = fclose(out) != 0;
	struct usp_error *error = bad ? &usp_error_no_memory : usp_errorf(code, "%s", *text);
	free(*text);
	return error;
}

static const char *class_name(unsigned char type)
{
	return type == STT_FUNC	    ? "function"
	       : type == STT_OBJECT ? "object"
	       : type == STT_TLS    ? "thread-local variable"
				    : "symbol";
}

static struct usp_error *not_found(struct module *module, const struct symbol_table *table, const char *name,
				   const char *file, unsigned char type, const struct matches *others)
{
	char *text;
	size_t n;
	FILE *out = open_memstream(&text, &n);
	if (!out)
		return &usp_error_no_memory;
	fprintf(out, "%s has no %s ", module->name, class_name(type));
	print_name(out, name);
	if (file) {
		fputs(" of the file ", out);
		print_name(out, file);
	}
	if (others->n) {
		fputs("; there is: ", out);
		print_matches(out, module, others);
		return error_from(USP_NOT_FOUND, out, &text);
	}
	struct nearest nearest;
	nearest_init(&nearest, name);
	const struct symbol_set *sets[] = {&table->full, &table->dynamic};
	for (size_t i = 0; i < 2; i++)
		for (size_t j = 0; j < sets[i]->n; j++)
			if (entry_is_class(&sets[i]->v[j], type))
				nearest_offer(&nearest, sets[i]->v[j].name);
	for (size_t i = 0; i < nearest.n; i++) {
		fputs(i ? ", " : "; near it: ", out);
		print_name(out, nearest.v[i].name);
	}
	if (!table->has_symtab) {
		fputs("; it has only dynamic symbols, no .symtab: install its debug symbols", out);
		if (table->where) {
			fputs(" (looked for ", out);
			print_name(out, table->where);
			fputc(')', out);
		}
	}
	return error_from(USP_NOT_FOUND, out, &text);
}

static struct usp_error *ambiguous(struct module *module, const char *name, const char *file,
				   const struct matches *matches)
{
	char *text;
	size_t n;
	FILE *out = open_memstream(&text, &n);
	if (!out)
		return &usp_error_no_memory;
	print_name(out, name);
	if (file) {
		fputs(" of the file ", out);
		print_name(out, file);
	}
	fprintf(out, " is ambiguous in %s, say which source file: ", module->name);
	print_matches(out, module, matches);
	return error_from(USP_AMBIGUOUS, out, &text);
}

/*
 * With a file: its locals; when there are none, globals, for nothing says where those come from. Without:
 * all. Then the default version of what has several.
 */
static void narrow(struct matches *matches, const char *file, const char *version)
{
	if (file) {
		bool any = false, any_global = false;
		for (size_t i = 0; i < matches->n; i++) {
			any = any || is_of_file(&matches->v[i], file);
			any_global = any_global || is_global(&matches->v[i], NULL);
		}
		if (any) {
			prefer(matches, is_of_file, file);
			prefer(matches, is_exactly_of_file, file);
		} else if (any_global) {
			prefer(matches, is_global, NULL);
		} else {
			matches->n = 0;
		}
	}
	if (version) {
		prefer(matches, has_version, version);
		if (matches->n && !has_version(&matches->v[0], version))
			matches->n = 0;
	} else {
		prefer(matches, is_default_version, NULL);
	}
}

static struct usp_error *find_in(struct module *module, struct symbol_table *table, const char *name,
				 const char *version, const char *file, unsigned char type,
				 struct symbol *ret)
{
	struct matches matches = {0}, all = {0};
	struct usp_error *error = NULL;
	if (matches_collect(&table->full, name, type, &matches) < 0 ||
	    matches_collect(&table->dynamic, name, type, &matches) < 0 ||
	    (matches.n && !(all.v = reallocarray(NULL, matches.n, sizeof(*all.v))))) {
		free(matches.v);
		return &usp_error_no_memory;
	}
	if (matches.n)
		memcpy(all.v, matches.v, matches.n * sizeof(*all.v));
	all.n = matches.n;
	narrow(&matches, file, version);
	if (matches.n > 1)
		error = ambiguous(module, name, file, &matches);
	else if (!matches.n)
		error = not_found(module, table, name, file, type, &all);
	else
		entry_to_symbol(module, &matches.v[0], ret);
	free(matches.v);
	free(all.v);
	return error;
}

/* Assembly may leave a function's size out; its FDE has it. */
static void fill_size(struct module *module, struct symbol_table *table, struct symbol *symbol)
{
	if (symbol->size || symbol->type == STT_OBJECT || symbol->type == STT_TLS)
		return;
	const struct fde *fde = fde_table_starting(&table->fdes, symbol->address - module->bias);
	if (fde)
		symbol->size = fde->end - fde->start;
}

struct usp_error *symbol_find(struct module *module, const char *name, const char *file, unsigned char type,
			      struct symbol *ret)
{
	struct symbol_table *table;
	struct usp_error *error = symbol_table_functions(module, &table);
	if (error)
		return error;
	const char *at = strchr(name, '@');
	_cleanup_free_ char *bare = at && at != name ? strndup(name, (size_t)(at - name)) : strdup(name);
	if (!bare)
		return &usp_error_no_memory;
	const char *version = at && at != name ? at + 1 + (at[1] == '@') : NULL;
	error = find_in(module, table, bare, version, file, type, ret);
	if (!error)
		fill_size(module, table, ret);
	return error;
}

bool symbol_at(struct module *module, uint64_t address, struct symbol *ret)
{
	struct symbol_table *table;
	struct usp_error *error = symbol_table_functions(module, &table);
	if (error) {
		usp_error_destroy(error);
		return false;
	}
	uint64_t link = address - module->bias;
	const struct function *function = function_covering(table, link);
	const struct fde *fde = fde_table_find(&table->fdes, link);
	/* What is known of the nearest code is better than an outer symbol that happens to span it. */
	if (function && (!fde || fde->start <= function->start)) {
		entry_to_symbol(module, function->entry, ret);
		ret->size = function->end - function->start;
		return true;
	}
	if (!fde)
		return false;
	*ret = (struct symbol){
		.name = "",
		.module = module,
		.address = fde->start + module->bias,
		.size = fde->end - fde->start,
		.type = STT_FUNC,
		.binding = STB_LOCAL,
	};
	return true;
}

/* Whether .symtab says the same of a dynamic symbol already. */
static bool is_repeated(const struct symbol_table *table, const struct entry *entry)
{
	for (const struct entry *e = symbol_set_first(&table->full, entry->name); e;
	     e = symbol_set_next(&table->full, e))
		if (e->value == entry->value && entry_is_class(e, STT_FUNC))
			return true;
	return false;
}

static int each_function(struct module *module, struct symbol_table *table,
			 int (*fn)(void *context, const struct symbol *symbol), void *context)
{
	const struct symbol_set *sets[] = {&table->full, &table->dynamic};
	for (size_t i = 0; i < 2; i++) {
		for (size_t j = 0; j < sets[i]->n; j++) {
			const struct entry *entry = &sets[i]->v[j];
			struct symbol symbol;
			if (!entry_is_class(entry, STT_FUNC) ||
			    !elf_file_is_code(module->elf, entry->value, 1) ||
			    (i == 1 && is_repeated(table, entry)))
				continue;
			entry_to_symbol(module, entry, &symbol);
			fill_size(module, table, &symbol);
			int r = fn(context, &symbol);
			if (r)
				return r;
		}
	}
	return 0;
}

int symbols_each_function(struct module *module, int (*fn)(void *context, const struct symbol *symbol),
			  void *context)
{
	struct symbol_table *table;
	struct usp_error *error = symbol_table_functions(module, &table);
	if (error) {
		usp_error_destroy(error);
		return 0;
	}
	return each_function(module, table, fn, context);
}

struct clone_search {
	const char *name, *file;
	size_t length, n;
	int (*fn)(void *context, const struct symbol *symbol);
	void *context;
};

static int offer_clone(void *context, const struct symbol *symbol)
{
	struct clone_search *search = context;
	const char *rest = symbol->name + search->length;
	if (strncmp(symbol->name, search->name, search->length) != 0 || *rest != '.')
		return 0;
	if (search->file && symbol->file && !file_matches(symbol->file, search->file))
		return 0;
	/* Split-off parts go with the function (function_ranges()); a part's or clone's own .cold is no clone
	 * either. */
	const char *last = strrchr(rest, '.');
	while (last > rest && isdigit((unsigned char)last[1])) {
		do
			last--;
		while (*last != '.');
	}
	if (strncmp(last, ".cold", 5) == 0 || strncmp(rest, ".part.", 6) == 0)
		return 0;
	search->n++;
	return search->fn ? search->fn(search->context, symbol) : 0;
}

struct usp_error *symbol_clones(struct module *module, const char *name, const char *file,
				int (*fn)(void *context, const struct symbol *symbol), void *context,
				size_t *ret_n)
{
	struct symbol_table *table;
	struct clone_search search = {name, file, strlen(name), 0, fn, context};
	struct usp_error *error = symbol_table_functions(module, &table);
	if (error)
		return error;
	(void)each_function(module, table, offer_clone, &search);
	if (ret_n)
		*ret_n = search.n;
	return NULL;
}
