/* SPDX-License-Identifier: MIT */
/*
 * The gate of a process: who may go on where while the sites of an action trap. It holds every thread seized,
 * and stops none that does not run; the engine (core/gate.c) writes the sites and decides.
 *
 *   gate_create   where each trap leads is worked out; the net (net.h) is armed; a helper thread is made in
 * the target for the syncs; all threads are seized and looked at once gate_drain    who sleeps is judged by
 * his stack, as he lies, and stays judged as long as the kernel's counter says that he has not run since; who
 * runs is asked for his registers; who hits a trap is held, or passed on into the old code if he must still
 * drain gate_let_go   those held go on gate_close    nobody has a trap on his way any more; masks, handler
 * and helper are taken back
 *
 * ptrace knows threads, so all of it happens in one thread of the controller; and since a running tracee can
 * only be let go without stopping it by the tracer's end, that thread ends after gate_close() and lets all go
 * at once.
 *
 * Why "once drained, always drained" holds: docs/gate.md.
 */
#ifndef PROCESS_GATE_GATE_H
#define PROCESS_GATE_GATE_H

#include "core/action.h"
#include "process/session.h"
#include "process/stack/stack.h"

struct gate;

/* Somebody who was inside when a try ended. */
struct gate_blocker {
	pid_t tid;
	char name[16];
	struct stack_trace *trace; /* owned by the gate */
	const char *why;	   /* what makes him one, when the backtrace does not say it; or NULL */
	bool unknown;		   /* it could not be found out */
	unsigned seen;		   /* at the end of how many tries */
};

/*
 * Chooses intent->trap and intent->commit_late. *ret NULL without an error: these sites, or this target,
 * cannot be switched by a gate; *why says why, and nothing was changed.
 */
_must_check_ struct usp_error *gate_create(struct session *session, struct stack_checker *checker,
					   struct action_intent *intent, const struct host_range *ranges,
					   size_t n, struct gate **ret, const char **why);
/* One core sync, made by the helper thread. */
_must_check_ struct usp_error *gate_sync(struct gate *gate);
/* *ready false: somebody is inside, asleep, as he has been since he was looked at: no use in raising the
 * gate. */
_must_check_ struct usp_error *gate_ready(struct gate *gate, bool *ready);
/* *drained false: somebody was still inside at deadline_ns, see gate_blockers(). */
_must_check_ struct usp_error *gate_drain(struct gate *gate, uint64_t deadline_ns, bool *drained);
/* at_site: whole instructions stand at every site again; else traps may, and those held go where the commit
 * word says. */
_must_check_ struct usp_error *gate_let_go(struct gate *gate, bool at_site);
/* Serves the threads' stops for ns. */
_must_check_ struct usp_error *gate_wait(struct gate *gate, uint64_t ns);
/* stop_all: let everybody go here and now (stopping him for it), because this thread goes on using ptrace.
 * Frees. */
_must_check_ struct usp_error *gate_close(struct gate *gate, bool stop_all);

size_t gate_threads(const struct gate *gate);
const struct gate_blocker *gate_blockers(const struct gate *gate, size_t *n);

#endif
