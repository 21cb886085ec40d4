// SPDX-License-Identifier: MIT
/* All units of one build, entry by entry: what has a name and a layout is written down. */
#include <string.h>

#include "build/object/object.h"
#include "build/types/side.h"

#define NESTING_MAX 256 /* of entries; functions inlined into one another and their blocks */

struct walk {
	struct types_side *side;
	uint32_t unit;
	uintptr_t last;	   /* address of the last entry: from one to the next it only goes up */
	bool types, whole; /* the unit has a type; a function with a prototype */
};

struct scope {
	const char *name; /* "ns::", "f()::" */
	bool local;	  /* in a function */
	unsigned depth;
};

static struct usp_error *join(struct walk *walk, const char *keyword, struct scope scope, const char *name,
			      const char *end, const char **ret)
{
	if (strlen(scope.name) + strlen(name) > TYPES_NAME_MAX)
		return types_broken("a name of more than %zu bytes", TYPES_NAME_MAX);
	types_text_printf(&walk->side->reader.text, "%s%s%s%s%s", keyword, *keyword ? " " : "", scope.name,
			  name, end);
	return types_reader_take(&walk->side->reader, ret);
}

static struct usp_error *add(struct walk *walk, enum types_entry_kind kind, const char *key, const char *name,
			     const struct types_die *d)
{
	struct types_side *side = walk->side;
	if (side->n_entries == UINT32_MAX ||
	    !object_grow(&side->entries, side->n_entries, &side->entries_capacity, sizeof(*side->entries)))
		return &usp_error_no_memory;
	side->entries[side->n_entries++] = (struct types_entry){
		.kind = kind, .key = key, .name = name, .die = d->die, .unit = walk->unit};
	return NULL;
}

/* "enum {FIRST, ...}" */
static struct usp_error *add_unnamed_enum(struct walk *walk, const struct types_die *d, struct scope scope)
{
	struct types_die child;
	bool found;
	const char *first = NULL, *name;
	struct usp_error *error = types_die_child(d, NULL, &child, &found);
	if (!error && found)
		error = types_die_string(&child, TYPES_AT_NAME, &first);
	if (error || !first)
		return error;
	error = join(walk, "enum", (struct scope){.name = "{"}, first, ", ...}", &name);
	return error ? error : add(walk, TYPES_ENTRY_ENUM, scope.name, name, d);
}

static struct usp_error *add_type(struct walk *walk, const struct types_die *d, struct scope scope)
{
	const char *name, *key, *shown;
	if (!types_die_is_definition(d))
		return NULL;
	struct usp_error *error = types_die_string(d, TYPES_AT_NAME, &name);
	if (error)
		return error;
	if (!name)
		return d->tag == DW_TAG_enumeration_type ? add_unnamed_enum(walk, d, scope) : NULL;
	error = join(walk, "", scope, name, "", &key);
	if (!error)
		error = join(walk, types_keyword(d->tag), scope, name, "", &shown);
	return error ? error : add(walk, TYPES_ENTRY_TAG, key, shown, d);
}

static struct usp_error *add_typedef(struct walk *walk, const struct types_die *d, struct scope scope)
{
	struct types_die to;
	bool found;
	const char *name, *key;
	struct usp_error *error = types_die_type(d, &to, &found);
	if (error || !found || !types_die_is_definition(&to))
		return error;
	error = types_die_string(d, TYPES_AT_NAME, &name);
	if (error || !name)
		return error;
	error = join(walk, "", scope, name, "", &key);
	return error ? error : add(walk, TYPES_ENTRY_TYPEDEF, key, key, &to);
}

static struct usp_error *add_function(struct walk *walk, const struct types_die *d, const char *symbol)
{
	struct types_side *side = walk->side;
	bool declared = types_die_flag(d, TYPES_AT_DECLARATION);
	struct types_die child;
	bool found;
	struct usp_error *error = types_die_child(d, NULL, &child, &found);
	if (error)
		return error;
	if (!declared) {
		if (!object_grow(&side->bodies, side->n_bodies, &side->bodies_capacity,
				 sizeof(*side->bodies)))
			return &usp_error_no_memory;
		side->bodies[side->n_bodies++] =
			(struct types_body){.symbol = symbol, .die = d->die, .unit = walk->unit};
	}
	walk->whole |= types_die_flag(d, TYPES_AT_PROTOTYPED);
	if (!symbol)
		return NULL;
	/* The source's own word on the signature is at the origin; `f()` in old C says nothing. */
	bool silent = declared && !types_die_flag(d, TYPES_AT_PROTOTYPED) &&
		      (!found || child.tag == DW_TAG_unspecified_parameters);
	if (silent || types_die_has(d, TYPES_AT_ORIGIN))
		return NULL;
	return add(walk, TYPES_ENTRY_FUNCTION, symbol, symbol, d);
}

