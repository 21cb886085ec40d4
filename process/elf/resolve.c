// SPDX-License-Identifier: MIT
/*
 * Binding a name of new code, in the order of the steps; the first that has an answer ends it:
 *
 * 1. file given: the one local symbol of that file in `from`, and nothing else;
 * 2. a global of `from`: itself, unless the target bound it elsewhere (another module is looked at first, a
 * COPY relocation), which a slot of `from` or the look-up order tells;
 * 3. a local of `from`, if there is one only, and `from` does not import the name as well;
 * 4. where the target bound `from`'s own import of the name;
 * 5. the first definition in the look-up order (scope.h), of the version that was asked for, else that `from`
 * imports, else the default one. Beyond the certain part of the order, there must be only one.
 *
 * A function of a library has one more address in a non-PIE executable that takes it: a PLT entry. Function
 * pointers of the target equal that one; what is returned here is the function itself.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "process/elf/nearest.h"
#include "process/elf/scope.h"
#include "process/slots.h"
#include "process/elf/tls.h"

struct query {
	const struct modules *modules;
	struct module *from;
	const char *name, *file, *version;
};

static struct usp_error *found(const struct query *query, struct module *module, const struct entry *entry,
			       struct resolved *ret)
{
	*ret = (struct resolved){.module = module, .type = entry->type, .size = entry->size};
	if (entry->type == STT_TLS)
		return tls_resolve(query->modules, module, entry->name, entry->value, ret) < 0
			       ? &usp_error_no_memory
			       : NULL;
	ret->address = entry->value + module->bias;
	if (entry->type != STT_GNU_IFUNC)
		return NULL;
	struct symbol function;
	uint64_t chosen = slots_ifunc(query->modules, module, entry);
	ret->ifunc_resolver = chosen ? 0 : ret->address;
	ret->address = chosen;
	ret->size = 0;
	if (chosen) {
		ret->type = STT_FUNC;
		if (symbol_at(module, chosen, &function) && function.address == chosen)
			ret->size = function.size;
	}
	return NULL;
}

/* Whether the dynamic linker lets other modules have this definition, in the version asked for (or by
 * default). */
static bool is_offered(const struct entry *entry, const char *version)
{
	if (entry->binding == STB_LOCAL ||
	    (entry->visibility != STV_DEFAULT && entry->visibility != STV_PROTECTED))
		return false;
	if (version)
		return !entry->version || strcmp(entry->version, version) == 0;
	return !entry->hidden_version;
}

static const struct entry *find_offered(const struct symbol_table *table, const char *name,
					const char *version)
{
	for (const struct entry *e = symbol_set_first(&table->dynamic, name); e;
	     e = symbol_set_next(&table->dynamic, e))
		if (is_offered(e, version))
			return e;
	return NULL;
}

/* The undefined dynamic symbol of that name, if from imports it; *version what it asks for, or NULL. */
static bool imports(struct module *from, const char *name, const char **version)
{
	const struct dynamic *dynamic = module_dynamic(from);
	for (size_t i = 1; dynamic && i < dynamic->n_symbols; i++)
		if (dynamic->symbols[i].st_shndx == SHN_UNDEF &&
		    strcmp(dynamic_symbol_name(dynamic, i), name) == 0) {
			*version = dynamic_symbol_version(dynamic, i, NULL);
			return true;
		}
	return false;
}

/* "the X of A at 0x1, of B at 0x2" */
struct candidate {
	struct module *module;
	const struct entry *entry;
};

static struct usp_error *several(const struct query *query, const struct candidate *v, size_t n)
{
	char *text;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	if (!out)
		return &usp_error_no_memory;
	fprintf(out, "%s could be bound to several definitions", query->name);
	for (size_t i = 0; i < n; i++)
		fprintf(out, "%s %s at 0x%lx", i ? "," : ":", v[i].module->path,
			v[i].entry->value + v[i].module->bias);
	fputs("; which of them the target would take cannot be told: say the symbol version", out);
	struct usp_error *error = fclose(out) ? &usp_error_no_memory : usp_errorf(USP_AMBIGUOUS, "%s", text);
	free(text);
	return error;
}

