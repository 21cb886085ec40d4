/* SPDX-License-Identifier: MIT */
/*
 * Two questions about a caller: which registers does it read after a point before writing them, and which of
 * them can hold anything that means something at that point.
 */
#ifndef PROCESS_CLOBBER_LIVE_H
#define PROCESS_CLOBBER_LIVE_H

#include "process/clobber_flow.h"

struct live {
	clobber_set certain;  /* an instruction reads it */
	clobber_set perhaps;  /* it may be an argument of a call that cannot be looked into, or is pushed */
	clobber_set out;      /* unwritten at a return */
	clobber_set returned; /* of these: may be the return value (clobber.c's) */
	uint64_t at[64];      /* per register: where it is read, first found */
};

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

/* What a function reads for certain of what it is entered with. */
clobber_set live_at_entry(struct analysis *a, uint64_t entry);

/* What is read from start on, of the registers in set, before it is written. defined: of the function there.
 */
void live_walk(struct analysis *a, uint64_t start, clobber_set set, const struct defined *defined,
	       struct live *ret);

#endif
