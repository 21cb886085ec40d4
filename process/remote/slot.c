/* SPDX-License-Identifier: MIT */
/*
 * Slots for stubs: free ones are all zero, taken ones begin with a magic number and the thread's id. A
 * controller that was killed leaves its slot taken, and the thread may still be on its way home through it
 * (or in a signal handler that returns into it): such a slot is free again only once that thread is proved to
 * be elsewhere.
 */
#include "process/proc_stat.h"
#include "process/remote/borrow.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>

#define LOOK_NS	       100000000ull
#define STACK_LOOK_MAX (64u << 20) /* a stack with more in use is not searched: the slot stays taken */
#define FRAME_ROOM     (64u << 10) /* a signal frame lies at most that far below the stack pointer */

/*
 * The thread's id as the target itself sees it: two controllers in different PID namespaces must agree on it.
 * 0: gone, -1: cannot tell.
 */
static pid_t own_id(const struct target *target, pid_t tid)
{
	char path[24];
	pid_t own = tid;
	snprintf(path, sizeof(path), "%d/status", tid);
	int r = proc_own_id_read(target->taskfd, path, &own);
	if (r == -ENOENT || r == -ESRCH)
		return 0;
	return r == 0 || r == -ENODATA ? own : -1;
}

/* The controller's id of the thread that calls itself `own`; 0: there is none, -1: cannot tell. */
static pid_t find_own_id(const struct target *target, uint64_t own)
{
	int fd = target_openat(target, O_RDONLY | O_DIRECTORY, "task/.");
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	if (!dir) {
		if (fd >= 0)
			close(fd);
		return -1;
	}
	pid_t ret = 0;
	for (struct dirent *entry; (entry = readdir(dir));) {
		pid_t tid = atoi(entry->d_name);
		pid_t id = tid > 0 ? own_id(target, tid) : 0;
		if (id < 0)
			ret = -1;
		if (id > 0 && (uint64_t)id == own) {
			ret = tid;
			break;
		}
	}
	closedir(dir);
	return ret;
}

/* Whether a word of [from, to) points into the slot. What cannot be read counts as one that does. */
static bool points_into(const struct target *target, uint64_t from, uint64_t to, uint64_t slot)
{
	uint64_t words[2048];
	from &= ~7ull;
	if (to - from > STACK_LOOK_MAX)
		return true;
	while (from < to) {
		size_t n = to - from < sizeof(words) ? to - from : sizeof(words);
		if (target_read(target, from, words, n) < 0)
			return true;
		for (size_t i = 0; i < n / 8; i++)
			if (words[i] - slot < REMOTE_SLOT_SIZE)
				return true;
		from += n;
	}
	return false;
}

/* Whether a stopped thread is outside the slot, its signal frames included. */
static bool is_outside(const struct target *target, const struct user_regs_struct *registers, uint64_t slot,
		       uint64_t slot_rsp)
{
	if (registers->rip - slot < REMOTE_SLOT_SIZE)
		return false;
	struct maps maps;
	struct usp_error *error = maps_read(target, &maps);
	if (error) {
		usp_error_destroy(error);
		return false;
	}
	const struct mapping *now = maps_find(&maps, registers->rsp), *then = maps_find(&maps, slot_rsp);
	bool inside = !now || points_into(target, registers->rsp, now->end, slot);
	if (!inside && then &&
	    then != now) { /* on another stack: the frame would be where it was taken from */
		uint64_t from = slot_rsp - then->start > FRAME_ROOM ? slot_rsp - FRAME_ROOM : then->start;
		inside = points_into(target, from, slot_rsp, slot);
	}
	maps_deinit(&maps);
	return !inside;
}

