// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include "build/object/pair.h"

#include <stdlib.h>
#include <string.h>

#include "build/object/users.h"

/* Pieces of one base name and sort on one side. */
struct group {
	uint32_t *v;
	size_t n;
};

static void pair(struct object_pairs *pairs, uint32_t before, uint32_t after)
{
	pairs->other[OBJECT_BEFORE][before] = after;
	pairs->other[OBJECT_AFTER][after] = before;
}

/* Code, read-only data, variables, thread-local variables: never paired across. */
static unsigned sort_of(const struct object *object, const struct object_piece *p)
{
	if (p->labels)
		return 1;
	switch (object_piece_section(object, p)->kind) {
	case OBJECT_KIND_CODE:
		return 0;
	case OBJECT_KIND_CONSTANT:
		return 1;
	case OBJECT_KIND_TLS:
		return 2;
	default:
		return 3;
	}
}

struct name_entry {
	const char *name;
	uint32_t piece;
	unsigned sort;
	bool global;
};

static int by_name(const void *a, const void *b)
{
	const struct name_entry *x = a, *y = b;
	int r = strcmp(x->name, y->name);
	if (r)
		return r;
	return x->piece < y->piece ? -1 : x->piece > y->piece;
}

/*
 * Its name alone does not say what it is: the compiler has numbered it, or has numbered others of this name and not this
 * one ("f.count" beside clang's "f.count.1": the first one gets no number).
 */
static bool is_numbered(const struct object_pairs *pairs, int side, const struct object_piece *p)
{
	if (p->numbered || object_piece_is_code(pairs->side[side], p) || !strchr(p->name, '.'))
		return p->numbered;
	for (int k = 0; k < 2; k++)
		for (uint32_t i = 0; i < pairs->side[k]->n_pieces; i++) {
			const struct object_piece *q = &pairs->side[k]->pieces[i];
			if (q->numbered && !q->global && !strcmp(q->base, p->base))
				return true;
		}
	return false;
}

/* All names of pieces that mean something by themselves, sorted. */
static struct usp_error *list_names(const struct object_pairs *pairs, int side, struct name_entry **ret,
				    size_t *ret_n)
{
	const struct object *object = pairs->side[side];
	struct name_entry *v = calloc(object->n_symbols + (size_t)1, sizeof(*v));
	size_t n = 0;
	if (!v)
		return &usp_error_no_memory;
	for (uint32_t i = 1; i < object->n_symbols; i++) {
		const struct object_symbol *s = &object->symbols[i];
		if (!s->size || s->section == SHN_UNDEF || s->section >= object->n_sections || !*s->name)
			continue;
		const struct object_piece *p = object_piece_at(object, s->section, s->value);
		if (!p || p->offset != s->value || !p->symbol)
			continue;
		bool numbered = s->binding == STB_LOCAL && is_numbered(pairs, side, p);
		if (!numbered)
			v[n++] = (struct name_entry){.name = s->name,
						     .piece = (uint32_t)(p - object->pieces),
						     .sort = sort_of(object, p),
						     .global = s->binding != STB_LOCAL};
	}
	qsort(v, n, sizeof(*v), by_name);
	*ret = v;
	*ret_n = n;
	return NULL;
}

static size_t same_names(const struct name_entry *v, size_t n, size_t at)
{
	size_t end = at + 1;
	while (end < n && !strcmp(v[end].name, v[at].name))
		end++;
	return end - at;
}

static struct usp_error *say_ambiguous(struct object_pairs *pairs, uint32_t before)
{
	if (!object_grow(&pairs->ambiguous, pairs->n_ambiguous, &pairs->ambiguous_capacity,
			 sizeof(*pairs->ambiguous)))
		return &usp_error_no_memory;
	pairs->ambiguous[pairs->n_ambiguous++] = before;
	return NULL;
}

static struct usp_error *pair_names(struct object_pairs *pairs)
{
	_cleanup_free_ struct name_entry *v = NULL, *w = NULL;
	size_t n[2], i = 0, k = 0;
	struct usp_error *error = list_names(pairs, 0, &v, &n[0]);
	if (!error)
		error = list_names(pairs, 1, &w, &n[1]);
	while (!error && i < n[0] && k < n[1]) {
		int order = strcmp(v[i].name, w[k].name);
		size_t b = same_names(v, n[0], i), a = same_names(w, n[1], k);
		if (order < 0) {
			i += b;
			continue;
		}
		if (order > 0) {
			k += a;
			continue;
		}
		/* A static function twice in one object: somebody has linked several sources into it. */
		if (b > 1 || a > 1)
			error = say_ambiguous(pairs, v[i].piece);
		else if (v[i].sort == w[k].sort && pairs->other[0][v[i].piece] == OBJECT_NONE &&
			 pairs->other[1][w[k].piece] == OBJECT_NONE)
			pair(pairs, v[i].piece, w[k].piece);
		i += b;
		k += a;
	}
	return error;
}

