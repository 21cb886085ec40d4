/* SPDX-License-Identifier: MIT */
/* Two layouts of one name: what is different, in words. */
#ifndef BUILD_TYPES_DESCRIBE_H
#define BUILD_TYPES_DESCRIBE_H

#include "build/types/layout.h"
#include "build/types/types.h"

/*
 * Writes to text what matters to what exists already; nothing if nothing does (an enumerator was added).
 */
_must_check_ struct usp_error *types_describe(const struct types_layout *before,
					      const struct types_layout *after, struct types_text *text,
					      enum types_kept *kept);

#endif
