/* SPDX-License-Identifier: MIT */
/*
 * Whether two references point at the same thing, and whether two pieces of data hold the same: strings and constants by
 * content, wherever they lie; functions and variables by being each other's twin (pair.h); a place in a function
 * by its instruction. Read-only data that is local is the same if it holds the same, so a function whose table has
 * changed has changed.
 */
#ifndef BUILD_OBJECT_EQUAL_H
#define BUILD_OBJECT_EQUAL_H

#include "build/object/pair.h"

struct object_equal {
	const struct object_pairs *pairs;
	uint32_t *with; /* of each piece before: what it was compared with last */
	uint8_t *known; /* and what came of it */
	unsigned depth, assumed;
};

_must_check_ struct usp_error *object_equal_init(const struct object_pairs *pairs, struct object_equal *ret);
void object_equal_deinit(struct object_equal *equal);

bool object_equal_references(struct object_equal *equal, const struct object_reference *before,
			     const struct object_reference *after);

/* Bytes and references of two pieces of data. */
bool object_equal_contents(struct object_equal *equal, const struct object_piece *before,
			   const struct object_piece *after);

#endif