static struct usp_error *add_variable(struct walk *walk, const struct types_die *d, struct scope scope)
{
	struct types_die typed, type;
	bool found;
	const char *name, *key;
	if (scope.local && !types_die_is_static(d))
		return NULL;
	struct usp_error *error = types_die_find(d, TYPES_AT_TYPE, &typed, &found);
	if (error || !found)
		return error;
	/* `extern struct s v;` of a struct s that nobody knows */
	error = types_die_type(&typed, &type, &found);
	if (error || (found && types_die_flag(&type, TYPES_AT_DECLARATION)))
		return error;
	error = types_die_symbol(d, &name);
	if (error || !name)
		return error;
	error = join(walk, "", scope, name, "", &key);
	return error ? error : add(walk, TYPES_ENTRY_STATIC, key, key, d);
}

static bool is_function(const struct types_die *d)
{
	return d->tag == DW_TAG_subprogram || d->tag == DW_TAG_inlined_subroutine;
}

/* What d's children are in. */
static struct usp_error *enter(struct walk *walk, const struct types_die *d, struct scope *scope)
{
	const char *name;
	struct usp_error *error = NULL;
	if (++scope->depth > NESTING_MAX)
		return types_broken("entries in entries without an end");
	if (is_function(d)) {
		scope->local = true;
		error = types_die_symbol(d, &name);
		if (!error && name)
			error = join(walk, "", (struct scope){.name = ""}, name, "()::", &scope->name);
	} else if (d->tag == DW_TAG_namespace || types_die_is_composite(d)) {
		error = types_die_string(d, TYPES_AT_NAME, &name);
		if (!error && name)
			error = join(walk, "", *scope, name, "::", &scope->name);
	}
	return error;
}

static struct usp_error *visit(struct walk *walk, const struct types_die *d, struct scope scope)
{
	const char *symbol;
	struct usp_error *error = NULL;
	switch (d->tag) {
	case DW_TAG_structure_type:
	case DW_TAG_class_type:
	case DW_TAG_union_type:
	case DW_TAG_enumeration_type:
		walk->types = true;
		return add_type(walk, d, scope);
	case DW_TAG_typedef:
		return add_typedef(walk, d, scope);
	case DW_TAG_variable:
		return add_variable(walk, d, scope);
	case DW_TAG_subprogram:
		error = types_die_symbol(d, &symbol);
		return error ? error : add_function(walk, d, symbol);
	case DW_TAG_base_type:
	case DW_TAG_pointer_type:
		walk->types = true;
		return NULL;
	default:
		return NULL;
	}
}

static struct usp_error *walk_children(struct walk *walk, const struct types_die *d, struct scope scope)
{
	struct types_die child;
	bool found;
	struct usp_error *error = types_die_child(d, NULL, &child, &found);
	if (!error && found)
		error = enter(walk, d, &scope);
	for (; !error && found; error = types_die_child(d, &child, &child, &found)) {
		if ((uintptr_t)child.die.addr <= walk->last)
			return types_broken("an entry that comes twice");
		walk->last = (uintptr_t)child.die.addr;
		error = visit(walk, &child, scope);
		if (!error)
			error = walk_children(walk, &child, scope);
		if (error)
			return error;
	}
	return error;
}

static struct usp_error *walk_unit(struct types_side *side, const Dwarf_Die *die)
{
	struct walk walk = {.side = side, .unit = side->n_units++};
	struct types_die d;
	struct usp_error *error = types_die_read(die, &d);
	if (error)
		return error;
	if (types_die_has(&d, TYPES_AT_DWO_NAME))
		return usp_errorf(USP_UNSUPPORTED,
				  "debug information in another file; build without -gsplit-dwarf");
	error = visit(&walk, &d, (struct scope){.name = ""}); /* the type of a type unit */
	if (!error)
		error = walk_children(&walk, &d, (struct scope){.name = ""});
	/*
	 * -g1 names functions at most and knows no type; a file of nothing but `void f(void)` has a
	 * prototype.
	 */
	if (!error && !walk.types && !walk.whole)
		return usp_errorf(USP_NOT_FOUND, "debug information without types (-g1, line tables only, or "
						 "assembler); build with -g");
	return error;
}

struct usp_error *types_walk(struct types_side *side)
{
	Dwarf_CU *unit = NULL, *next;
	for (;;) {
		Dwarf_Half version;
		uint8_t type;
		Dwarf_Die die;
		int status = dwarf_get_units(side->dwarf, unit, &next, &version, &type, &die, NULL);
		if (status < 0)
			return types_broken("units");
		if (status > 0)
			break;
		unit = next;
		if (type == DW_UT_skeleton || type == DW_UT_split_compile || type == DW_UT_split_type)
			return usp_errorf(USP_UNSUPPORTED,
					  "debug information in another file; build without -gsplit-dwarf");
		struct usp_error *error = walk_unit(side, &die);
		if (error)
			return error;
	}
	return side->n_units ? NULL : usp_errorf(USP_NOT_FOUND, "no debug information; build with -g");
}
