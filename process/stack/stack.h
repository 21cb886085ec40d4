/* SPDX-License-Identifier: MIT */
/*
 * Is a stopped thread inside ranges that are going away, or will it return into them?
 *
 * Two looks. The scan: the instruction pointer, the general registers, and each aligned word between the
 * stack pointer and the stack's base; it can only err towards "inside", provided that the base is known: the
 * stack pointer must lie in the mapping that holds the thread's own TCB (%fs base) or, for the first thread,
 * in [stack]; anything else (alternate signal stack, coroutine) goes to the exact walk. The walk: the CFI of
 * every module and of usplice's payload images (libdw reads it; libdwfl's own walk guesses by frame pointer
 * where CFI is missing, so it is not used), through signal frames. A walk that does not reach the outermost
 * frame is "unknown", which counts as busy, unless the scan finds nothing beyond the frames that it has seen.
 * "The entry address itself is not inside": ranges given here start at entry + 1.
 *
 * Not seen: a context that was saved and is suspended (swapcontext and its like) on a stack that no thread
 * runs on now.
 */
#ifndef PROCESS_STACK_STACK_H
#define PROCESS_STACK_STACK_H

#include "base/range.h"
#include "process/elf/module.h"
#include "process/thread/thread.h"

enum stack_verdict {
	STACK_FREE,
	STACK_BUSY,    /* exactly known: a frame is inside */
	STACK_UNKNOWN, /* the walk was incomplete and the scan could not clear it: counts as busy */
};

/* A payload image in the target, an ELF shared object laid out like the vdso (payload/image.h). */
struct stack_image {
	uint64_t base, size;
	const char *name;
};

struct stack_checker;

/* What walks need (CFI, symbols) is loaded when it is needed. The arguments must outlive it. */
_must_check_ struct usp_error *stack_checker_create(const struct target *target, const struct maps *maps,
						    const struct modules *modules,
						    const struct stack_image *images, size_t n_images,
						    struct stack_checker **ret);
void stack_checker_destroy(struct stack_checker *checker);
/* Loads the CFI of all modules, so that nobody is stopped for it later. Most threads are judged without. */
void stack_checker_prepare(struct stack_checker *checker);

/* What was seen of a thread that is not free: addresses. Their names take longer to find, and can wait until
 * nobody is stopped any more. */
struct stack_trace;

/*
 * Judges one stopped thread (registers filled in). For anything but STACK_FREE, *trace (if not NULL) gets
 * what was seen, for stack_trace_free(); else NULL.
 */
_must_check_ struct usp_error *stack_check(struct stack_checker *checker, const struct thread *thread,
					   const struct range_set *ranges, enum stack_verdict *verdict,
					   struct stack_trace **trace);

/* A backtrace for a person: one line a frame, "#0 0x55…  name+0x12 (module)", the frame inside marked
 * "<- here". For free(). NULL without a trace, or memory. The checker must still be there. */
char *stack_trace_text(const struct stack_trace *trace);
void stack_trace_free(struct stack_trace *trace); /* NULL is fine */

/*
 * Whether the walk of a stopped thread is complete and no frame of it lies in the given ranges (used to
 * choose a thread that may run functions: none of its frames in libgcc, the dynamic linker or the allocator).
 */
_must_check_ struct usp_error *stack_walk_avoids(struct stack_checker *checker, const struct thread *thread,
						 const struct range_set *ranges, bool *avoids);

/* Whether a signal handler runs on the stopped thread. Not found out counts as yes. */
_must_check_ struct usp_error *stack_in_handler(struct stack_checker *checker, const struct thread *thread,
						bool *in_handler);

#endif
