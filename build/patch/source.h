/* SPDX-License-Identifier: MIT */
/*
 * The source tree that is built: patches put on, and taken off again whatever happens. What a patch touches is saved
 * first, and a mark in the tree (".usplice-build") says where, so that the next run puts right what a killed one left.
 * From open to close the mark is locked: two builds in one tree would take each other's objects.
 * Files that were put back have a new date, so that what was made from the patched ones is made again.
 */
#ifndef BUILD_PATCH_SOURCE_H
#define BUILD_PATCH_SOURCE_H

#include <stdbool.h>
#include <stddef.h>

#include "build/workdir.h"

struct source {
	const struct workdir *workdir;
	char *directory; /* absolute */
	char *mark;
	int lock;    /* of the mark, or -1 */
	char *saved; /* directory of what was saved, NULL: nothing is patched */
	unsigned n_saved;
};

/* Puts right what a killed run left. USP_BUSY: another usplice builds there. */
_must_check_ struct usp_error *source_open(const struct workdir *workdir, const char *directory,
					   struct source *ret);

/* Applies patches in order, each with the -p level (1, 0 or 2) with which it fits. If one does not: none is applied. */
_must_check_ struct usp_error *source_patch(struct source *source, const char *const *patches, size_t n);

/* Patched: has the build compile everything, now and when the patches are off (remake.h). */
_must_check_ struct usp_error *source_remake(struct source *source);

/* Takes them off again. */
_must_check_ struct usp_error *source_restore(struct source *source);

/* Restores if need be: what cannot be is the error, and the mark stays. */
_must_check_ struct usp_error *source_close(struct source *source);

#endif
