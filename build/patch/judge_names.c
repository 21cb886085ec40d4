// SPDX-License-Identifier: MIT
/* Names that mean another thing than before, or more than one: build_judge_names(). */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "build/definitions.h"
#include "build/libraries.h"
#include "build/patch/build.h"

/* A name that is global only now; it moved here from another object, or overrides a weak one or a library's. */
static struct usp_error *judge_added(struct build *build, const struct build_object *o)
{
	const struct object *after = o->diff->side[OBJECT_AFTER];
	struct usp_error *error = NULL;
	for (uint32_t i = 0; i < after->n_pieces && !error; i++) {
		const struct object_piece *p = &after->pieces[i];
		struct definitions found;
		if (!p->strong || !p->name ||
		    (o->diff->verdicts[OBJECT_AFTER][i].verdict != USP_DIFF_ADDED &&
		     !object_diff_became_global(o->diff, i)))
			continue;
		error = definitions_find(build->names, p->name, &found);
		if (!error && (found.shared || module_imports(build->against.module, p->name)))
			error = build_report_finding(
				build, "symbol", false, o->name, p->name,
				"is a new global name of this object, and the target has one "
				"already, from another object or a library: which one "
				"callers mean has changed");
	}
	return error;
}

/* ---- folded functions ---- */

/* Whether a symbol of the object is at this place of it. "name@VERSION" is one of "name". */
static bool has_name(const struct object *object, const struct object_piece *p, const char *name)
{
	size_t length = strcspn(name, "@");
	for (uint32_t i = 1; i < object->n_symbols; i++) {
		const struct object_symbol *s = &object->symbols[i];
		if (s->section == p->section && s->value == p->offset && strcspn(s->name, "@") == length &&
		    !strncmp(s->name, name, length))
			return true;
	}
	return false;
}

/* Another function, that the linker found to be the same (--icf), would be replaced with it. */
static struct usp_error *judge_folded(struct build *build, const struct build_object *o)
{
	const struct object *before = o->diff->side[OBJECT_BEFORE];
	struct symbol_table *table;
	struct usp_error *error = o->placed ? symbol_table_full(build->names, &table) : NULL;
	for (uint32_t i = 0; i < before->n_pieces && !error && o->placed; i++) {
		const struct object_piece *p = &before->pieces[i];
		uint64_t at = place_of_piece(before, &o->place, i);
		if (!object_piece_is_code(before, p) || !p->name || at == PLACE_NONE ||
		    p->parent != OBJECT_NONE || object_verdict_is_same(&o->diff->verdicts[OBJECT_BEFORE][i]))
			continue;
		for (size_t k = 0; k < table->full.n && !error; k++) {
			const struct entry *e = &table->full.v[k];
			if (e->type != STT_FUNC || e->value != at || has_name(before, p, e->name))
				continue;
			_cleanup_free_ char *text = NULL;
			if (asprintf(&text,
				     "lies at one place with %s, which is another function (a linker that "
				     "folds what "
				     "is the same, --icf): both would be replaced",
				     e->name) < 0) {
				text = NULL;
				return &usp_error_no_memory;
			}
			error = build_report_finding(build, "ambiguous", false, o->name, p->name, text);
			break;
		}
	}
	return error;
}

/* ---- closures ---- */

/* Mangled: "Ul", the parameters' types, "E", perhaps a number, "_"; or, by clang, "$_" and a number. NULL: no such name. */
static const char *closure_in(const char *name)
{
	if (strncmp(name, "_Z", 2) != 0)
		return NULL;
	const char *own = strstr(name, "$_"), *found = strstr(name, "Ul");
	if (own)
		return own;
	for (const char *at = found ? strchr(found, 'E') : NULL; at; at = strchr(at + 1, 'E'))
		if (at[1 + strspn(at + 1, "0123456789")] == '_')
			return found;
	return NULL;
}

/* One of a function that had none. */
static bool is_first(const struct object_diff *diff, const char *name)
{
	const struct object *before = diff->side[OBJECT_BEFORE];
	const size_t length = (size_t)(closure_in(name) - name) + 2;
	for (uint32_t i = 0; i < before->n_pieces; i++)
		if (before->pieces[i].name && !strncmp(before->pieces[i].name, name, length))
			return false;
	return true;
}

/* Compilers number lambdas, and what one has captured is compared nowhere: an old closure may come to other code. */
static struct usp_error *judge_closures(struct build *build, const struct build_object *o)
{
	struct usp_error *error = NULL;
	for (int side = 0; side < 2 && !error; side++) {
		const struct object *object = o->diff->side[side];
		for (uint32_t i = 0; i < object->n_pieces && !error; i++) {
			const struct object_piece *p = &object->pieces[i];
			if (!p->name || !closure_in(p->name) || !object_piece_is_code(object, p) ||
			    (side == OBJECT_AFTER &&
			     (o->diff->pairs.other[side][i] != OBJECT_NONE || is_first(o->diff, p->name))) ||
			    object_verdict_is_same(&o->diff->verdicts[side][i]))
				continue;
			error = build_report_finding(
				build, "ambiguous", false, o->name, p->name,
				"belongs to a lambda, and changes: whether it is the same one as before, and "
				"whether "
				"closures that exist have captured the same, is not known");
		}
	}
	return error;
}

struct usp_error *build_judge_names(struct build *build, const struct build_object *o)
{
	struct usp_error *error = judge_added(build, o);
	if (!error)
		error = judge_folded(build, o);
	return error ? error : judge_closures(build, o);
}
