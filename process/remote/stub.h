/* SPDX-License-Identifier: MIT */
/*
 * The stub: a few hundred bytes of position-independent machine code and the data it restores a thread from,
 * written as one slot into the target. x86-64 only; the one place of remote work that knows the machine's
 * instructions.
 *
 * Every entry ends, were nobody to interfere, in the thread being back where it was taken from:
 *
 *	CALL     call *%r11, then the marker: a system call that blocks every signal. The controller takes over
 *		 at its entry; without one: vector state and errno from the data, then HOME.
 *	SYSCALL  syscall, then HOME.
 *	HOME     flags, stack pointer, most registers; rt_sigprocmask to the thread's own mask; the rest; jump
 *		 back.
 *
 * HOME uses the stack pointer to load the flags, so no signal may arrive there: a thread is never *sent* to
 * HOME. It is parked at SYSCALL with rt_sigprocmask(block all) as the call; there a signal handler finds the
 * thread's own stack. From the moment HOME unblocks signals on, the stack pointer and all but the scratch
 * registers are the thread's own.
 */
#ifndef PROCESS_REMOTE_STUB_H
#define PROCESS_REMOTE_STUB_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/user.h>

#define REMOTE_SLOT_SIZE	512 /* code and data */
#define REMOTE_SLOT_ALIGN	64
#define REMOTE_SLOT_STRING_SIZE 64
#define REMOTE_SLOT_MAGIC	0x31627574732d7075ull /* "up-stub1" */

/* The data at the start of a slot. stub.c's code uses these offsets. */
struct remote_slot {
	uint64_t magic;
	uint64_t tid; /* who is borrowed here */
	uint64_t all; /* every signal */
	uint64_t mask, flags, rip, rsp;
	uint64_t rax, rbx, rcx, rdx, rsi, rdi, rbp, r8, r9, r10, r11, r12, r13, r14, r15;
	uint64_t xstate;	/* address of an XSAVE image, 0: none */
	uint64_t errno_address; /* 0: unknown */
	uint64_t errno_value;
	char string[REMOTE_SLOT_STRING_SIZE]; /* an argument of a system call while nothing is mapped */
};

#define REMOTE_SLOT_CODE sizeof(struct remote_slot) /* the code follows */

/* Where the thread's instruction pointer goes, relative to the slot. */
extern const uint64_t remote_stub_call, remote_stub_marker, remote_stub_syscall;
#define REMOTE_SYSCALL_LENGTH 2 /* a system-call stop shows the address behind the instruction */

/* The code of all entries, to be placed at REMOTE_SLOT_CODE; *ret_size bytes. */
const uint8_t *remote_stub_code(size_t *ret_size);

/*
 * Fills the data from the registers of a stopped thread: what the kernel would make of an interrupted system
 * call when no handler runs is done here, because the kernel cannot once the registers have been set to the
 * stub.
 */
void remote_slot_fill(struct remote_slot *slot, pid_t tid, const struct user_regs_struct *registers,
		      uint64_t mask);

/*
 * The registers of a parked thread: see above. The same at the marker instead of SYSCALL (rip = slot +
 * remote_stub_marker) brings it home with vector state and errno as they were before the function.
 */
void remote_slot_park(const struct remote_slot *slot, uint64_t address, struct user_regs_struct *ret);

#endif
