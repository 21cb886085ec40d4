/* SPDX-License-Identifier: MIT */
/*
 * Whether what was compiled before may read a file that the patch changes, by the includes that are written in the tree: a
 * name that is included may be any file of that name. Conditions are not looked at, so this says yes too often.
 */
#ifndef BUILD_PATCH_REACH_H
#define BUILD_PATCH_REACH_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "build/capture/capture.h"

struct reach; /* the names of a tree's files */

_must_check_ struct usp_error *reach_open(const char *directory, struct reach **ret);
/* Also if it cannot be told: no source in its command, an include by a macro. changed: paths, their last parts count. */
_must_check_ struct usp_error *reach_may_read(struct reach *reach, const struct capture_object *object,
					      const char *const *changed, size_t n_changed, bool *ret);
void reach_close(struct reach *reach); /* NULL is fine */

#endif
