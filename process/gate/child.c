// SPDX-License-Identifier: MIT
/*
 * Processes that the target forks while the gate may be up. A child has its own copy of the text, trap bytes
 * and all, and nobody to serve them: so the kernel hands it to us at its birth, and its text is made whole
 * before it runs its first instruction, all old or all new, as the commit word in its own copy says. A child
 * that shares the memory (vfork, posix_spawn) must not be touched like that; it waits for the gate's end
 * instead.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "process/gate/internal.h"

#define CHILD_NUMBER 2048 /* in the scratch space of usplice's area: a word that tells memories apart */

static struct gate_child *find(struct gate *gate, pid_t pid)
{
	for (size_t i = 0; i < gate->n_children; i++)
		if (gate->children[i].pid == pid)
			return &gate->children[i];
	return NULL;
}

/*
 * clone() can share the memory whatever event it is told as. A number that is new in the target's memory, and
 * is to be seen in the child's, says so. (kcmp() would, but not in every kernel.) Not found out: it does.
 */
static bool shares_memory(struct gate *gate, pid_t pid)
{
	char path[32];
	uint64_t address = gate->session->registry->header.area.stack + CHILD_NUMBER, seen;
	uint64_t number = ((uint64_t)pid << 32) + ++gate->child_number;
	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return true;
	bool known = remote_write(gate->target, address, &number, sizeof(number)) >= 0 &&
		     pread(fd, &seen, sizeof(seen), (off_t)address) == sizeof(seen);
	close(fd);
	return !known || seen == number;
}

static int write_site(int fd, const struct net_site *site, uint8_t trap, bool committed)
{
	const uint8_t *bytes = committed ? site->new_bytes : site->old_bytes;
	uint8_t now;
	if (pread(fd, &now, 1, (off_t)site->address) != 1)
		return -errno;
	if (now != trap)
		return 0;
	return pwrite(fd, bytes, site->length, (off_t)site->address) == site->length ? 0 : -EIO;
}

/* Stopped at its birth; nobody else runs in its memory, so whole sites may be written. */
static struct usp_error *clean(struct gate *gate, pid_t pid)
{
	char path[32];
	uint64_t word, mask;
	const struct registry *registry = gate->session->registry;
	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	int fd = open(path, O_RDWR | O_CLOEXEC);
	int r = fd < 0 ? -errno : 0;
	if (!r &&
	    pread(fd, &word, sizeof(word),
		  (off_t)(registry->address + offsetof(struct registry_header, current))) != sizeof(word))
		r = -errno;
	for (size_t i = 0; i < gate->n_sites && !r; i++)
		r = write_site(fd, &gate->sites[i], gate->trap, word != gate->old_word);
	/* Nothing is in flight in it. (Its net stays armed, harmless, until somebody uses usplice on it.) */
	if (!r) {
		const uint64_t none = REGISTRY_NONE;
		if (pwrite(fd, &none, sizeof(none),
			   (off_t)(registry->address + offsetof(struct registry_header, in_flight))) !=
		    sizeof(none))
			r = -EIO;
	}
	if (fd >= 0)
		close(fd);
	/* It has the mask of who forked it. */
	if (gate->mask_changed && ptrace(PTRACE_GETSIGMASK, pid, sizeof(mask), &mask) == 0) {
		for (size_t i = 0; i < gate->n; i++)
			if (gate->v[i].mask_changed &&
			    mask == (gate->v[i].mask & ~(1ull << (gate->signal - 1)))) {
				ptrace(PTRACE_SETSIGMASK, pid, sizeof(mask), &gate->v[i].mask);
				break;
			}
	}
	if (r == -ENOENT || r == -ESRCH)
		return NULL; /* killed meanwhile */
	return r ? usp_error_errno(USP_FAILED, -r,
				   "making the code of process %d whole, which was forked meanwhile", pid)
		 : NULL;
}

static struct usp_error *let_go(struct gate *gate, struct gate_child *child)
{
	struct usp_error *error = child->shares ? NULL : clean(gate, child->pid);
	if (!error)
		ptrace(PTRACE_DETACH, child->pid, NULL, NULL);
	gate_mark_child(gate, child);
	*child = gate->children[--gate->n_children];
	return error;
}

struct usp_error *gate_child_born(struct gate *gate, pid_t pid)
{
	if (find(gate, pid))
		return NULL; /* its first stop came before */
	if (gate->n_children == gate->children_capacity) {
		size_t capacity = 2 * gate->children_capacity + 8;
		struct gate_child *v = reallocarray(gate->children, capacity, sizeof(*v));
		if (!v)
			return &usp_error_no_memory;
		gate->children = v;
		gate->children_capacity = capacity;
	}
	gate->children[gate->n_children++] = (struct gate_child){.pid = pid, .shares = true};
	return NULL;
}

struct usp_error *gate_child_stopped(struct gate *gate, pid_t pid, int status)
{
	struct gate_child *child = find(gate, pid);
	if (!WIFSTOPPED(status)) {
		if (child)
			*child = gate->children[--gate->n_children];
		return NULL;
	}
	if (!child) {
		struct usp_error *error = gate_child_born(gate, pid);
		if (error)
			return error;
		child = find(gate, pid);
	}
	uint64_t stopped_ns = timeline_now(gate->target->timeline);
	child->shares = shares_memory(gate, pid);
	child->stopped = true;
	child->stopped_ns = stopped_ns;
	return child->shares && gate->raised ? NULL : let_go(gate, child);
}

struct usp_error *gate_children_let_go(struct gate *gate)
{
	struct usp_error *error = NULL;
	for (size_t i = 0; i < gate->n_children && !error;)
		if (gate->children[i].stopped)
			error = let_go(gate, &gate->children[i]);
		else
			i++;
	return error;
}