static bool in_group(const struct object_pairs *pairs, int side, uint32_t piece, const char *base,
		     unsigned sort)
{
	const struct object_piece *p = &pairs->side[side]->pieces[piece];
	return p->symbol && !p->global && pairs->other[side][piece] == OBJECT_NONE &&
	       sort_of(pairs->side[side], p) == sort && !strcmp(p->base, base) && is_numbered(pairs, side, p);
}

static struct usp_error *find_group(const struct object_pairs *pairs, int side, const char *base,
				    unsigned sort, struct group *ret)
{
	*ret = (struct group){.v = calloc(pairs->side[side]->n_pieces + (size_t)1, sizeof(uint32_t))};
	if (!ret->v)
		return &usp_error_no_memory;
	for (uint32_t i = 0; i < pairs->side[side]->n_pieces; i++)
		if (in_group(pairs, side, i, base, sort))
			ret->v[ret->n++] = i;
	return NULL;
}

/* Pairs where each has exactly one that is as like it as this, and is the only one for it. */
static void pair_unique(struct object_pairs *pairs, const struct group *b, const struct group *a,
			const uint8_t *like, uint8_t least)
{
	for (size_t i = 0; i < b->n; i++) {
		size_t n = 0, found = 0, back = 0;
		if (pairs->other[0][b->v[i]] != OBJECT_NONE)
			continue;
		for (size_t k = 0; k < a->n; k++)
			if (pairs->other[1][a->v[k]] == OBJECT_NONE && like[i * a->n + k] >= least) {
				n++;
				found = k;
			}
		for (size_t j = 0; n == 1 && j < b->n; j++)
			back += pairs->other[0][b->v[j]] == OBJECT_NONE && like[j * a->n + found] >= least;
		if (n == 1 && back == 1)
			pair(pairs, b->v[i], a->v[found]);
	}
}

static struct usp_error *pair_by_users(struct object_pairs *pairs, const struct group *b,
				       const struct group *a)
{
	_cleanup_free_ uint8_t *like = calloc(b->n * a->n, 1);
	if (!like)
		return &usp_error_no_memory;
	for (size_t i = 0; i < b->n; i++)
		for (size_t k = 0; k < a->n; k++) {
			struct usp_error *error =
				object_users_compare(pairs, b->v[i], a->v[k], &like[i * a->n + k]);
			if (error)
				return error;
		}
	pair_unique(pairs, b, a, like, LIKE_ALL);
	pair_unique(pairs, b, a, like, LIKE_SOME);
	return NULL;
}

static bool same_full_names(const struct object_pairs *pairs, const struct group *b, const struct group *a)
{
	if (b->n != a->n)
		return false;
	for (size_t i = 0; i < b->n; i++) {
		bool found = false;
		for (size_t k = 0; k < a->n && !found; k++)
			found = !strcmp(pairs->side[0]->pieces[b->v[i]].name,
					pairs->side[1]->pieces[a->v[k]].name);
		if (!found)
			return false;
	}
	return true;
}

/* By number after all: whether that is right shows when those who use them are compared. */
static void pair_tentatively(struct object_pairs *pairs, const struct group *b, const struct group *a)
{
	for (size_t i = 0; i < b->n; i++)
		for (size_t k = 0; k < a->n; k++)
			if (pairs->other[0][b->v[i]] == OBJECT_NONE &&
			    pairs->other[1][a->v[k]] == OBJECT_NONE &&
			    !strcmp(pairs->side[0]->pieces[b->v[i]].name,
				    pairs->side[1]->pieces[a->v[k]].name)) {
				pair(pairs, b->v[i], a->v[k]);
				pairs->tentative[b->v[i]] = 1;
			}
}

static bool all_paired(const struct object_pairs *pairs, int side, const struct group *group)
{
	for (size_t i = 0; i < group->n; i++)
		if (pairs->other[side][group->v[i]] == OBJECT_NONE)
			return false;
	return true;
}

