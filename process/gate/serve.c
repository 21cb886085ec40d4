// SPDX-License-Identifier: MIT
/*
 * Serving the stops of the target's threads. The tracer asks for anybody's (only its own tracees are meant:
 * __WNOTHREAD), serves one, and asks again.
 *
 *   a trap of ours    held, if drained; else passed on into the old code. Late (no trap stands there any
 *                     more): run again
 *   the interrupt     looked at by his registers; goes on
 *   birth, death,     as everywhere (thread/report.c), but forked children: child.c
 *   signals, group
 *   stops
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#include "process/gate/internal.h"
#include "process/proc_stat.h"

#define EVENT_OF(status) ((status) >> 16)

void gate_interrupt(struct gate *gate, size_t i)
{
	struct thread *thread = &gate->threads->v[i];
	if (thread->interrupted || thread->state != THREAD_RUNNING || gate->v[i].held || gate->v[i].due)
		return;
	thread->interrupted = true;
	gate->v[i].asked_ns = timeline_now(gate->target->timeline);
	ptrace(PTRACE_INTERRUPT, thread->tid, NULL, NULL); /* a failure: it ended; waitpid tells */
}

void gate_go_on_at(struct gate *gate, size_t i, uint64_t rip)
{
	struct thread *thread = &gate->threads->v[i];
	ptrace(PTRACE_POKEUSER, thread->tid, (void *)offsetof(struct user, regs.rip), (void *)rip);
	if (thread->interrupted) /* used up by this stop */
		ptrace(PTRACE_INTERRUPT, thread->tid, NULL, NULL);
	ptrace(PTRACE_CONT, thread->tid, NULL, NULL);
}

/* *ours: it was a trap of ours, and is dealt with. */
static struct usp_error *serve_trap(struct gate *gate, size_t i, bool *ours)
{
	struct gate_thread *at = &gate->v[i];
	struct thread *thread = &gate->threads->v[i];
	siginfo_t info;
	uint8_t byte;
	*ours = false;
	if (ptrace(PTRACE_GETREGS, thread->tid, NULL, &thread->registers) < 0 ||
	    ptrace(PTRACE_GETSIGINFO, thread->tid, NULL, &info) < 0)
		return NULL; /* killed meanwhile */
	if (info.si_code <= 0 && at->mask_changed) {
		/* Sent to a thread that blocks it, as far as the program knows. */
		*ours = true;
		gate_go_on_at(gate, i, thread->registers.rip);
		return gate_keep_signal(gate, thread->tid, &info);
	}
	ssize_t site = gate_find_site(gate, thread->registers.rip);
	if (site < 0 || info.si_code <= 0)
		return NULL; /* as the kernel has it */
	uint64_t address = gate->sites[site].address;
	if (target_read(gate->target, address, &byte, 1) < 0)
		return NULL;
	if (byte != gate->trap && gate->adjust == 0) {
		/* A late trap, or a fault of the instruction itself: that comes again at once. */
		if (at->late_at == address && at->late_sp == thread->registers.rsp)
			return NULL;
		at->late_at = address;
		at->late_sp = thread->registers.rsp;
	}
	*ours = true;
	gate->trapped = true;
	/* From here on the signal would get lost with this controller, and he meet the trap again; a handler would
	 * take the signal for a fault of the place where he is sent. */
	(void)waitpid(thread->tid, NULL, __WALL | WNOHANG);
	if (byte != gate->trap) {
		at->clean = gate->closing && !at->mask_changed;
		gate_go_on_at(gate, i, address);
		timeline_moment(gate->target->timeline, thread->tid, "late trap",
				gate->names ? gate->names[site] : NULL, address);
		return NULL;
	}
	if (!at->drained) {
		bool outside;
		struct usp_error *error = gate_examine(gate, thread, gate->entries[site], &outside);
		if (error)
			return error;
		at->drained = outside;
	}
	if (at->drained) {
		at->held = true;
		at->site = (size_t)site;
	} else {
		gate_go_on_at(gate, i, gate->sites[site].old_to);
	}
	gate_mark_trap(gate, i, (size_t)site);
	return NULL;
}

