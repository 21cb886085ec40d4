/* SPDX-License-Identifier: MIT */
/*
 * Which of a build's types, functions and variables a function uses, as far as its debug information says:
 * what its entries name, those of what is inlined into it, the signatures of what it calls, and whatever is
 * reached from these types. Which variables of its unit it touches is not said, so all count; neither is
 * which constants, so all unnamed enumerations do.
 */
#ifndef BUILD_TYPES_USE_H
#define BUILD_TYPES_USE_H

#include "build/types/side.h"

/*
 * Sets used[i] for each entry i of the side that the function of this symbol uses. *found: there is debug
 * information for it.
 */
_must_check_ struct usp_error *types_use(const struct types_side *side, const char *symbol, bool *used,
					 bool *found);

#endif
