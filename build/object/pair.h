/* SPDX-License-Identifier: MIT */
/*
 * Which piece of one object is which of the other. By name where a name means something; names that a compiler has
 * numbered by who uses them. What cannot be told is left alone and said by name: then it is equal to nothing.
 */
#ifndef BUILD_OBJECT_PAIR_H
#define BUILD_OBJECT_PAIR_H

#include "build/object/object.h"

enum {
	OBJECT_BEFORE,
	OBJECT_AFTER,
};

struct object_pairs {
	const struct object *side[2];
	uint32_t *other[2]; /* of each piece: its twin on the other side, or OBJECT_NONE */
	uint8_t *
		tentative; /* of each piece before: paired by number, right if all that uses it is the same */
	uint32_t *ambiguous; /* pieces before that have candidates and no twin */
	size_t n_ambiguous, ambiguous_capacity;
};

_must_check_ struct usp_error *object_pairs_init(const struct object *before, const struct object *after,
						 struct object_pairs *ret);
void object_pairs_deinit(struct object_pairs *pairs);

#endif
