// SPDX-License-Identifier: MIT
#include "build/definitions.h"

#include <string.h>

/* GNU ld makes hidden globals of a library local, and puts them behind the last object's, after a file without a name. */
static bool is_hidden_global(const struct symbol_table *table, const struct entry *e)
{
	return !e->file && e->group && e->group == table->n_files;
}

struct usp_error *definitions_find(struct module *names, const char *name, struct definitions *ret)
{
	struct symbol_table *table;
	*ret = (struct definitions){0};
	struct usp_error *error = symbol_table_full(names, &table);
	if (error)
		return error;
	for (const struct entry *e = symbol_set_first(&table->full, name); e;
	     e = symbol_set_next(&table->full, e)) {
		if (e->binding != STB_LOCAL || is_hidden_global(table, e)) {
			ret->shared = e;
			continue;
		}
		ret->ambiguous |= ret->local && ret->local->value != e->value;
		ret->local = e;
	}
	return NULL;
}

struct usp_error *definitions_have_source(struct module *names, const char *source, bool *ret)
{
	struct symbol_table *table;
	struct usp_error *error = symbol_table_full(names, &table);
	bool any = false;
	*ret = false;
	for (size_t i = 0; !error && i < table->n_files && !*ret; i++) {
		any |= *table->files[i] != 0; /* ld writes one without a name */
		*ret = !strcmp(table->files[i], source);
	}
	*ret |= !any;
	return error;
}

/* By its source's name; also if it has none. */
static struct usp_error *is_listed(struct module *names, const struct object *object, bool *ret)
{
	*ret = true;
	for (uint32_t i = 1; i < object->n_symbols; i++)
		if (object->symbols[i].type == STT_FILE)
			return definitions_have_source(names, object->symbols[i].name, ret);
	return NULL;
}

struct usp_error *definitions_have(struct module *names, const struct object *object, bool *ret)
{
	bool any = false, listed;
	struct usp_error *error = is_listed(names, object, &listed);
	*ret = false;
	if (error || !listed)
		return error;
	for (uint32_t i = 1; i < object->n_symbols && !error && !*ret; i++) {
		const struct object_symbol *s = &object->symbols[i];
		struct definitions found;
		/* Every program has a main. */
		if (s->binding != STB_GLOBAL || s->section == SHN_UNDEF || s->section == SHN_ABS ||
		    !strcmp(s->name, "main"))
			continue;
		any = true;
		error = definitions_find(names, s->name, &found);
		/* A local one may be a hidden global: definitions_find() cannot tell of each linker. */
		*ret = !error && (found.shared || found.local);
	}
	*ret |= !any;
	return error;
}