static struct usp_error *nowhere(const struct query *query, const struct scope *scope)
{
	char text[512], unused[256] = "";
	struct nearest nearest;
	nearest_init(&nearest, query->name);
	for (size_t i = 0; i < scope->n; i++) {
		struct symbol_table *table;
		struct usp_error *error = symbol_table_dynamic(scope->v[i], &table);
		if (error && !*unused)
			snprintf(unused, sizeof(unused), "; could not look into %s", scope->v[i]->path);
		for (size_t j = 0; !error && j < table->dynamic.n; j++)
			nearest_offer(&nearest, table->dynamic.v[j].name);
		usp_error_destroy(error);
	}
	nearest_format(&nearest, text, sizeof(text));
	return usp_errorf(USP_NOT_FOUND, "%s%s%s is not defined in the target%s%s%s%s%s", query->name,
			  query->version ? "@" : "", query->version ? query->version : "",
			  query->from ? " as seen from " : "", query->from ? query->from->name : "",
			  *text ? "; near it: " : "", text, unused);
}

/* Step 5. */
static struct usp_error *look_up(const struct query *query, const char *version, struct resolved *ret)
{
	struct scope scope;
	struct candidate candidates[8];
	size_t n = 0;
	struct usp_error *error = NULL;
	if (scope_init(query->modules, query->from, &scope) < 0)
		return &usp_error_no_memory;
	for (size_t i = 0; i < scope.n && n < 8; i++) {
		struct symbol_table *table;
		struct module *module = scope.v[i];
		error = symbol_table_dynamic(module, &table);
		if (error && i < scope.n_certain) {
			error = usp_error_prefix(error, "whether %s is defined there cannot be told",
						 query->name);
			goto out; /* it might define the name, and comes first */
		}
		const struct entry *entry = error ? NULL : find_offered(table, query->name, version);
		usp_error_destroy(error);
		error = NULL;
		if (!entry)
			continue;
		candidates[n++] = (struct candidate){module, entry};
		if (i < scope.n_certain)
			break;
	}
	error = n == 1 ? found(query, candidates[0].module, candidates[0].entry, ret)
		: n    ? several(query, candidates, n)
		       : nowhere(query, &scope);
out:
	scope_deinit(&scope);
	return error;
}

/* Whether the executable has a copy of an object of this name. */
static struct module *copy_owner(const struct query *query)
{
	struct module *main = query->modules->n ? query->modules->v[0] : NULL;
	const struct dynamic *dynamic = main && main->is_main ? module_dynamic(main) : NULL;
	for (size_t i = 0; dynamic && i < dynamic->n_slots; i++)
		if (dynamic->slots[i].type == R_X86_64_COPY &&
		    slot_names(dynamic, &dynamic->slots[i], query->name, NULL))
			return main;
	return NULL;
}

/* Step 2 for a global that other modules may come before. */
static struct usp_error *resolve_own_export(const struct query *query, const struct entry *own,
					    struct resolved *ret)
{
	const struct dynamic *dynamic = module_dynamic(query->from);
	const struct entry *entry;
	if (!dynamic)
		return &usp_error_no_memory;
	if (query->from->is_main || dynamic->symbolic || own->visibility != STV_DEFAULT)
		return found(query, query->from, own, ret);
	struct module *copy = own->type == STT_OBJECT ? copy_owner(query) : NULL;
	struct symbol_table *table;
	if (copy && copy != query->from) {
		struct usp_error *error = symbol_table_dynamic(copy, &table);
		entry = error ? NULL : find_offered(table, query->name, NULL);
		usp_error_destroy(error);
		if (entry)
			return found(query, copy, entry, ret);
	}
	struct module *bound = slots_bound(query->modules, query->from, query->name, query->version, &entry);
	if (bound)
		return found(query, bound, entry, ret);
	/* No slot at all: from's own code reaches its definition directly, and so does the new one. */
	if (!slots_bind(query->from, query->name) || own->type == STT_TLS)
		return found(query, query->from, own, ret);
	return look_up(query, query->version ? query->version : own->version, ret);
}

