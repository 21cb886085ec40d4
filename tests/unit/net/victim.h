/* SPDX-License-Identifier: MIT */
/* What the net tests' victim shares with the test: a page of memory by which it is told what to do and tells
 * what happened. */
#ifndef TESTS_NET_VICTIM_H
#define TESTS_NET_VICTIM_H

#include <stdatomic.h>
#include <stdint.h>
#include <sys/types.h>

#define FUNCTIONS     1000
#define FUNCTION_SIZE 16   /* of each function, and of its pad and its new version */
#define OLD_PLUS      1000 /* the old function k adds that and k, the new one NEW_PLUS and k */
#define NEW_PLUS      5000
#define SHARED_FD     9

enum victim_command {
	VICTIM_CALL,	 /* function argument[0]; result: what it returned, called with 1 */
	VICTIM_CALL_ALL, /* of argument[0] functions; result: how many were new; wrong ones are counted */
	VICTIM_START, /* argument[0] threads that call argument[1] functions; [2]: with all signals blocked */
	VICTIM_HANDLER, /* sigaction(argument[0]): handler [1] (0 SIG_DFL, 1 SIG_IGN, 2, 3), flags [2], mask
			   [3] */
	VICTIM_SAVE,	/* keeps what sigaction(argument[0]) tells */
	VICTIM_RESTORE, /* sets it */
	VICTIM_TRAP,	/* enum victim_trap argument[0], with signal [1] */
	VICTIM_ALIGNED, /* calls the function whose first instruction faults; argument[0]: misaligned */
	VICTIM_CHROOT,	/* where there is no /proc; result 0 */
};

enum victim_trap {
	TRAP_INT3,
	TRAP_HLT,
	TRAP_CE,
	TRAP_UD2,
	TRAP_NULL,
	TRAP_STEP, /* the trace flag */
	TRAP_KILL, /* tgkill itself */
	TRAP_QUEUE,
	TRAPS
};

/* What a handler of the program's found. */
struct seen {
	uint64_t count, handler;
	uint64_t registers[16]; /* at entry: rax rbx rcx rdx rsi rdi rbp rsp r8-r15 */
	uint64_t flags, return_address;
	uint64_t signal, code, address, value;
	uint64_t mask, context_mask, context[23];
	uint64_t on_stack;
};

struct shared {
	/* The victim says. */
	uint64_t functions, pads, news, aligned, word;
	_Atomic uint32_t ready;
	_Atomic uint64_t old, new, wrong; /* calls by the threads */
	_Atomic int32_t tids[16];
	_Atomic uint64_t rounds[16]; /* of each thread, through all functions */
	struct seen seen;
	/* The test asks. */
	_Atomic uint32_t asked, answered;
	uint64_t command, argument[4], result;
};

#endif
