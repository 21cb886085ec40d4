/* SPDX-License-Identifier: MIT */
/*
 * One borrowed thread: where it came from, the slot that brings it back, and moving it from stop to stop.
 * Shared by the remote*.c files, by nobody else.
 *
 * A borrowed thread is always in a ptrace stop between calls, with its instruction pointer in the slot and
 * every signal blocked; see stub.h for why the controller may die at any moment.
 */
#ifndef PROCESS_REMOTE_BORROW_H
#define PROCESS_REMOTE_BORROW_H

#include "process/remote/remote.h"
#include "process/remote/stub.h"

#define REMOTE_PATIENCE_NS 5000000000ull /* for what takes microseconds unless something is badly wrong */

struct remote {
	const struct target *target;
	struct threads *threads; /* where the thread is listed */
	bool own_threads;	 /* made here: detached from at the end */
	pid_t tid;

	struct user_regs_struct registers; /* to go back to */
	uint64_t mask;
	uint64_t address;	 /* of the slot */
	struct remote_slot slot; /* its data as written */
	struct remote_area area;

	bool event_stop; /* in PTRACE_EVENT_STOP, not a system-call or signal stop */
	int stop_signal; /* of that stop: not SIGTRAP when the process is stopped */
	bool borrowed;	 /* the registers are not the thread's own */
	bool gone;	 /* the thread has ended */
	bool lost;	 /* it did not stop in time: it runs, and finds its own way back */
	bool broken;	 /* the stub does not do what it should: only good for going back */
	bool calling;	 /* inside a function: vector state and errno are the function's */
	uint64_t kept;	 /* signals taken at stops, bit (n - 1): sent again at the end */

	void *xstate;
	size_t xstate_size;
};

enum remote_stop {
	REMOTE_STOP_SYSCALL,
	REMOTE_STOP_EVENT,  /* PTRACE_EVENT_STOP */
	REMOTE_STOP_SIGNAL, /* about to be delivered */
	REMOTE_STOP_OTHER,  /* clone, fork, exec, … */
	REMOTE_STOP_TIMEOUT,
};

uint64_t remote_now_ns(void);

/* Whether system calls can be made with it. */
static inline bool remote_usable(const struct remote *remote)
{
	return !remote->gone && !remote->lost && !remote->broken;
}

/* An error from ptrace() = -1: USP_GONE when the thread is no more. */
_must_check_ struct usp_error *remote_ptrace_error(struct remote *remote, int errno_value, const char *what);

/* Lets the thread run on by request (PTRACE_SYSCALL, PTRACE_CONT), delivering signal (0: none). */
_must_check_ struct usp_error *remote_resume(struct remote *remote, int request, int signal);

/* Waits for its next stop. *signal: of a signal stop or a group stop. On a time-out it is marked lost. */
_must_check_ struct usp_error *remote_wait(struct remote *remote, uint64_t deadline_ns,
					   enum remote_stop *stop, int *signal);

/* Resumes until a system-call stop. Signals met on the way are kept, stops of the process passed. */
_must_check_ struct usp_error *remote_to_syscall_stop(struct remote *remote, uint64_t deadline_ns);

_must_check_ struct usp_error *remote_get_registers(struct remote *remote, struct user_regs_struct *ret);
_must_check_ struct usp_error *remote_set_registers(struct remote *remote,
						    const struct user_regs_struct *registers);
_must_check_ struct usp_error *remote_set_mask(struct remote *remote, uint64_t mask);

/* Sets the registers to the parking place of the slot (stub.h). */
_must_check_ struct usp_error *remote_park(struct remote *remote);

/* Writes the slot's data (without the code) after a change. */
_must_check_ struct usp_error *remote_update_slot(struct remote *remote);

/* Like remote_write(), but by way of the borrowed thread when the kernel does not let /proc/PID/mem write to
 * text. */
_must_check_ struct usp_error *remote_poke(struct remote *remote, uint64_t address, const void *buf,
					   size_t n);

/* slot.c: finds a free slot in [start, end), writes it for the thread; 0 in *ret when there is none.
 */
_must_check_ struct usp_error *remote_slot_take(struct remote *remote, uint64_t start, uint64_t end,
						uint64_t *ret);
/* Zeroes it again. */
_must_check_ struct usp_error *remote_slot_give(struct remote *remote, uint64_t address);
/* Zeroes what controllers that were killed left in [start, end), as far as no thread can come back to it. */
_must_check_ struct usp_error *remote_slot_sweep(struct remote *remote, uint64_t start, uint64_t end);

/* area.c: see remote.h. Maps what is missing of remote->area. */
_must_check_ struct usp_error *remote_area_map(struct remote *remote);
/* Whether area is what maps show. */
bool remote_area_valid(const struct maps *maps, const struct remote_area *area);

/* call.c: vector state and errno as they were before the function. */
_must_check_ struct usp_error *remote_call_undo(struct remote *remote);

/* choose.c: the threads of the target, those first that are best borrowed. *ret is the caller's to
 * free. */
_must_check_ struct usp_error *remote_candidates(const struct target *target, pid_t **ret, size_t *ret_n);
/*
 * Whether the stopped thread may be borrowed: no rseq critical section that cannot be resolved, no
 * system-call dispatch, no seccomp filter that stays. *registers are those to go back to (another rip after
 * rseq). False: *why is a phrase.
 */
bool remote_suitable(struct threads *threads, struct thread *thread, struct user_regs_struct *registers,
		     const char **why, enum usp_code *code);

#endif
