// SPDX-License-Identifier: MIT
/*
 * The trap's signal. A trap whose signal the thread blocks, or the program ignores, makes the kernel reset
 * the handler and unblock the signal; with a tracer that is all that happens, without one the process dies.
 * So the trap is chosen by what nobody blocks; where there is no such, those who do are unblocked for the
 * action; and a handler that the kernel resets all the same (a thread may block signals at any time, a signal
 * handler its own signal) is put right at once. Such a thread's mask is not: which of those who trapped it
 * was is not known, and what brings its mask back is the end of its handler, or of its critical section.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "process/gate/internal.h"
#include "process/proc_stat.h"

#define MASK_TRIES	   100 /* a thread is asked whether it has left its signal handler */
#define SIGNAL_BIT(signal) (1ull << ((signal)-1))

/*
 * Indexes into arch_x86_64.traps: ce (SIGILL), f4 (SIGSEGV). Who meets one of these stands *at* it, so if his
 * signal gets lost he meets it again. Behind the trap of debuggers, cc, he would go on into the site's tail:
 * the kernel drops a signal whose stop was reported to a tracer that dies then. And hardly anybody blocks
 * these two; programs that handle SIGILL are the fewest.
 */
static const size_t candidates[] = {2, 1};
#define N_CANDIDATES (sizeof(candidates) / sizeof(*candidates))

static const struct net_trap *candidate(size_t k)
{
	return net_trap(arch_x86_64.traps[candidates[k]].bytes[0]);
}

/* 1: read; 0: the thread has ended; -errno: it could not be found out. */
static int read_masks(const struct gate *gate, pid_t tid, struct proc_masks *ret)
{
	char path[24];
	snprintf(path, sizeof(path), "%d/status", tid);
	int r = proc_masks_read(gate->target->taskfd, path, ret);
	return r == -ENOENT || r == -ESRCH ? 0 : r < 0 ? r : 1;
}

static struct usp_error *cannot_read_masks(const struct gate *gate, pid_t tid, int r)
{
	return usp_error_errno(USP_FAILED, -r,
			       "cannot read which signals thread %d of process %d (%s) blocks", tid,
			       gate->target->pid, gate->target->name);
}

static bool begins_with(const struct action_intent *intent, uint8_t trap)
{
	for (size_t i = 0; i < intent->n_sites; i++)
		if (intent->sites[i].old_bytes[0] == trap || intent->sites[i].new_bytes[0] == trap)
			return true;
	return false;
}

