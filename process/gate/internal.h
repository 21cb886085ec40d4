/* SPDX-License-Identifier: MIT */
/*
 * Shared by the files of the gate (gate*.c); for nobody else.
 */
#ifndef PROCESS_GATE_INTERNAL_H
#define PROCESS_GATE_INTERNAL_H

#include <signal.h>
#include <sys/resource.h>

#include "base/range.h"
#include "process/gate/gate.h"
#include "process/net/net.h"
#include "process/remote/remote.h"
#include "process/thread/internal.h"
#include "process/timeline.h"

enum gate_verdict {
	GATE_RUNS,    /* not asleep, or not for long enough to be looked at */
	GATE_OUTSIDE, /* drained, if the gate is up */
	GATE_INSIDE,
	GATE_UNSURE, /* his registers decide */
};

struct gate_thread {		      /* of threads->v[] of the same index */
	int schedstat_fd, syscall_fd; /* -1: opened for each look */
	bool looked;		      /* the following three are of the same moment */
	uint64_t runs;		      /* how often he had been put on a CPU */
	enum gate_verdict verdict;
	uint64_t home; /* an address in his thread control block; 0: not known */
	bool forkless; /* in no fork that began before he was seized: that child would be nobody's tracee */
	bool drained;
	bool held; /* at a trap, in the stop of its signal */
	bool due;  /* has hit a trap, whose stop comes next if nobody interrupts him again */
	size_t site;
	bool mask_changed, mask_wanted; /* his signal is (to be) unblocked */
	unsigned mask_tries;
	uint64_t mask;		    /* his own, when mask_changed or mask_wanted */
	bool clean;		    /* after the traps are gone: has none on his way */
	uint64_t late_at, late_sp;  /* where he was last sent back to run an instruction again */
	uint64_t asked_ns, held_ns; /* on the timeline: since when he is; 0: is not */
};

struct gate_child {
	pid_t pid;
	bool shares; /* the memory, as far as is known: waits for the gate's end */
	bool stopped;
	uint64_t stopped_ns; /* on the timeline */
};

struct gate_signal {
	pid_t tid;
	siginfo_t info;
};

struct gate {
	struct session *session;
	const struct target *target;
	struct stack_checker *checker;
	struct range_set inside; /* what must be free, pads included */

	struct net_site *sites; /* sorted */
	const char **names;	/* of the functions, for the timeline; NULL without one. The registry's */
	uint64_t *entries;	/* of the function of each site: a thread at its trap stands there */
	size_t n_sites;
	int signal;
	uint8_t trap, adjust;
	uint64_t old_word; /* the commit word before the commit */
	bool mask_changed; /* of some thread */
	bool armed;
	bool unfinished; /* traps stay in the text */
	unsigned tries;
	long cpus; /* online; -1: not known */
	bool limit_raised;
	struct rlimit limit;
	bool raised;  /* traps may be met */
	bool closing; /* none is in the text any more; stops tell who is clean */

	struct threads *helper_threads;
	struct remote *helper;
	uint64_t helper_ns; /* since when, on the timeline */

	struct threads *threads;
	struct gate_thread *v;
	size_t n, capacity;
	struct {
		pid_t tid;
		uint32_t index;
	} * table; /* by tid; open addressing */
	size_t table_size;
	bool files_limited; /* no more descriptors for looks */

	struct gate_child *children;
	size_t n_children, children_capacity;
	uint64_t child_number;
	bool trapped; /* since the handler was last looked after */

	struct gate_blocker *blockers;
	size_t n_blockers, blockers_capacity;
	struct gate_signal *signals; /* to be sent again when masks are as they were */
	size_t n_signals, signals_capacity;
};

/* sites.c: where each trap leads. *why: set when there can be no gate. */
_must_check_ struct usp_error *gate_make_sites(struct gate *gate, struct action_intent *intent,
					       const char **why);
/* The site whose trap a thread with this instruction pointer has hit, or -1. */
ssize_t gate_find_site(const struct gate *gate, uint64_t rip);

