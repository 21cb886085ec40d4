/* SPDX-License-Identifier: MIT */
/*
 * Work done inside the target by one borrowed thread: system calls, and calls of functions (hooks, IFUNC
 * resolvers, __register_frame_info). The thread gets everything back as it was: general, vector and extended
 * registers, red zone, signal mask, errno, the pending restart of its system call.
 *
 * Crash safe: at every moment, were the controller to die, the thread finds its own way back. Its instruction
 * pointer is only ever set to a stub that, after the system call or function, restores everything from data
 * beside it (signal mask by rt_sigprocmask, vector state by xrstor when a function was called, flags, general
 * registers) and jumps to where the thread was, with an interrupted system call made to restart. The first
 * stub, before anything is mapped, lies in the unused zero bytes at the end of the vdso's last page (COW;
 * zeroed again after), later ones in usplice's own executable page.
 * Order of changes (why each crash point is safe): registers -> stub first, then the mask; back: mask first,
 * then registers. stub.h has the rest.
 *
 * What cannot be helped: a function called here that faults, or never returns, with no controller left to
 * abandon it. And a controller's death ends its suspension of a seccomp filter: a thread that is just then
 * about to make a system call that the filter kills for is killed.
 */
#ifndef PROCESS_REMOTE_REMOTE_H
#define PROCESS_REMOTE_REMOTE_H

#include "process/maps.h"
#include "process/thread/thread.h"

struct remote;

/* What is mapped in the target for remote work; kept in the registry. 0: not mapped yet. */
struct remote_area {
	uint64_t code;	/* 4 KiB, r-x: the stubs and their data */
	uint64_t stack; /* 64 KiB, rw-: the stack of remote functions and scratch space at its start */
};
#define REMOTE_CODE_SIZE    4096
#define REMOTE_STACK_SIZE   65536
#define REMOTE_SCRATCH_SIZE 4096 /* the first bytes of the stack area: strings for system calls */

/* A caller's say about a stopped candidate (its stack, its registers); false: it is released and the next is
 * tried. */
typedef bool (*remote_accept)(void *context, const struct thread *stopped);

/*
 * Borrows a thread. threads NULL: a thread of the target's is chosen (asleep in a system call that restarts
 * is best; one with a complete idle stack is required for functions), seized and stopped alone, the others
 * run on. threads given: all are stopped already (rendezvous), one of them is used. area: in and out; may be
 * all 0, then the first call works from the vdso's unused bytes and remote_open() maps the area, or adopts
 * what a killed controller mapped. accept: NULL takes any. None accepted, or none that stops soon:
 * USP_NOT_QUIESCENT. Only threads under a seccomp filter that this controller may not suspend:
 * USP_PERMISSION, and nothing was run. No place for a stub: USP_UNSUPPORTED. An area that is not mapped as it
 * should be: USP_MISMATCH.
 */
_must_check_ struct usp_error *remote_open(const struct target *target, const struct maps *maps,
					   struct threads *threads, struct remote_area *area,
					   remote_accept accept, void *accept_context, struct remote **ret);
/* Gives the thread back. NULL is fine. The error is about the target's end, if it ended. */
_must_check_ struct usp_error *remote_close(struct remote *remote);

/* One system call; its result (-errno on failure) in *result. USP_GONE when the target died. */
_must_check_ struct usp_error *remote_syscall(struct remote *remote, long number, const uint64_t args[6],
					      int64_t *result);
/* One that has to succeed: the error names what failed. */
_must_check_ struct usp_error *remote_syscall_ok(struct remote *remote, const char *what, long number,
						 const uint64_t args[6], int64_t *result);

/*
 * Calls the function at address with up to 6 integer arguments on the area's stack; its rax in *result. errno
 * and vector state of the borrowed thread are saved and restored. errno_address: where the thread's errno
 * lies, 0 unknown. A function that faults (SIGSEGV, …) or has not returned by deadline_ns is abandoned: the
 * thread is put back, error USP_FAILED with the address and the signal.
 */
_must_check_ struct usp_error *remote_call(struct remote *remote, uint64_t address, const uint64_t args[6],
					   uint64_t errno_address, uint64_t deadline_ns, uint64_t *result);

/* Writes to memory that usplice itself mapped (payload images, registry, scratch), whatever its protection.
 */
_must_check_ int remote_write(const struct target *target, uint64_t address, const void *buf, size_t n);

/* The id of the borrowed thread. */
pid_t remote_tid(const struct remote *remote);
/* Its thread pointer (%fs base). */
uint64_t remote_thread_pointer(const struct remote *remote);

/*
 * Whether a controller that was killed at its very first borrowing left a stub in the holes. The next
 * remote_open() takes it away.
 */
bool remote_left_stub(const struct target *target, const struct maps *maps);

/* The area as the mappings show it (it has a name); what is missing is 0. False unless both parts are there.
 */
bool remote_find_area(const struct maps *maps, struct remote_area *area);

#endif
