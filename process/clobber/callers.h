/* SPDX-License-Identifier: MIT */
/*
 * What the code around a function says about it: whether it is a function at all or a part split off another
 * one, who can call it, and which registers its callers pass it anything in.
 */
#ifndef PROCESS_CLOBBER_CALLERS_H
#define PROCESS_CLOBBER_CALLERS_H

#include "process/clobber/live.h"
#include "process/clobber/sites.h"

/* Whether it may be entered from the middle of another function: .cold and .part; without a name, unless it
 * is called. */
bool callers_is_part(struct analysis *a, const struct function_extent *function);

/* Whether all who call it do so by direct branches in this module. */
bool callers_all_known(struct analysis *a, const struct function_extent *function);

/*
 * Which parameter registers may hold something when the function is entered. Proof, where there is any: a
 * caller that certainly has nothing in a register passes nothing there, nor in those behind it. Without
 * direct callers, rdi, rsi, rdx and rcx are taken to be parameters, and of r8, r9 and the vector registers
 * those that the function reads. (That last is not proof: a function called only by pointer or from other
 * modules that hands its fifth parameter, or a floating-point one, on without touching it would be missed.
 * Without it, code would be refused all over for values that nobody passes.)
 */
clobber_set callers_pass(struct analysis *a, const struct function_extent *function);

#endif
