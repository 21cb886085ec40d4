// SPDX-License-Identifier: MIT
#include "build/definitions.h"

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