static bool signal_is_queued(const struct gate *gate, const struct thread *thread)
{
	struct proc_masks masks;
	char path[32];
	snprintf(path, sizeof(path), "%d/status", thread->tid);
	return proc_masks_read(gate->target->taskfd, path, &masks) == 0 &&
	       (masks.own_pending & ~masks.blocked & 1ull << (gate->signal - 1));
}

/* The kernel lets a thread stop for an interrupt before it looks at his signals. One who has just hit a trap
 * stands behind it then, as if inside, and interrupted again and again he would never get to its signal. */
static bool trap_is_due(const struct gate *gate, const struct thread *thread)
{
	return thread->has_registers && gate_find_site(gate, thread->registers.rip) >= 0 &&
	       signal_is_queued(gate, thread);
}

/* In PTRACE_EVENT_STOP, with registers. */
static struct usp_error *serve_stop(struct gate *gate, size_t i)
{
	struct gate_thread *at = &gate->v[i];
	struct thread *thread = &gate->threads->v[i];
	struct usp_error *error = NULL;
	uint64_t stopped_ns = timeline_now(gate->target->timeline);
	bool looked = false;
	if (thread->state != THREAD_STOPPED && thread->state != THREAD_GROUP_STOPPED)
		return NULL;
	at->due = trap_is_due(gate, thread);
	if (!at->due) /* blocked, its signal would never come */
		error = gate_change_mask(gate, i);
	if (gate->closing) {
		at->clean = !at->mask_changed && thread->has_registers &&
			    gate_find_site(gate, thread->registers.rip) < 0;
	} else if (!error && gate->raised && !at->drained && !at->due && thread->has_registers) {
		bool outside;
		error = gate_examine(gate, thread, thread->registers.rip, &outside);
		at->drained = !error && outside;
		looked = true;
	}
	threads_resume(gate->threads, i);
	gate_mark_asked(gate, i, stopped_ns, looked);
	return error;
}

/* In the stop of a signal of the program's. Under many signals he may be met nowhere but in their handlers: here
 * he is between two of them, and the next one's return brings back the mask that he has now. */
static struct usp_error *serve_signal(struct gate *gate, size_t i)
{
	struct thread *thread = &gate->threads->v[i];
	if (!gate_wants_mask(gate, i))
		return NULL;
	thread->has_registers = ptrace(PTRACE_GETREGS, thread->tid, NULL, &thread->registers) == 0;
	return signal_is_queued(gate, thread) ? NULL : gate_change_mask(gate, i);
}

static bool is_thread(const struct gate *gate, pid_t pid)
{
	char path[24];
	snprintf(path, sizeof(path), "%d", pid);
	return faccessat(gate->target->taskfd, path, F_OK, 0) == 0;
}

/* A thread begins with its parent's mask, and glibc gives it that for good. */
static struct usp_error *inherit_mask(struct gate *gate, size_t parent, pid_t newborn)
{
	struct usp_error *error = gate_grow(gate);
	ssize_t i = error ? -1 : gate_index(gate, newborn);
	if (i < 0 || !gate->v[parent].mask_changed)
		return error;
	gate->v[i].mask_changed = true;
	gate->v[i].clean = false; /* his own first stop may have come before his parent's */
	gate->v[i].mask = gate->v[parent].mask;
	return NULL;
}

/* A newborn process is not for thread/report.c, which lets it go as it is. */
static struct usp_error *serve_birth(struct gate *gate, size_t i, int status)
{
	unsigned long newborn = 0;
	struct thread *thread = &gate->threads->v[i];
	struct usp_error *error;
	if (ptrace(PTRACE_GETEVENTMSG, thread->tid, NULL, &newborn) < 0 || !newborn ||
	    is_thread(gate, (pid_t)newborn)) {
		error = threads_take(gate->threads, i, status, false);
		return error ? error : inherit_mask(gate, i, (pid_t)newborn);
	}
	error = gate_child_born(gate, (pid_t)newborn);
	if (thread->interrupted)
		ptrace(PTRACE_INTERRUPT, thread->tid, NULL, NULL);
	ptrace(PTRACE_CONT, thread->tid, NULL, NULL);
	return error;
}

