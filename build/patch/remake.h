/* SPDX-License-Identifier: MIT */
/*
 * Having everything compiled again. Not every build knows what reads a header: hand-written makefiles do not, nor does what
 * is configured with --disable-dependency-tracking, as Debian's packages are; and none knows all that a changed makefile
 * changes. So unless all that a patch changes are sources that the patched build has compiled by their names, every source
 * of the tree gets a new date, and the build is run once more.
 */
#ifndef BUILD_PATCH_REMAKE_H
#define BUILD_PATCH_REMAKE_H

#include "build/capture/capture.h"
#include "build/patch/source.h"

/*
 * Whether something that the patch changes may be read by what the build did not compile again; *what, the caller's to
 * free, is the first of it (a path from the tree's root), else NULL. after NULL: before that build; sources are not
 * asked about then.
 */
_must_check_ struct usp_error *remake_needed(const struct source *source, const struct capture *after,
					     char **what);

/* Tells of each source that the patch changes, or brings, and the build compiled nothing from. */
typedef struct usp_error *remake_tell(void *context, const char *path);
_must_check_ struct usp_error *remake_unread(const struct source *source, const struct capture *after,
					     remake_tell *tell, void *context);

/*
 * Gives each source file under the directory a new date, those that the build has made, too; a file that is written after
 * it returns has a later one. fd: a file in that file system, whose date does not matter.
 */
_must_check_ struct usp_error *remake_touch(const char *directory, int fd);

#endif