/* Step 2. *done: there was a global, and *ret or the error is the answer. */
static struct usp_error *resolve_own_global(const struct query *query, struct symbol_table *table,
					    struct resolved *ret, bool *done)
{
	const struct entry *best = NULL, *exported = NULL;
	const struct symbol_set *sets[] = {&table->dynamic, &table->full};
	for (size_t i = 0; i < 2; i++)
		for (const struct entry *e = symbol_set_first(sets[i], query->name); e;
		     e = symbol_set_next(sets[i], e)) {
			if (e->binding == STB_LOCAL ||
			    (query->version ? e->version && strcmp(e->version, query->version) != 0
					    : e->hidden_version))
				continue;
			if (i == 0)
				exported = e;
			if (best && best->value != e->value) {
				struct candidate both[] = {{query->from, best}, {query->from, e}};
				*done = true;
				return several(query, both, 2);
			}
			if (!best)
				best = e;
		}
	*done = best != NULL;
	if (!best)
		return NULL;
	return exported ? resolve_own_export(query, exported, ret) : found(query, query->from, best, ret);
}

/* Steps 1 and 3. */
static struct usp_error *resolve_local(const struct query *query, struct symbol_table *table,
				       struct resolved *ret, bool *done)
{
	struct symbol symbol;
	const struct entry *local = NULL;
	for (const struct entry *e = symbol_set_first(&table->full, query->name); e;
	     e = symbol_set_next(&table->full, e))
		if (e->binding == STB_LOCAL)
			local = e;
	*done = local || query->file;
	if (!*done)
		return NULL;
	/* symbol_find() knows how to tell them apart, and what to say if it cannot. */
	struct usp_error *error = symbol_find(query->from, query->name, query->file, STT_NOTYPE, &symbol);
	if (error)
		return error;
	struct entry entry = {.name = symbol.name,
			      .value = symbol.type == STT_TLS ? symbol.address
							      : symbol.address - query->from->bias,
			      .size = symbol.size,
			      .type = symbol.type,
			      .binding = STB_LOCAL};
	const char *version;
	if (!query->file && imports(query->from, query->name, &version))
		return usp_errorf(USP_AMBIGUOUS,
				  "%s is a local symbol of %s (at 0x%lx%s%s) and one that it takes from a "
				  "library: say the source file, or the symbol version for the library's",
				  query->name, query->from->name, symbol.address, symbol.file ? ", " : "",
				  symbol.file ? symbol.file : "");
	return found(query, query->from, &entry, ret);
}

struct usp_error *symbol_resolve(const struct modules *modules, struct module *from, const char *name,
				 const char *file, const char *version, struct resolved *ret)
{
	struct query query = {modules, from, name, file, version};
	const char *imported = NULL;
	const struct entry *entry;
	*ret = (struct resolved){0};
	if (from) {
		struct symbol_table *table;
		bool done = false;
		struct usp_error *error = symbol_table_functions(from, &table);
		if (!error && !(file && *file))
			error = resolve_own_global(&query, table, ret, &done);
		if (!error && !done && !version && !(file && !*file))
			error = resolve_local(&query, table, ret, &done);
		if (error || done)
			return error;
		bool is_import = imports(from, name, &imported);
		struct module *bound =
			is_import ? slots_bound(modules, from, name, version ? version : imported, &entry)
				  : NULL;
		if (bound)
			return found(&query, bound, entry, ret);
	}
	return look_up(&query, version ? version : imported, ret);
}