static struct usp_error *serve_one(struct gate *gate, size_t i, int status)
{
	struct usp_error *error = NULL;
	if (gate->threads->v[i].state == THREAD_EXITED)
		gate_renew(gate, i); /* its id is in use again */
	gate->v[i].looked = gate->v[i].due = false;
	gate->v[i].held = false;    /* only its death gets it out of there */
	gate->v[i].forkless = true; /* a fork ends before its caller can stop, or is told */
	if (!WIFSTOPPED(status)) {
		gate_mark_ended(gate, i);
		return threads_take(gate->threads, i, status, false);
	}
	int event = EVENT_OF(status);
	if (event == PTRACE_EVENT_FORK || event == PTRACE_EVENT_VFORK || event == PTRACE_EVENT_CLONE)
		return serve_birth(gate, i, status);
	if (event == 0 && WSTOPSIG(status) == gate->signal) {
		bool ours;
		error = serve_trap(gate, i, &ours);
		if (error || ours)
			return error;
	} else if (event == 0) {
		error = serve_signal(gate, i);
		if (error)
			return error;
	}
	error = threads_take(gate->threads, i, status, event == PTRACE_EVENT_STOP);
	if (!error && event == PTRACE_EVENT_STOP)
		error = serve_stop(gate, i);
	return error ? error : gate_grow(gate);
}

static struct usp_error *serve_unknown(struct gate *gate, pid_t pid, int status)
{
	if (gate->helper && pid == remote_tid(gate->helper))
		return usp_errorf(USP_FAILED, "the helper thread %d in process %d was killed", pid,
				  gate->target->pid);
	if (!is_thread(gate, pid))
		return gate_child_stopped(gate, pid, status);
	/* A thread whose birth its parent has not told yet. */
	if (threads_reserve(gate->threads, gate->threads->n + 1) < 0)
		return &usp_error_no_memory;
	struct thread *thread = threads_append(gate->threads, pid);
	thread->options = gate->threads->v[0].options;
	struct usp_error *error = gate_grow(gate);
	return error ? error : serve_one(gate, gate->n - 1, status);
}

/*
 * The next report of any tracee; 0: there is none, or -1. The stop of a signal is seen without taking the
 * report: the kernel drops a signal whose report was taken by a tracer that dies before it lets the thread go
 * on, and delivers one whose was not. So neither the program's signals nor its traps get lost.
 */
static pid_t next_report(struct gate *gate, int *status)
{
	siginfo_t info = {0};
	if (waitid(P_ALL, 0, &info, WEXITED | WSTOPPED | WNOHANG | WNOWAIT | __WALL | __WNOTHREAD) < 0)
		return -1;
	if (!info.si_pid)
		return 0;
	if (info.si_code == CLD_TRAPPED && info.si_status > 0 && info.si_status < SIGTRAP + 0x80 &&
	    gate_index(gate, info.si_pid) >= 0) {
		*status = info.si_status << 8 | 0x7f;
		return info.si_pid;
	}
	return waitpid(info.si_pid, status, __WALL | WNOHANG);
}

struct usp_error *gate_serve(struct gate *gate, size_t *served)
{
	struct usp_error *error = NULL;
	*served = 0;
	while (!error) {
		int status;
		pid_t pid = next_report(gate, &status);
		if (pid < 0 && errno == EINTR)
			continue;
		if (pid <= 0)
			break;
		++*served;
		ssize_t i = gate_index(gate, pid);
		error = i >= 0 ? serve_one(gate, (size_t)i, status) : serve_unknown(gate, pid, status);
	}
	if (!error && gate->trapped && gate->helper) {
		gate->trapped = false;
		error = gate_mend_signal(gate);
	}
	return error ? error : threads_check_gone(gate->threads);
}
