/* SPDX-License-Identifier: MIT */
/* All regular files of a source tree, but for git's own. Links are not followed. */
#ifndef BUILD_PATCH_WALK_H
#define BUILD_PATCH_WALK_H

#include <sys/types.h>

#include <fts.h>

#include "base/error.h"

/* NULL: errno says why. */
FTS *walk_open(const char *directory);
/* The next one, or NULL: no more (errno 0), or an error. errno has to be 0 at the end of what is done with it. */
FTSENT *walk_next(FTS *tree);
/* Ends it; error, or what went wrong in the last walk_next(). */
_must_check_ struct usp_error *walk_end(FTS *tree, const char *directory, struct usp_error *error);

#endif