/* look.c: threads as /proc shows them. */
/* Brings v in line with threads->v. */
_must_check_ struct usp_error *gate_grow(struct gate *gate);
/* Nothing is known of thread i any more. */
void gate_renew(struct gate *gate, size_t i);
ssize_t gate_index(struct gate *gate, pid_t tid);
_must_check_ struct usp_error *gate_look(struct gate *gate, size_t i, enum gate_verdict *verdict);
/* Whether he sleeps in a system call, and in none that makes a process: then he has no trap on his way (who stands in
 * the stop of its signal looks asleep too, but in no call), and no child with a copy of one. */
bool gate_sleeps(struct gate *gate, size_t i);
/* By his registers, who is stopped. rip: judged as if he stood there. */
_must_check_ struct usp_error *gate_examine(struct gate *gate, const struct thread *thread, uint64_t rip,
					    bool *outside);
void gate_note_blocker(struct gate *gate, const struct thread *thread, bool unknown, const char *why,
		       struct stack_trace *trace);
void gate_threads_deinit(struct gate *gate);

/* serve.c: whatever waitpid has. *served: how many. Who stops is served and goes on, or is held. */
_must_check_ struct usp_error *gate_serve(struct gate *gate, size_t *served);
/* From the stop of a trap's signal, without the signal. */
void gate_go_on_at(struct gate *gate, size_t i, uint64_t rip);
/* Asks who runs to stop. */
void gate_interrupt(struct gate *gate, size_t i);

/* timeline.c: what becomes of each thread, on the timeline if there is one (timeline.h). */
/* A step of the gate's own ends; the next one begins. */
void gate_mark_step(struct gate *gate, uint64_t *began_ns, const char *name);
void gate_mark_met(struct gate *gate, size_t i);
void gate_mark_look(struct gate *gate, size_t i, uint64_t began_ns, enum gate_verdict verdict, bool moved);
/* Runs, and was found so at the first look. */
void gate_mark_runs(struct gate *gate, size_t i);
/* In the interrupt's stop since stopped_ns, and on his way again. */
void gate_mark_asked(struct gate *gate, size_t i, uint64_t stopped_ns, bool looked);
/* At a trap: held from now on; or on his way through it, in the pad. */
void gate_mark_trap(struct gate *gate, size_t i, size_t site);
/* No longer held. */
void gate_mark_let_go(struct gate *gate, size_t i);
void gate_mark_ended(struct gate *gate, size_t i);
void gate_mark_child(struct gate *gate, const struct gate_child *child);

/* child.c: processes forked meanwhile. */
_must_check_ struct usp_error *gate_child_born(struct gate *gate, pid_t pid);
_must_check_ struct usp_error *gate_child_stopped(struct gate *gate, pid_t pid, int status);
_must_check_ struct usp_error *gate_children_let_go(struct gate *gate);

/* mask.c */
/* Which trap: the one whose signal nobody blocks; else those who do are noted, to be unblocked. */
_must_check_ struct usp_error *gate_choose_trap(struct gate *gate, struct action_intent *intent);
_must_check_ struct usp_error *gate_note_masks(struct gate *gate);
/* A thread has hit a trap: the kernel may have reset the handler. */
_must_check_ struct usp_error *gate_mend_signal(struct gate *gate);
/* Whether he is to have another mask than he has. */
bool gate_wants_mask(const struct gate *gate, size_t i);
/* Who is stopped, with registers, gets the mask that the action wants, or his own back. mask_wanted or
 * mask_changed stays when that cannot be now. */
_must_check_ struct usp_error *gate_change_mask(struct gate *gate, size_t i);
/* A signal that somebody sent to a thread that should block it: kept back, and given back. */
_must_check_ struct usp_error *gate_keep_signal(struct gate *gate, pid_t tid, const siginfo_t *info);
_must_check_ struct usp_error *gate_give_signals(struct gate *gate);

#endif
