// SPDX-License-Identifier: MIT
/*
 * The trap's signal. A trap whose signal the thread blocks, or the program ignores, makes the kernel reset
 * the handler and unblock the signal; with a tracer that is all that happens, without one the process dies.
 * So the trap is chosen by what nobody blocks; where there is no such, those who do are unblocked for the
 * action; and what the kernel resets all the same (a thread may block signals at any time) is put right at
 * once.
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
#include <unistd.h>

#include "process/gate_internal.h"

#define SIGNAL_BIT(signal) (1ull << ((signal)-1))

struct candidate {
	size_t trap; /* index into arch_x86_64.traps */
	int signal;
};

/* The trap of debuggers first: programs have handlers of their own for the others more often. */
static const struct candidate candidates[] = {{0, SIGTRAP}, {1, SIGSEGV}, {2, SIGILL}};
#define N_CANDIDATES (sizeof(candidates) / sizeof(*candidates))

static int read_hex_line(int fd, const char *key, uint64_t *ret)
{
	char text[4096];
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
	if (n <= 0)
		return n < 0 ? -errno : -ENOENT;
	text[n] = 0;
	const char *at = strstr(text, key);
	if (!at)
		return -EBADMSG;
	*ret = strtoull(at + strlen(key), NULL, 16);
	return 0;
}

int gate_read_mask(const struct target *target, pid_t tid, uint64_t *mask)
{
	char path[48];
	snprintf(path, sizeof(path), "%d/status", tid);
	int fd = openat(target->taskfd, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	int r = read_hex_line(fd, "\nSigBlk:\t", mask);
	close(fd);
	return r;
}

static bool begins_with(const struct action_intent *intent, uint8_t trap)
{
	for (size_t i = 0; i < intent->n_sites; i++)
		if (intent->sites[i].old_bytes[0] == trap || intent->sites[i].new_bytes[0] == trap)
			return true;
	return false;
}

static struct usp_error *count_blocked(const struct gate *gate, size_t blocked[N_CANDIDATES])
{
	uint64_t mask;
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
		if (tid <= 0 || gate_read_mask(gate->target, tid, &mask) < 0)
			continue;
		for (size_t k = 0; k < N_CANDIDATES; k++)
			blocked[k] += (mask & SIGNAL_BIT(candidates[k].signal)) != 0;
	}
	closedir(dir);
	return NULL;
}

struct usp_error *gate_choose_trap(struct gate *gate, struct action_intent *intent)
{
	size_t blocked[N_CANDIDATES] = {0};
	struct usp_error *error = count_blocked(gate, blocked);
	if (error)
		return error;
	const struct candidate *best = NULL;
	for (size_t k = 0; k < N_CANDIDATES; k++)
		if (!begins_with(intent, arch_x86_64.traps[candidates[k].trap].bytes[0]) &&
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
		if (gate->threads->v[i].state == THREAD_EXITED ||
		    gate_read_mask(gate->target, gate->threads->v[i].tid, &thread->mask) < 0 ||
		    !(thread->mask & SIGNAL_BIT(gate->signal)))
			continue;
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
	return read_hex_line(gate->status_fd, "\nSigCgt:\t", &caught) < 0 ||
	       (caught & SIGNAL_BIT(gate->signal));
}

struct usp_error *gate_mend_signal(struct gate *gate, size_t i)
{
	struct gate_thread *thread = &gate->v[i];
	uint64_t mask = 0;
	struct usp_error *error = NULL;
	bool lost = !handler_stands(gate);
	enum net_handler handler;
	if (lost)
		error = net_repair_handler(gate->target, gate->helper, &gate->session->registry->header.net,
					   &handler);
	if (error || !lost || thread->mask_changed)
		return error;
	if (ptrace(PTRACE_GETSIGMASK, gate->threads->v[i].tid, sizeof(mask), &mask) == 0 &&
	    !(mask & SIGNAL_BIT(gate->signal))) {
		thread->mask_changed = true;
		thread->mask = mask | SIGNAL_BIT(gate->signal);
	}
	return NULL;
}
