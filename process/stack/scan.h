/* SPDX-License-Identifier: MIT */
/*
 * The conservative look at a stack: every aligned word from the stack pointer to the stack's base is held
 * against the ranges. It needs no unwind information and takes a microsecond or two a thread. It never says
 * that a frame *is* inside: a word may be stale.
 *
 * It clears a thread only if all of its frames lie in what was read. So the base must be known, and no frame
 * may lie elsewhere: a signal frame whose interrupted stack pointer is not further up the same stack says
 * that some do.
 */
#ifndef PROCESS_STACK_SCAN_H
#define PROCESS_STACK_SCAN_H

#include "base/range.h"
#include "process/maps.h"
#include "process/elf/module.h"
#include "process/thread/thread.h"

/* Where "mov $15, %eax; syscall" stands: what signal handlers return to (each libc has its own). */
struct stack_restorers {
	uint64_t *v; /* runtime, ascending */
	size_t n, capacity;
};

#define RESTORER_SIZE 9 /* bytes of the longer encoding */

/* Modules are taken from their loaded files, and from memory where there is none. */
_must_check_ struct usp_error *
stack_restorers_find(const struct target *target, const struct modules *modules, struct stack_restorers *ret);
void stack_restorers_deinit(struct stack_restorers *restorers);
bool stack_restorers_has(const struct stack_restorers *restorers, uint64_t address);

/* struct rt_sigframe of x86-64 without its first word, as offsets from the word after the restorer's address.
 */
#define SIGFRAME_REGISTERS 40 /* uc_mcontext.gregs: r8-r15 rdi rsi rbp rbx rdx rax rcx rsp rip */
#define SIGFRAME_RSP	   160
#define SIGFRAME_RIP	   168

/* The stack that belongs to a thread, as far as maps and registers tell. */
struct stack_extent {
	uint64_t start, base; /* base 0: not known */
	bool is_current;      /* the stack pointer lies in it */
};
struct stack_extent stack_extent_of(const struct maps *maps, const struct target *target,
				    const struct thread *thread);

struct stack_hits {
	size_t n;
	uint64_t first_at, first_value; /* the hit nearest to the stack pointer */
	uint64_t last_at, last_value;	/* the one nearest to the base */
	bool elsewhere;			/* a signal frame whose interrupted stack is not this one */
};

/* Whether a return address (or code address) says that its frame is inside. A call may be a function's last
 * bytes. */
bool stack_word_hits(const struct range_set *ranges, uint64_t word);

/*
 * Reads [start, base) of thread's memory with buffer (size: multiple of 8) and fills in *ret. 0, or -errno
 * when not all of it could be read: then nothing is known.
 */
_must_check_ int stack_scan(const struct target *target, const struct thread *thread, uint64_t start,
			    uint64_t base, const struct range_set *ranges,
			    const struct stack_restorers *restorers, void *buffer, size_t size,
			    struct stack_hits *ret);

/* Whether a general register (or rip) holds an address inside: vfork keeps its return address in rdi, for
 * one. */
bool stack_registers_hit(const struct user_regs_struct *registers, const struct range_set *ranges);

#endif
