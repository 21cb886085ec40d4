// SPDX-License-Identifier: MIT
/*
 * What the linker sees of the object: names that mean another thing than before, and definitions that it or the loader
 * chooses among. object_diff_symbols().
 */
#include <stdlib.h>
#include <string.h>

#include "build/object/diff.h"

struct entry {
	const char *name;
	const struct object_symbol *symbol;
};

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct entry *)a)->name, ((const struct entry *)b)->name);
}

/* All global names that this object defines, sorted. */
static struct usp_error *list(const struct object *object, struct entry **ret, size_t *ret_n)
{
	struct entry *v = calloc(object->n_symbols + (size_t)1, sizeof(*v));
	size_t n = 0;
	if (!v)
		return &usp_error_no_memory;
	for (uint32_t i = 1; i < object->n_symbols; i++) {
		const struct object_symbol *s = &object->symbols[i];
		if (s->binding != STB_LOCAL && s->section != SHN_UNDEF)
			v[n++] = (struct entry){.name = s->name, .symbol = s};
	}
	qsort(v, n, sizeof(*v), by_name);
	*ret = v;
	*ret_n = n;
	return NULL;
}

/* The piece of a symbol that begins with it, or OBJECT_NONE. */
static uint32_t piece_of(const struct object *object, const struct object_symbol *s)
{
	if (s->section == SHN_ABS || s->section == SHN_COMMON)
		return OBJECT_NONE;
	const struct object_piece *p = object_piece_at(object, s->section, s->value);
	return p && p->offset == s->value ? (uint32_t)(p - object->pieces) : OBJECT_NONE;
}

/* Names in sections of which no pieces are made: merged ones, and those that are compared as a whole. */
static bool same_content(const struct object_diff *diff, const struct object_symbol *x,
			 const struct object_symbol *y)
{
	const struct object_section *b = &diff->side[0]->sections[x->section],
				    *a = &diff->side[1]->sections[y->section];
	if (b->kind != a->kind || strcmp(b->name, a->name) || x->size != y->size)
		return false;
	if (b->kind != OBJECT_KIND_STRINGS && b->kind != OBJECT_KIND_MERGED)
		return x->value == y->value;
	return b->data && a->data && !memcmp(b->data + x->value, a->data + y->value, x->size);
}

static struct usp_error *compare(struct object_diff *diff, const struct entry *b, const struct entry *a)
{
	uint32_t pb = piece_of(diff->side[0], b->symbol), pa = piece_of(diff->side[1], a->symbol);
	const struct object_symbol *x = b->symbol, *y = a->symbol;
	if (x->binding != y->binding)
		return object_diff_problem(diff, USP_DIFF_PROBLEM_SYMBOL, a->name,
					   "is %s now: which definition counts is the linker's choice",
					   y->binding == STB_WEAK ? "weak" : "no longer weak");
	if (x->type != y->type && (x->type == STT_GNU_IFUNC || y->type == STT_GNU_IFUNC ||
				   x->type == STT_TLS || y->type == STT_TLS))
		return object_diff_problem(diff, USP_DIFF_PROBLEM_SYMBOL, a->name,
					   "is another kind of symbol now");
	bool x_special = x->section == SHN_ABS || x->section == SHN_COMMON,
	     y_special = y->section == SHN_ABS || y->section == SHN_COMMON;
	if (x_special || y_special) {
		if (x->section != y->section || x->size != y->size ||
		    (x->section == SHN_ABS && x->value != y->value))
			return object_diff_problem(diff, USP_DIFF_PROBLEM_DATA, a->name,
						   "is defined in another way or with another size");
		return NULL;
	}
	bool both = pb != OBJECT_NONE && pa != OBJECT_NONE;
	if (both && diff->pairs.other[OBJECT_BEFORE][pb] == pa)
		return NULL;
	if (!both && pb == pa && same_content(diff, x, y))
		return NULL;
	return object_diff_problem(diff, USP_DIFF_PROBLEM_SYMBOL, a->name,
				   "cannot be judged: names another thing now");
}

static struct usp_error *judge_new(struct object_diff *diff, const struct entry *a)
{
	const struct object *after = diff->side[OBJECT_AFTER];
	uint32_t piece = piece_of(after, a->symbol);
	if (piece != OBJECT_NONE && object_diff_became_global(diff, piece) &&
	    !strcmp(a->name, after->pieces[piece].name))
		return NULL;
	if (piece != OBJECT_NONE && diff->pairs.other[OBJECT_AFTER][piece] != OBJECT_NONE)
		return object_diff_problem(diff, USP_DIFF_PROBLEM_SYMBOL, a->name, "a new global name of %s",
					   after->pieces[piece].name ? after->pieces[piece].name
								     : "something old");
	if (a->symbol->section == SHN_COMMON)
		return object_diff_problem(
			diff, USP_DIFF_PROBLEM_DATA, a->name,
			"a new common symbol: the linker gives it its place; compile with -fno-common");
	if (piece == OBJECT_NONE)
		return object_diff_problem(
			diff, USP_DIFF_PROBLEM_SYMBOL, a->name,
			"cannot be judged: a new global name of no function and no variable");
	return NULL;
}

/* Changed code that the loader or the linker may not be using. */
static struct usp_error *judge_choices(struct object_diff *diff)
{
	const struct object *after = diff->side[OBJECT_AFTER];
	struct usp_error *error = NULL;
	for (uint32_t i = 0; i < after->n_pieces && !error; i++) {
		const struct object_piece *p = &after->pieces[i];
		if (object_verdict_is_same(&diff->verdicts[OBJECT_AFTER][i]) || !p->name)
			continue;
		if (p->ifunc)
			error = object_diff_problem(
				diff, USP_DIFF_PROBLEM_SYMBOL, p->name,
				"chooses an implementation when the program starts (IFUNC): that "
				"is over");
		else if (object_piece_section(after, p)->group)
			error = object_diff_problem(
				diff, USP_DIFF_PROBLEM_SYMBOL, p->name,
				"is in a COMDAT group: the program may have another object's copy");
		else if (p->weak && !p->strong)
			error = object_diff_problem(diff, USP_DIFF_PROBLEM_SYMBOL, p->name,
						    "is weak: the program may have another definition");
	}
	return error;
}

bool object_diff_became_global(const struct object_diff *diff, uint32_t piece)
{
	const struct object_piece *now = &diff->side[OBJECT_AFTER]->pieces[piece];
	uint32_t other = diff->pairs.other[OBJECT_AFTER][piece];
	if (other == OBJECT_NONE || !now->strong || !now->name)
		return false;
	const struct object_piece *was = &diff->side[OBJECT_BEFORE]->pieces[other];
	return was->name && !was->global && !strcmp(was->name, now->name);
}

struct usp_error *object_diff_symbols(struct object_diff *diff)
{
	_cleanup_free_ struct entry *b = NULL, *a = NULL;
	size_t n_b, n_a, i = 0, k = 0;
	struct usp_error *error = list(diff->side[OBJECT_BEFORE], &b, &n_b);
	if (!error)
		error = list(diff->side[OBJECT_AFTER], &a, &n_a);
	while (!error && k < n_a) {
		int order = i < n_b ? strcmp(b[i].name, a[k].name) : 1;
		if (order < 0) {
			i++;
			continue;
		}
		error = order ? judge_new(diff, &a[k]) : compare(diff, &b[i], &a[k]);
		k++;
		i += !order;
	}
	return error ? error : judge_choices(diff);
}