/* Whether nobody can come back to a slot that a killed controller left. */
static bool is_abandoned(struct remote *remote, uint64_t address, const struct remote_slot *slot)
{
	const struct target *target = remote->target;
	pid_t tid = find_own_id(target, slot->tid);
	if (tid <= 0)
		return tid == 0;
	if (tid == remote->tid)
		return is_outside(target, &remote->registers, address, slot->rsp);
	for (size_t i = 0; i < remote->threads->n; i++) {
		const struct thread *t = &remote->threads->v[i];
		if (t->tid != tid)
			continue;
		return (t->state == THREAD_STOPPED || t->state == THREAD_GROUP_STOPPED) && t->has_registers &&
		       is_outside(target, &t->registers, address, slot->rsp);
	}
	if (!remote->own_threads)
		return false; /* it came after the stop */
	struct threads *one = NULL;
	struct usp_error *error = threads_seize_one(target, tid, &one);
	if (!error)
		error = threads_stop(one, remote_now_ns() + LOOK_NS);
	bool abandoned = !error && one->n == 1 && one->v[0].has_registers &&
			 is_outside(target, &one->v[0].registers, address, slot->rsp);
	usp_error_destroy(error);
	threads_detach(one);
	return abandoned;
}

static bool all_zero(const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i])
			return false;
	return true;
}

enum slot_state {
	SLOT_FREE,
	SLOT_ABANDONED,
	SLOT_TAKEN
};

static enum slot_state look_at(struct remote *remote, uint64_t address)
{
	_Alignas(struct remote_slot) uint8_t bytes[REMOTE_SLOT_SIZE];
	if (address == remote->address)
		return SLOT_TAKEN; /* by this very controller */
	if (target_read(remote->target, address, bytes, sizeof(bytes)) < 0)
		return SLOT_TAKEN;
	if (all_zero(bytes, sizeof(bytes)))
		return SLOT_FREE;
	const struct remote_slot *slot = (const struct remote_slot *)bytes;
	size_t n;
	const uint8_t *code = remote_stub_code(&n);
	if (slot->magic != REMOTE_SLOT_MAGIC || memcmp(bytes + REMOTE_SLOT_CODE, code, n))
		return SLOT_TAKEN; /* somebody else's bytes, or another version's */
	return is_abandoned(remote, address, slot) ? SLOT_ABANDONED : SLOT_TAKEN;
}

static struct usp_error *write_slot(struct remote *remote, uint64_t address)
{
	_Alignas(struct remote_slot) uint8_t bytes[REMOTE_SLOT_SIZE] = {0}, now[REMOTE_SLOT_SIZE];
	size_t n;
	const uint8_t *code = remote_stub_code(&n);
	memcpy(bytes, &remote->slot, sizeof(remote->slot));
	memcpy(bytes + REMOTE_SLOT_CODE, code, n);
	struct usp_error *error = remote_poke(remote, address, bytes, sizeof(bytes));
	if (error)
		return error;
	int r = target_read(remote->target, address, now, sizeof(now));
	if (r < 0 || memcmp(bytes, now, sizeof(now)))
		return usp_error_errno(USP_FAILED, r < 0 ? -r : EIO,
				       "the stub written to 0x%lx in %s (%d) did not read back",
				       (long)address, remote->target->name, remote->target->pid);
	return NULL;
}

struct usp_error *remote_slot_take(struct remote *remote, uint64_t start, uint64_t end, uint64_t *ret)
{
	pid_t id = own_id(remote->target, remote->tid);
	*ret = 0;
	if (id <= 0)
		return usp_errorf(USP_GONE, "thread %d of %s (%d) has ended", remote->tid,
				  remote->target->name, remote->target->pid);
	remote->slot.tid = (uint64_t)id;
	for (uint64_t s = start; end - s >= REMOTE_SLOT_SIZE; s += REMOTE_SLOT_SIZE) {
		if (look_at(remote, s) == SLOT_TAKEN)
			continue;
		struct usp_error *error = write_slot(remote, s);
		if (!error)
			*ret = s;
		return error;
	}
	return NULL;
}

struct usp_error *remote_slot_give(struct remote *remote, uint64_t address)
{
	static const uint8_t zero[REMOTE_SLOT_SIZE];
	return remote_poke(remote, address, zero, sizeof(zero));
}

struct usp_error *remote_slot_sweep(struct remote *remote, uint64_t start, uint64_t end)
{
	struct usp_error *error = NULL;
	for (uint64_t s = start; !error && end - s >= REMOTE_SLOT_SIZE; s += REMOTE_SLOT_SIZE)
		if (look_at(remote, s) == SLOT_ABANDONED)
			error = remote_slot_give(remote, s);
	return error;
}
