/* SPDX-License-Identifier: MIT */
/*
 * The helper thread: started, ended, and taken out of a recovery's way. Each has a number; the one that the
 * header names may live.
 */
#include "process/net/internal.h"

#include <errno.h>
#include <stdio.h>

#include "process/proc_stat.h"
#include "process/remote/borrow.h"

#define SPAWN_NS 5000000000ull

static struct usp_error *next_helper(const struct target *target, const struct net_area *area, uint64_t *ret)
{
	struct net_data data;
	struct usp_error *error = net_read_data(target, area, &data);
	if (error)
		return error;
	*ret = data.helper + 1;
	return net_put_word(target, area, offsetof(struct net_data, helper), *ret);
}

/* The number by which the target calls its thread tid; 0: no such thread. */
static long own_id(const struct target *target, pid_t tid)
{
	char path[24];
	pid_t own = tid;
	snprintf(path, sizeof(path), "%d/status", tid);
	int r = proc_own_id_read(target->taskfd, path, &own);
	return r == 0 || r == -ENODATA ? own : 0;
}

/* The controller's id of the thread that the target calls `own`; 0: it has ended. */
static struct usp_error *find_thread(const struct target *target, long own, pid_t *ret)
{
	*ret = 0;
	if (own_id(target, (pid_t)own) == own) {
		*ret = (pid_t)own;
		return NULL;
	}
	_cleanup_free_ pid_t *tids = NULL;
	size_t n;
	struct usp_error *error = remote_candidates(target, &tids, &n);
	for (size_t i = 0; !error && !*ret && i < n; i++)
		if (own_id(target, tids[i]) == own)
			*ret = tids[i];
	return error;
}

struct usp_error *net_spawn(const struct target *target, struct remote *remote, const struct net_area *area,
			    uint64_t stack_top, pid_t *tid)
{
	uint64_t number, result;
	*tid = 0;
	if (target->seccomp)
		return usp_errorf(USP_UNSUPPORTED,
				  "%s (%d) has a seccomp filter, which might not let a helper thread work",
				  target->name, target->pid);
	struct usp_error *error = next_helper(target, area, &number);
	if (!error)
		error = remote_call(remote, area->code + net_code_spawn,
				    (const uint64_t[6]){stack_top, number}, 0, remote_now_ns() + SPAWN_NS,
				    &result);
	if (error)
		return error;
	if ((int64_t)result < 0) {
		const int reason = (int)-(int64_t)result;
		return usp_error_errno(reason == EAGAIN || reason == EPERM ? USP_UNSUPPORTED : USP_FAILED,
				       reason, "%s (%d) may not start another thread, the helper",
				       target->name, target->pid);
	}
	return find_thread(target, (long)result, tid);
}

struct usp_error *net_done(const struct target *target, const struct net_area *area)
{
	uint64_t number;
	return next_helper(target, area, &number);
}

bool net_dismiss(const struct net_area *area, struct user_regs_struct *registers)
{
	const uint64_t offset = registers->rip - area->code;
	/* Just born, it has the clone's 0; its parent never has. */
	const bool born = offset >= net_code_cloned && offset < net_code_parent && !registers->rax;
	if (!area->code || (!born && (offset < net_code_helper || offset >= net_code_helper_end)))
		return false;
	registers->rip = area->code + net_code_exit;
	registers->orig_rax = ~0ull; /* no system call to be restarted */
	return true;
}
