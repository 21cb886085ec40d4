/* SPDX-License-Identifier: MIT */
/*
 * The safety net under the gated switch, from the controller's side. While trap bytes stand in the target's
 * text, every trap arrives at the controller, by ptrace. Should the controller die, two things in the target
 * (code.h) take over: a signal handler that sends whoever traps on to the old or the new code, as the
 * commit word says, and a helper thread that takes the traps away.
 *
 *	net_map()	 once
 *	net_arm()	 the table and the handler; nothing traps yet
 *	net_spawn()	 the helper; then hold it stopped
 *	net_publish()	 from here on trap bytes may be written
 *	net_retire()	 no trap byte stands any more
 *	net_done(), net_disarm()
 *
 * A helper that runs while sites are published takes its controller for dead. So from net_publish() to
 * net_retire() the controller has it in a ptrace stop. Before, it lives for 200 rounds of 10 ms; whoever
 * needs longer spawns another. A recovery, with all threads stopped, calls net_dismiss() on each before it
 * touches a site: a helper must not write what it decided to write before the recovery.
 *
 * Nothing that handlers use is ever unmapped. The program may have been told our handler's address by
 * sigaction() and install it again at any time later, or call it from a handler of its own: it then behaves
 * as the program's action for which it stood. (Each action has an entry of its own; a program that had 24
 * different ones during usplice's actions is refused.)
 *
 * What the program can notice: sigaction() tells our handler's address while armed; a signal that it ignores
 * interrupts system calls that do not restart; what execve() makes of an ignored signal is SIG_DFL. Text that
 * is executable but not readable is not supported. The helper cannot finish in a process that may not open
 * its own /proc/thread-self/mem (no /proc there; not dumpable, and not root's): then the handler serves on.
 */
#ifndef PROCESS_NET_NET_H
#define PROCESS_NET_NET_H

#include <stdbool.h>

#include "process/net/code.h"
#include "process/remote/remote.h"

struct net_area { /* kept in the registry by the caller; all 0: not mapped yet */
	uint64_t code, data;
	uint64_t data_size; /* of the mapping; the table may have moved to another one */
};

/* The one-byte traps there are. NULL: no such trap. */
struct net_trap {
	uint8_t byte;
	int signal;
	unsigned adjust; /* saved instruction pointer minus the trap's address */
	unsigned number; /* of the exception */
};
const struct net_trap *net_trap(uint8_t byte);

/*
 * Maps what is missing, for n_sites at least. area: in and out; all 0: what a killed controller mapped is
 * adopted (a memfd_create() of its that ends only after this leaves a descriptor). scratch:
 * REMOTE_SCRATCH_SIZE bytes in the target (remote_area.stack). A table that has become too small stays mapped
 * (a handler may be reading it) beside the new one, which is at least twice as large: as much again may be
 * lost at most. USP_WRONG_STATE: sites are published. USP_MISMATCH: area is not what is mapped.
 * USP_UNSUPPORTED: RLIMIT_FSIZE, or too many sites.
 */
_must_check_ struct usp_error *net_map(const struct target *target, struct remote *remote, uint64_t scratch,
				       struct net_area *area, size_t n_sites);

/*
 * Writes the table (sites sorted by address, n > 0) and installs the handler over the program's. The commit
 * word, at word_address (a multiple of 8), means old_to while it holds old_word. USP_USAGE: signal and adjust
 * are not the trap's, or the sites are malformed. USP_WRONG_STATE: sites are published. The registration for
 * membarrier is the caller's.
 */
_must_check_ struct usp_error *net_arm(const struct target *target, struct remote *remote,
				       const struct net_area *area, int signal, uint8_t trap, unsigned adjust,
				       uint64_t word_address, uint64_t old_word, const struct net_site *sites,
				       size_t n);

/* From here on a trap at a site is ours. Before each try at the gate: what is remembered of late traps is
 * forgotten. */
_must_check_ struct usp_error *net_publish(const struct target *target, const struct net_area *area);

/*
 * No trap byte of ours stands any more. Late traps are still known, until net_disarm() or a net_arm() with
 * other sites: before these the caller has to know that none is on its way. A thread in PTRACE_EVENT_STOP may
 * still have one pending, its instruction pointer at a site (plus adjust): the kernel reports that stop
 * first.
 */
_must_check_ struct usp_error *net_retire(const struct target *target, const struct net_area *area);

/*
 * The program's action back, byte for byte, where ours is still the one installed, or was until the kernel
 * reset it. An action that the program has set meanwhile is left alone. Nothing armed: nothing done.
 */
_must_check_ struct usp_error *net_disarm(const struct target *target, struct remote *remote,
					  const struct net_area *area);

enum net_handler {
	NET_HANDLER_OURS,     /* as armed */
	NET_HANDLER_REPAIRED, /* the kernel had reset it; it is as armed again */
	NET_HANDLER_PROGRAMS, /* the program has set another action: left alone, the net has a hole */
	NET_HANDLER_NONE,     /* not armed */
};

/* The kernel resets a handler to SIG_DFL when its signal was blocked or ignored at a trap: ours again. */
_must_check_ struct usp_error *net_repair_handler(const struct target *target, struct remote *remote,
						  const struct net_area *area, enum net_handler *ret);

/*
 * Starts the helper thread on the stack that ends at stack_top (512 bytes will do, a multiple of 16; the
 * caller's to keep until it has ended); its thread id as the controller sees it, 0 when it has ended already.
 * USP_UNSUPPORTED: some thread has a seccomp filter, which might kill for the helper's system calls; then the
 * handler is all the net there is. Where all threads are seized, the kernel seizes this one, too, and it is
 * in its first stop.
 */
_must_check_ struct usp_error *net_spawn(const struct target *target, struct remote *remote,
					 const struct net_area *area, uint64_t stack_top, pid_t *tid);

/* No helper may live from here on: each ends when it next runs. */
_must_check_ struct usp_error *net_done(const struct target *target, const struct net_area *area);

/* Whether registers, of a stopped thread, are a helper's; then they are changed to those of one that ends,
 * for the caller to set. */
bool net_dismiss(const struct net_area *area, struct user_regs_struct *registers);

/*
 * For recovery: what the net knows, checked and bounded. sites is the caller's to free: *n published ones;
 * none published: *n is 0, sites NULL. USP_FAILED: damaged.
 */
_must_check_ struct usp_error *net_read(const struct target *target, const struct net_area *area,
					struct net_data *ret, struct net_site **sites, size_t *n);

/* Notes threads whose signal mask was changed for the action (n up to NET_MASKS_MAX), for whoever recovers;
 * replaces what was noted. */
_must_check_ struct usp_error *net_note_masks(const struct target *target, const struct net_area *area,
					      const struct net_mask *masks, size_t n);
_must_check_ struct usp_error *net_read_masks(const struct target *target, const struct net_area *area,
					      struct net_mask **masks, size_t *n);

#endif
