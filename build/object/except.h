/* SPDX-License-Identifier: MIT */
/*
 * What a function does when an exception passes through it: its part of .gcc_except_table (an LSDA), found by its entry
 * in .eh_frame. Code can be the same where this is not: another class caught, the same done about it. So it is compared
 * as a part of the function, and the section needs no judgement of its own.
 */
#ifndef BUILD_OBJECT_EXCEPT_H
#define BUILD_OBJECT_EXCEPT_H

#include "build/object/equal.h"

struct object_lsda {
	uint32_t section;     /* 0: the function has none */
	uint64_t start, end;  /* in it; the end is the next one's start */
	uint32_t personality; /* symbol of the function that reads it */
};

struct object_except {
	bool known;		/* false: whose is what cannot be told */
	struct object_lsda *of; /* of each piece */
};

/* What cannot be understood is no error, it is not known. */
_must_check_ struct usp_error *object_except_read(const struct object *object, struct object_except *ret);
void object_except_deinit(struct object_except *except);

bool object_except_is_table(const struct object_section *section);
/* All of the section is of functions that are known. */
bool object_except_covers(const struct object *object, const struct object_except *except, uint32_t section);
/* Whether two functions, whose code is the same, handle the same. True as well if it is not known: see covers(). */
bool object_except_equal(struct object_equal *equal, const struct object_except *const sides[2],
			 uint32_t before, uint32_t after);

#endif
