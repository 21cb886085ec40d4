/* SPDX-License-Identifier: MIT */
/*
 * What lies in the target as the safety net: one page of position-independent machine code, a page that it
 * may write to, and the data that tell it what a trap means. The one place of the net that knows the
 * machine's instructions; net.h is the controller's side.
 *
 *	code	r-x, 4 KiB	the entries of the signal handler, the restorer, the helper thread's program
 *	state	rw-, 4 KiB	what the handler must remember; scratch space of remote system calls
 *	data	r--		struct net_data; the masks; a table of sites (a larger one lies elsewhere)
 *
 * Each of the handler's entries stands for one action (struct sigaction) of the program's, for ever: a
 * program that got an entry's address from sigaction() may install it again, or call it from a handler of its
 * own, whenever it likes, and it behaves as what it stands for.
 *
 * The handler, at a trap whose site is in the table:
 *	published, and the site traps	  on at old_to or new_to, by the commit word
 *	the site does not trap any more	  the trap is late: back to the site, which is run again
 *	otherwise			  the program's
 * A fault of the site's own first instruction looks like a late trap where the saved address is the site's
 * (not so for CC). So it is run again; the same one over and over (thread's stack pointer and site, in
 * state->retried) is a fault, and the program's. A thread is late for a site at most twice between two
 * publications: once for the one before.
 *
 * What is the program's is handed on with every register, flag and the stack as at entry, by a jump. For
 * SIG_DFL, and a fault where the program ignores, the action is put back to SIG_DFL and the signal queued
 * again to the thread with the same siginfo: blocked while the handler runs, it takes its effect when the
 * handler returns, with the registers of the trap in the core dump.
 */
#ifndef PROCESS_NET_CODE_H
#define PROCESS_NET_CODE_H

#include <stddef.h>
#include <stdint.h>

#define NET_CODE_SIZE	 4096u
#define NET_STATE_OFFSET 4096u /* from the code */
#define NET_STATE_SIZE	 4096u
#define NET_DATA_OFFSET	 8192u /* from the code */
#define NET_MASKS_OFFSET 4096u /* from the data */
#define NET_MASKS_MAX	 8192u
#define NET_TABLE_OFFSET (NET_MASKS_OFFSET + NET_MASKS_MAX * 16u)
#define NET_PROGRAMS_MAX 24u
#define NET_RETRIED	 64u
#define NET_ENTRIES	 64u		       /* where the first entry is, and how far apart they are */
#define NET_SCRATCH	 2048u		       /* in the state page */
#define NET_MAGIC	 0x3130746e65707375ull /* "uspnet01" */
#define NET_LENGTH_MAX	 31

struct net_site {
	uint64_t address;
	uint64_t old_to, new_to; /* where a thread that hits the trap goes on */
	uint8_t length;		 /* 1 to NET_LENGTH_MAX */
	uint8_t reserved[7];
	uint8_t old_bytes[32], new_bytes[32];
};

struct net_mask { /* a thread whose signal mask was changed for the action, and its own */
	uint64_t tid, mask;
};

/* The kernel's struct sigaction, and whose it is. */
struct net_action {
	uint64_t handler, flags, restorer, mask;
};
struct net_program {
	struct net_action action;
	uint64_t signal;
};

struct net_data {
	uint64_t magic;
	uint64_t n_sites; /* 0, or n_late: published, the sites may trap */
	uint64_t n_late;  /* in the table */
	uint64_t helper;  /* the number of the helper thread that may live */
	uint64_t word_address, old_word;
	uint64_t trap_byte, trap_adjust /* saved address minus site's */, trap_number /* of the exception */;
	uint64_t signal;
	uint64_t sites, sites_capacity; /* the table's address; sorted by address */
	uint64_t entry;			/* the one installed; NET_PROGRAMS_MAX: none */
	uint64_t n_masks;
	uint64_t n_programs; /* used up, from the first on */
	uint64_t reserved;
	struct net_program programs[NET_PROGRAMS_MAX];
};

struct net_retried {
	uint64_t key; /* site and stack pointer: of a late trap that might be a fault */
	uint64_t run; /* how often again, nobody else between */
};

struct net_state {
	struct net_retried retried[NET_RETRIED]; /* by a hash of the key */
	uint64_t fired[NET_PROGRAMS_MAX];	 /* the program's SA_RESETHAND has had its effect */
};

/* The page of code, NET_CODE_SIZE bytes. */
extern const uint8_t net_code[];

/* Where things are in it. */
extern const uint64_t net_code_restorer, net_code_spawn;
extern const uint64_t net_code_helper, net_code_helper_end, net_code_exit;
extern const uint64_t net_code_cloned, net_code_parent; /* here it is not yet known who is who */

#endif
