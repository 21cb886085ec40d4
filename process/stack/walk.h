/* SPDX-License-Identifier: MIT */
/*
 * The exact look at a stack: frame by frame, by the CFI of the target's modules and of usplice's payload
 * images, through signal frames. A walk is complete only when it reached a frame of which its CFI says that
 * nobody called it
 * (_start, the start of a thread or a context), or whose return address is 0. Whatever else ends it leaves it
 * incomplete.
 */
#ifndef PROCESS_STACK_WALK_H
#define PROCESS_STACK_WALK_H

#include "process/stack/stack.h"
#include "process/stack/cfi.h"
#include "process/stack/scan.h"

#define WALK_FRAMES_MAX 65536

struct stack_frame {
	uint64_t pc, sp;
	bool exact; /* pc is where it stands, not where a call returns to */
};

enum walk_end {
	WALK_OUTERMOST,
	WALK_NO_CFI,	  /* nothing describes the last frame */
	WALK_UNREADABLE,  /* its CFI could not be applied */
	WALK_NO_PROGRESS, /* its caller would lie below it */
	WALK_TOO_DEEP,
};

struct stack_walk {
	struct stack_frame *v;
	size_t n, capacity;
	enum walk_end end;
	bool crossed_signal;		/* some frame was interrupted: stack pointers need not ascend there */
	struct cfi_registers registers; /* of the last frame */
};

struct stack_walker;

_must_check_ struct usp_error *stack_walker_create(const struct target *target, const struct modules *modules,
						   const struct stack_image *images, size_t n_images,
						   const struct stack_restorers *restorers,
						   struct stack_walker **ret);
void stack_walker_destroy(struct stack_walker *walker);
void stack_walker_prepare(struct stack_walker *walker); /* stack_checker_prepare() */

/* Fills in *walk (from an earlier use or zeroed; memory is reused). Errors only for lack of memory. */
_must_check_ struct usp_error *stack_walk(struct stack_walker *walker, const struct thread *thread,
					  struct stack_walk *walk);
void stack_walk_deinit(struct stack_walk *walk);

/* "name+0x12 (module)" for a frame, as far as it is known. */
void stack_frame_describe(struct stack_walker *walker, const struct stack_frame *frame, char *buf,
			  size_t size);

const char *walk_end_string(enum walk_end end);

#endif
