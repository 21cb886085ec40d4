/* SPDX-License-Identifier: MIT */
/* Which registers can hold anything that means something at a point in a function. */
#ifndef PROCESS_CLOBBER_DEFINED_H
#define PROCESS_CLOBBER_DEFINED_H

#include "process/clobber/flow.h"

/*
 * Which registers may hold something that the function put there, or its caller passed, at each instruction;
 * all others hold what an earlier call left behind. A value is a set; an address that is not in it: nothing
 * is known.
 */
struct defined {
	struct address_map at;
};

/*
 * For one function, whose caller passes `passed`. is_part: it is a split-off part, entered from the middle of
 * another: nothing is known.
 */
void defined_init(struct analysis *a, const struct function_extent *function, clobber_set passed,
		  bool is_part, struct defined *ret);
void defined_deinit(struct defined *defined);
clobber_set defined_at(const struct defined *defined, uint64_t address);

/*
 * Of `set`, what can be an argument of the call at address: arguments are passed in a fixed order, so behind
 * one that holds nothing there is none; and rax counts vector arguments, a number known when compiled.
 */
clobber_set defined_arguments(const struct defined *defined, uint64_t address, clobber_set set);

#endif
