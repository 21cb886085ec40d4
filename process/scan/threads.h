/* SPDX-License-Identifier: MIT */
/*
 * Which parts of memory are stacks of threads, for a scan that looks for stacks of nobody's.
 *
 * Below its stack pointer a thread's own stack is full of addresses that were left there, and none of them is
 * used again: whoever wants to go on there would have to be the thread itself. That holds for a thread that
 * stands on its own stack only, and only as far as that stack reaches: two may share a mapping.
 */
#ifndef PROCESS_SCAN_THREADS_H
#define PROCESS_SCAN_THREADS_H

#include "base/range.h"
#include "process/maps.h"
#include "process/thread/thread.h"

/* The dead part of a stopped thread's own stack; empty when it stands elsewhere, or its stack's start is not
 * known. */
struct range scan_dead_part(const struct target *target, const struct maps *maps,
			    const struct thread *thread);

/*
 * Adds to *set every mapping that a thread's stack is in, of threads that run. *complete false: where the
 * stack of some thread is could not be told. *tid: of a thread that has not exited; 0: there is none.
 */
_must_check_ struct usp_error *scan_stack_mappings(const struct target *target, const struct maps *maps,
						   struct range_set *set, bool *complete, pid_t *tid);

#endif
