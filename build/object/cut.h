/* SPDX-License-Identifier: MIT */
/*
 * Places in data without a name where something may begin, because somebody forms an address that is that place.
 */
#ifndef BUILD_OBJECT_CUT_H
#define BUILD_OBJECT_CUT_H

#include "build/object/object.h"

struct object_cut {
	uint64_t section, place;
};

struct object_cuts {
	struct object_cut *v; /* freed by the caller */
	size_t n, capacity;
};

/* Adds the places that these references form; not those that are only read or written: they may be in the midst. */
_must_check_ struct usp_error *object_cuts_add(struct object_cuts *cuts, const struct object *object,
					       const struct object_reference *references, size_t n);
void object_cuts_sort(struct object_cuts *cuts);
/* Of sorted ones, the first in this section that is not before place; UINT64_MAX: none. */
uint64_t object_cuts_from(const struct object_cuts *cuts, uint32_t section, uint64_t place);

#endif
