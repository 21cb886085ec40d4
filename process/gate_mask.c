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

#include "process/gate_internal.h"

#define MASK_TRIES	   100 /* a thread is asked whether it has left its signal handler */
#define SIGNAL_BIT(signal) (1ull << ((signal)-1))

struct candidate {
	size_t trap; /* index into arch_x86_64.traps */
	int signal;
};

/* The trap of debuggers first: programs have handlers of their own for the others more often. */
static const struct candidate candidates[] = {{0, SIGTRAP}, {1, SIGSEGV}, {2, SIGILL}};
#define N_CANDIDATES (sizeof(candidates) / sizeof(*candidates))

/* The number (hex) behind key in the text of a status file. */
static int hex_line(const char *text, const char *key, uint64_t *ret)
{
	const char *at = strstr(text, key);
	if (!at)
		return -EBADMSG;
	*ret = strtoull(at + strlen(key), NULL, 16);
	return 0;
}

static int read_status(int fd, char *text, size_t size)
{
	ssize_t n = pread(fd, text, size - 1, 0);
	if (n <= 0)
		return n < 0 ? -errno : -ENOENT;
	text[n] = 0;
	return 0;
}

struct masks {
	uint64_t blocked, pending; /* pending: the thread's own and its process' */
};

static int read_masks(const struct target *target, pid_t tid, struct masks *ret)
{
	char path[48], text[4096];
	uint64_t shared = 0;
	*ret = (struct masks){0};
	snprintf(path, sizeof(path), "%d/status", tid);
	int fd = openat(target->taskfd, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	int r = read_status(fd, text, sizeof(text));
	close(fd);
	if (!r)
		r = hex_line(text, "\nSigBlk:\t", &ret->blocked);
	if (!r)
		r = hex_line(text, "\nSigPnd:\t", &ret->pending);
	if (!r)
		r = hex_line(text, "\nShdPnd:\t", &shared);
	ret->pending |= shared;
	return r;
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
	for (struct dirent *entry; (entry = readdir(dir));) {
		pid_t tid = (pid_t)strtol(entry->d_name, NULL, 10);
		struct masks masks;
		if (tid <= 0 || read_masks(gate->target, tid, &masks) < 0)
			continue;
		for (size_t k = 0; k < N_CANDIDATES; k++) {
			uint64_t bit = SIGNAL_BIT(candidates[k].signal);
			blocked[k] += (masks.blocked & bit) != 0;
			pending[k] |= (masks.blocked & masks.pending & bit) != 0;
		}
	}
	closedir(dir);
	return NULL;
}

struct usp_error *gate_choose_trap(struct gate *gate, struct action_intent *intent)
{
	size_t blocked[N_CANDIDATES] = {0};
	bool pending[N_CANDIDATES] = {false};
	struct usp_error *error = count_blocked(gate, blocked, pending);
	if (error)
		return error;
	const struct candidate *best = NULL;
	for (size_t k = 0; k < N_CANDIDATES; k++)
		if (!pending[k] && !begins_with(intent, arch_x86_64.traps[candidates[k].trap].bytes[0]) &&
		    (!best || blocked[k] < blocked[best - candidates]))
			best = &candidates[k];
	if (!best)
		return usp_errorf(USP_UNSUPPORTED,
				  "every trap byte is the first byte of some function to be replaced");
	intent->trap = best->trap;
	gate->signal = best->signal;
	gate->trap = arch_x86_64.traps[best->trap].bytes[0];
	gate->adjust = arch_x86_64.traps[best->trap].saved_offset;
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
		struct masks of;
		if (gate->threads->v[i].state == THREAD_EXITED ||
		    read_masks(gate->target, gate->threads->v[i].tid, &of) < 0 ||
		    !(of.blocked & SIGNAL_BIT(gate->signal)))
			continue;
		thread->mask = of.blocked;
		thread->mask_wanted = true;
		masks[n++] =
			(struct net_mask){.tid = (uint64_t)gate->threads->v[i].tid, .mask = thread->mask};
	}
	return n ? net_note_masks(gate->target, &gate->session->registry->header.net, masks, n) : NULL;
}

/* Whether the process has a handler for the trap's signal. */
static bool handler_stands(const struct gate *gate)
{
	uint64_t caught;
	char text[4096];
	return read_status(gate->status_fd, text, sizeof(text)) < 0 ||
	       hex_line(text, "\nSigCgt:\t", &caught) < 0 || (caught & SIGNAL_BIT(gate->signal));
}

struct usp_error *gate_mend_signal(struct gate *gate)
{
	enum net_handler handler;
	if (handler_stands(gate))
		return NULL;
	return net_repair_handler(gate->target, gate->helper, &gate->session->registry->header.net, &handler);
}

void gate_restore_mask(struct gate *gate, size_t i)
{
	struct gate_thread *thread = &gate->v[i];
	pid_t tid = gate->threads->v[i].tid;
	uint64_t mask, bit = SIGNAL_BIT(gate->signal);
	if (ptrace(PTRACE_GETSIGMASK, tid, sizeof(mask), &mask) < 0 || mask == thread->mask) {
		thread->mask_changed = false;
		return;
	}
	if (mask != (thread->mask & ~bit)) {
		/* In a handler: its return brings back the mask from before it, as we had changed it. Or the
		 * program has set another one, for good. */
		if (++thread->mask_tries < MASK_TRIES)
			return;
		mask |= bit;
	} else {
		mask = thread->mask;
	}
	ptrace(PTRACE_SETSIGMASK, tid, sizeof(mask), &mask);
	thread->mask_changed = false;
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
	char path[48], text[4096], *line, *last;
	snprintf(path, sizeof(path), "%d/status", tid);
	int fd = openat(gate->target->taskfd, path, O_RDONLY | O_CLOEXEC);
	int r = fd < 0 ? -errno : read_status(fd, text, sizeof(text));
	if (fd >= 0)
		close(fd);
	if (r || !(line = strstr(text, "\nNSpid:\t")))
		return tid;
	line[1 + strcspn(line + 1, "\n")] = 0;
	last = strrchr(line, '\t');
	return (pid_t)strtol(last + 1, NULL, 10);
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
