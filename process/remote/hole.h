/* SPDX-License-Identifier: MIT */
/*
 * Where a stub can lie before anything is mapped: bytes of an executable page that nobody uses, behind the
 * end of the vdso's ELF file or behind a module's executable segment. That they are unused is read from the
 * ELF headers (which are the target's and not trusted: everything is bounded by the mapping); that they are
 * free is the caller's to check.
 */
#ifndef PROCESS_REMOTE_HOLE_H
#define PROCESS_REMOTE_HOLE_H

#include "process/maps.h"

struct remote_hole {
	uint64_t start, end; /* start is aligned for a slot, and one fits */
};

/* The index-th hole, the vdso's first; false when there are no more. The order is the same at every call. */
bool remote_hole_find(const struct target *target, const struct maps *maps, size_t index,
		      struct remote_hole *ret);

/* Exposed for tests: the first byte behind all that an ELF file image of n bytes uses; 0: not understood. */
uint64_t remote_hole_image_end(const void *image, size_t n);

#endif
