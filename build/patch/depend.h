/* SPDX-License-Identifier: MIT */
/*
 * What builds note of the headers that a source has read (-MD, -MMD), of headers that went with the patch. make does not
 * build what hangs on a file that is gone and that no rule makes. An empty rule, as -MP writes them, says that it need not
 * be there: what hangs on it is made again.
 */
#ifndef BUILD_PATCH_DEPEND_H
#define BUILD_PATCH_DEPEND_H

#include <stdbool.h>

#include "base/error.h"

/* Adds one for each name under the directory that gone() says is. */
typedef bool depend_is_gone(const void *context, const char *name);
_must_check_ struct usp_error *depend_let_go(const char *directory, depend_is_gone *gone,
					     const void *context);

#endif
