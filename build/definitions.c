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

/* By the name of its source, which linkers keep; also if they did not, or it has none. */
static bool is_listed(const struct symbol_table *table, const struct object *object)
{
	for (uint32_t i = 1; i < object->n_symbols; i++) {
		if (object->symbols[i].type != STT_FILE)
			continue;
		for (size_t k = 0; k < table->n_files; k++)
			if (!strcmp(table->files[k], object->symbols[i].name))
				return true;
		return !table->n_files;
	}
	return true;
}

struct usp_error *definitions_have(struct module *names, const struct object *object, bool *ret)
{
	struct symbol_table *table;
	struct usp_error *error = symbol_table_full(names, &table);
	bool any = false;
	*ret = false;
	if (error || !is_listed(table, object))
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
