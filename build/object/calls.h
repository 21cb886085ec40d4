/* SPDX-License-Identifier: MIT */
/*
 * The lines of calls that were inlined in an object: a __LINE__ that is an argument of one is a number in code that comes
 * from another line. Read when it is first asked for. Debug information that is missing or cannot be understood is no
 * error: then nothing is known.
 */
#ifndef BUILD_OBJECT_CALLS_H
#define BUILD_OBJECT_CALLS_H

#include "build/object/object.h"

/* Whether something was inlined into a line of this number. */
bool object_calls_have(const struct object *object, uint64_t line);

struct object_calls {
	bool is_read;
	uint32_t *lines; /* sorted */
	size_t n, capacity;
};

#endif