/* pending: blocked and pending somewhere, so it would be delivered if it were unblocked. */
static struct usp_error *count_blocked(const struct gate *gate, size_t blocked[N_CANDIDATES],
				       bool pending[N_CANDIDATES])
{
	int fd = openat(gate->target->taskfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	if (!dir) {
		int r = errno;
		if (fd >= 0)
			close(fd);
		return usp_error_errno(USP_FAILED, r, "cannot list the threads of process %d",
				       gate->target->pid);
	}
	struct usp_error *error = NULL;
	for (struct dirent *entry; !error && (entry = readdir(dir));) {
		pid_t tid = (pid_t)strtol(entry->d_name, NULL, 10);
		struct proc_masks masks = {0};
		int r = tid > 0 ? read_masks(gate, tid, &masks) : 0;
		if (r < 0)
			error = cannot_read_masks(gate, tid, r);
		for (size_t k = 0; r > 0 && k < N_CANDIDATES; k++) {
			uint64_t bit = SIGNAL_BIT(candidate(k)->signal);
			blocked[k] += (masks.blocked & bit) != 0;
			pending[k] |= (masks.blocked & masks.pending & bit) != 0;
		}
	}
	closedir(dir);
	return error;
}

struct usp_error *gate_choose_trap(struct gate *gate, struct action_intent *intent)
{
	size_t blocked[N_CANDIDATES] = {0};
	bool pending[N_CANDIDATES] = {false};
	struct usp_error *error = count_blocked(gate, blocked, pending);
	if (error)
		return error;
	size_t best = N_CANDIDATES;
	for (size_t k = 0; k < N_CANDIDATES; k++)
		if (!pending[k] && !begins_with(intent, candidate(k)->byte) &&
		    (best == N_CANDIDATES || blocked[k] < blocked[best]))
			best = k;
	if (best == N_CANDIDATES)
		return usp_errorf(USP_UNSUPPORTED,
				  "no trap can be used: of each, the byte begins a function to be "
				  "replaced, or the signal is blocked and pending");
	intent->trap = candidates[best];
	gate->signal = candidate(best)->signal;
	gate->trap = candidate(best)->byte;
	gate->adjust = (uint8_t)candidate(best)->adjust;
	return NULL;
}

struct usp_error *gate_note_masks(struct gate *gate)
{
	_cleanup_free_ struct net_mask *masks = calloc(gate->n + 1, sizeof(*masks));
	size_t n = 0;
	if (!masks)
		return &usp_error_no_memory;
	for (size_t i = 0; i < gate->n; i++) {
		struct gate_thread *thread = &gate->v[i];
		pid_t tid = gate->threads->v[i].tid;
		struct proc_masks of;
		int r = gate->threads->v[i].state == THREAD_EXITED ? 0 : read_masks(gate, tid, &of);
		if (r < 0)
			return cannot_read_masks(gate, tid, r);
		if (!r || !(of.blocked & SIGNAL_BIT(gate->signal)))
			continue;
		thread->mask = of.blocked;
		thread->mask_wanted = true;
		gate->mask_changed = true;
		masks[n++] = (struct net_mask){.tid = (uint64_t)tid, .mask = thread->mask};
	}
	return n ? net_note_masks(gate->target, &gate->session->registry->header.net, masks, n) : NULL;
}

struct usp_error *gate_mend_signal(struct gate *gate)
{
	struct proc_masks masks;
	enum net_handler handler;
	if (proc_masks_read(gate->target->procfd, "status", &masks) == 0 &&
	    (masks.caught & SIGNAL_BIT(gate->signal)))
		return NULL;
	return net_repair_handler(gate->target, gate->helper, &gate->session->registry->header.net, &handler);
}

static void unblock(struct gate *gate, size_t i, uint64_t mask)
{
	struct gate_thread *thread = &gate->v[i];
	pid_t tid = gate->threads->v[i].tid;
	uint64_t bit = SIGNAL_BIT(gate->signal);
	thread->mask_wanted = false;
	thread->mask_tries = 0;
	if (!(mask & bit)) /* he has run since his mask was noted */
		return;
	thread->mask = mask;
	mask &= ~bit;
	thread->mask_changed = ptrace(PTRACE_SETSIGMASK, tid, sizeof(mask), &mask) == 0;
	if (thread->mask_changed)
		timeline_moment(gate->target->timeline, tid, "unblocked", NULL, (uint64_t)gate->signal);
}

static void block_again(struct gate *gate, size_t i, uint64_t mask)
{
	struct gate_thread *thread = &gate->v[i];
	pid_t tid = gate->threads->v[i].tid;
	uint64_t bit = SIGNAL_BIT(gate->signal);
	/* Another mask is that of a section (glibc's pthread_create() blocks all), whose end brings back the one
	 * from before it, or the program has set it for good. */
	if (mask != thread->mask && mask != (thread->mask & ~bit) && ++thread->mask_tries < MASK_TRIES)
		return;
	thread->mask_changed = false;
	if (mask == thread->mask)
		return;
	mask |= bit;
	ptrace(PTRACE_SETSIGMASK, tid, sizeof(mask), &mask);
	timeline_moment(gate->target->timeline, tid, "blocked again", NULL, (uint64_t)gate->signal);
}

/* Not in a signal handler, whose return would bring back the mask from before it. One who never leaves his
 * handler gets it there. */
struct usp_error *gate_change_mask(struct gate *gate, size_t i)
{
	struct gate_thread *thread = &gate->v[i];
	uint64_t mask;
	bool in_handler;
	if (!gate_wants_mask(gate, i))
		return NULL;
	struct usp_error *error = stack_in_handler(gate->checker, &gate->threads->v[i], &in_handler);
	if (error || (in_handler && ++thread->mask_tries < MASK_TRIES))
		return error;
	if (ptrace(PTRACE_GETSIGMASK, gate->threads->v[i].tid, sizeof(mask), &mask) < 0)
		thread->mask_wanted = thread->mask_changed = false; /* killed */
	else if (thread->mask_wanted)
		unblock(gate, i, mask);
	else
		block_again(gate, i, mask);
	return NULL;
}

bool gate_wants_mask(const struct gate *gate, size_t i)
{
	return gate->v[i].mask_wanted || (gate->closing && gate->v[i].mask_changed);
}

struct usp_error *gate_keep_signal(struct gate *gate, pid_t tid, const siginfo_t *info)
{
	if (gate->n_signals == gate->signals_capacity) {
		size_t capacity = 2 * gate->signals_capacity + 4;
		struct gate_signal *v = reallocarray(gate->signals, capacity, sizeof(*v));
		if (!v)
			return &usp_error_no_memory;
		gate->signals = v;
		gate->signals_capacity = capacity;
	}
	gate->signals[gate->n_signals++] = (struct gate_signal){tid, *info};
	return NULL;
}

/* A thread's id as its own process knows it. */
static pid_t own_id(const struct gate *gate, pid_t tid)
{
	char path[24];
	pid_t own = tid;
	snprintf(path, sizeof(path), "%d/status", tid);
	return proc_own_id_read(gate->target->taskfd, path, &own) < 0 ? tid : own;
}

/* From inside the process, which alone may say who had sent it. */
struct usp_error *gate_give_signals(struct gate *gate)
{
	uint64_t scratch = gate->session->registry->header.area.stack;
	for (size_t i = 0; i < gate->n_signals; i++) {
		const struct gate_signal *at = &gate->signals[i];
		int64_t result;
		int r = remote_write(gate->target, scratch, &at->info, sizeof(at->info));
		if (r < 0)
			return usp_error_errno(USP_FAILED, -r,
					       "cannot write to usplice's own memory in the target");
		const uint64_t args[6] = {(uint64_t)own_id(gate, gate->target->pid),
					  (uint64_t)own_id(gate, at->tid), (uint64_t)gate->signal, scratch};
		struct usp_error *error = remote_syscall(gate->helper, SYS_rt_tgsigqueueinfo, args, &result);
		if (error)
			return error;
	}
	gate->n_signals = 0;
	return NULL;
}
