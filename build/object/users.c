// SPDX-License-Identifier: MIT
#include "build/object/users.h"

#include <stdlib.h>
#include <string.h>

#include "build/object/name.h"

/* A set of source names of functions; the strings are symbols', not ended at the length. */
struct users {
	const char **names;
	size_t n, capacity;
};

static bool name_is(const char *symbol, const char *name, size_t length)
{
	return object_name_source(symbol) == length && !memcmp(symbol, name, length);
}

static bool has_function(const struct object *object, const char *name, size_t length)
{
	for (uint32_t i = 0; i < object->n_pieces; i++) {
		const struct object_piece *p = &object->pieces[i];
		if (p->name && object_piece_is_code(object, p) && name_is(p->name, name, length))
			return true;
	}
	return false;
}

static bool has_user(const struct users *users, const char *name)
{
	for (size_t i = 0; i < users->n; i++)
		if (name_is(name, users->names[i], object_name_source(users->names[i])))
			return true;
	return false;
}

static bool refers_to(const struct object_piece *p, uint32_t piece)
{
	for (size_t i = 0; i < p->n_references; i++)
		if (p->references[i].target == OBJECT_TARGET_PIECE && p->references[i].piece == piece)
			return true;
	return false;
}

/* The functions that refer to a piece. False: out of memory. */
static bool add_users(const struct object *object, uint32_t piece, struct users *users)
{
	for (uint32_t i = 0; i < object->n_pieces; i++) {
		const struct object_piece *p = &object->pieces[i];
		if (i == piece || !p->name || !object_piece_is_code(object, p) || !refers_to(p, piece) ||
		    has_user(users, p->name))
			continue;
		if (!object_grow(&users->names, users->n, &users->capacity, sizeof(*users->names)))
			return false;
		users->names[users->n++] = p->name;
	}
	return true;
}

/*
 * The same, and for a user that the other side does not have (it was inlined there, or is here) those who call it.
 */
static bool find_users(const struct object *object, const struct object *other, uint32_t piece,
		       struct users *users)
{
	*users = (struct users){0};
	if (!add_users(object, piece, users))
		return false;
	for (size_t k = 0, n = users->n; k < n; k++) {
		const char *name = users->names[k];
		size_t length = object_name_source(name);
		if (has_function(other, name, length))
			continue;
		for (uint32_t i = 0; i < object->n_pieces; i++) {
			const struct object_piece *p = &object->pieces[i];
			if (p->name && object_piece_is_code(object, p) && name_is(p->name, name, length) &&
			    !add_users(object, i, users))
				return false;
		}
	}
	return true;
}

static bool share_user(const struct users *a, const struct users *b)
{
	for (size_t i = 0; i < a->n; i++)
		if (has_user(b, a->names[i]))
			return true;
	return false;
}

static bool all_are_in(const struct users *a, const struct users *b)
{
	for (size_t i = 0; i < a->n; i++)
		if (!has_user(b, a->names[i]))
			return false;
	return true;
}

struct usp_error *object_users_compare(const struct object_pairs *pairs, uint32_t before, uint32_t after,
				       uint8_t *ret)
{
	const struct object_piece *b = &pairs->side[0]->pieces[before], *a = &pairs->side[1]->pieces[after];
	struct users ub = {0}, ua = {0};
	*ret = LIKE_NOTHING;
	if (!object_piece_is_code(pairs->side[0], b) && b->size != a->size)
		return NULL;
	bool good = find_users(pairs->side[0], pairs->side[1], before, &ub) &&
		    find_users(pairs->side[1], pairs->side[0], after, &ua);
	if (good && share_user(&ub, &ua))
		*ret = all_are_in(&ub, &ua) && all_are_in(&ua, &ub) ? LIKE_ALL : LIKE_SOME;
	free(ub.names);
	free(ua.names);
	return good ? NULL : &usp_error_no_memory;
}
