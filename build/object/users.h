/* SPDX-License-Identifier: MIT */
/*
 * Who refers to a piece: all that tells two static variables of one name apart. Functions go by their source names, so
 * that a clone or a split-off part speaks for what it was made from; and one that is inlined on one side, for those who
 * call it on the other.
 */
#ifndef BUILD_OBJECT_USERS_H
#define BUILD_OBJECT_USERS_H

#include "build/object/pair.h"

/* How much speaks for two being the same: nothing, a user in common, or all users. */
enum likeness {
	LIKE_NOTHING,
	LIKE_SOME,
	LIKE_ALL,
};

/* enum likeness of a piece before and one after; variables of different size have none. */
_must_check_ struct usp_error *object_users_compare(const struct object_pairs *pairs, uint32_t before,
						    uint32_t after, uint8_t *ret);

#endif