static struct usp_error *pair_group(struct object_pairs *pairs, const struct group *b, const struct group *a,
				    bool code)
{
	if (!b->n || !a->n)
		return NULL;
	if (code && b->n == 1 && a->n == 1) { /* a clone: what it was made from says enough */
		pair(pairs, b->v[0], a->v[0]);
		return NULL;
	}
	struct usp_error *error = pair_by_users(pairs, b, a);
	if (error || all_paired(pairs, 0, b) || all_paired(pairs, 1, a))
		return error;
	if (same_full_names(pairs, b, a)) {
		pair_tentatively(pairs, b, a);
		return NULL;
	}
	for (size_t i = 0; i < b->n && !error; i++)
		if (pairs->other[0][b->v[i]] == OBJECT_NONE)
			error = say_ambiguous(pairs, b->v[i]);
	return error;
}

static struct usp_error *pair_numbered(struct object_pairs *pairs)
{
	_cleanup_free_ uint8_t *seen = calloc(pairs->side[0]->n_pieces + (size_t)1, 1);
	if (!seen)
		return &usp_error_no_memory;
	for (uint32_t i = 0; i < pairs->side[0]->n_pieces; i++) {
		const struct object_piece *p = &pairs->side[0]->pieces[i];
		unsigned sort = sort_of(pairs->side[0], p);
		struct group b = {0}, a = {0};
		/* Constants are compared by what they hold (equal.h). */
		if (seen[i] || sort == 1 || !p->base || !in_group(pairs, 0, i, p->base, sort))
			continue;
		struct usp_error *error = find_group(pairs, 0, p->base, sort, &b);
		if (!error)
			error = find_group(pairs, 1, p->base, sort, &a);
		for (size_t k = 0; !error && k < b.n; k++)
			seen[b.v[k]] = 1;
		if (!error)
			error = pair_group(pairs, &b, &a, sort == 0);
		free(b.v);
		free(a.v);
		if (error)
			return error;
	}
	return NULL;
}

/* Code and whole sections without a name: by their section's name and order. */
static struct usp_error *pair_nameless(struct object_pairs *pairs)
{
	for (uint32_t i = 1; i < pairs->side[0]->n_sections; i++) {
		const struct object_section *b = &pairs->side[0]->sections[i], *a = NULL;
		bool whole = b->kind == OBJECT_KIND_START || b->kind == OBJECT_KIND_SPECIAL;
		if (!whole && b->kind != OBJECT_KIND_CODE)
			continue;
		for (uint32_t k = 1; k < pairs->side[1]->n_sections && !a; k++)
			if (!strcmp(pairs->side[1]->sections[k].name, b->name) &&
			    pairs->side[1]->sections[k].kind == b->kind)
				a = &pairs->side[1]->sections[k];
		for (uint32_t x = 0, y = 0; a && x < b->n_pieces; x++) {
			if (pairs->side[0]->pieces[b->first_piece + x].symbol)
				continue;
			while (y < a->n_pieces && pairs->side[1]->pieces[a->first_piece + y].symbol)
				y++;
			if (y == a->n_pieces)
				break;
			if (pairs->other[1][a->first_piece + y] == OBJECT_NONE)
				pair(pairs, b->first_piece + x, a->first_piece + y);
			y++;
		}
	}
	return NULL;
}

struct usp_error *object_pairs_init(const struct object *before, const struct object *after,
				    struct object_pairs *ret)
{
	*ret = (struct object_pairs){.side = {before, after}};
	ret->tentative = calloc(before->n_pieces + (size_t)1, 1);
	if (!ret->tentative)
		return &usp_error_no_memory;
	for (int side = 0; side < 2; side++) {
		uint32_t n = ret->side[side]->n_pieces;
		ret->other[side] = calloc(n + (size_t)1, sizeof(uint32_t));
		if (!ret->other[side])
			return &usp_error_no_memory;
		for (uint32_t i = 0; i < n; i++)
			ret->other[side][i] = OBJECT_NONE;
	}
	struct usp_error *error = pair_names(ret);
	if (!error)
		error = pair_nameless(ret);
	return error ? error : pair_numbered(ret);
}

void object_pairs_deinit(struct object_pairs *pairs)
{
	free(pairs->other[0]);
	free(pairs->other[1]);
	free(pairs->tentative);
	free(pairs->ambiguous);
	*pairs = (struct object_pairs){0};
}
