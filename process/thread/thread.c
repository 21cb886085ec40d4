// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include "process/thread/thread.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#include "process/proc_stat.h"
#include "process/thread/internal.h"

#define DETACH_WAIT_NS	UINT64_C(30000000000) /* for threads that run: they stop as soon as they get a CPU */
#define DETACH_ROUND_NS UINT64_C(50000000)    /* for those whom nothing wakes */
#define DETACH_EXIT_NS	UINT64_C(200000000)   /* for the end of those that were killed */
#define NAP_NS		UINT64_C(100000)

/* ---- the list ---- */

int threads_reserve(struct threads *threads, size_t n)
{
	if (n <= threads->capacity)
		return 0;
	size_t capacity = threads->capacity ? 2 * threads->capacity : 16;
	if (capacity < n)
		capacity = n;
	struct thread *v = reallocarray(threads->v, capacity, sizeof(*v));
	if (!v)
		return -ENOMEM;
	threads->v = v;
	threads->capacity = capacity;
	return 0;
}

ssize_t threads_find(const struct threads *threads, pid_t tid, size_t hint)
{
	if (hint < threads->n && threads->v[hint].tid == tid)
		return (ssize_t)hint;
	for (size_t i = 0; i < threads->n; i++)
		if (threads->v[i].tid == tid)
			return (ssize_t)i;
	return -1;
}

struct thread *threads_append(struct threads *threads, pid_t tid)
{
	struct thread *thread = &threads->v[threads->n++];
	*thread = (struct thread){.tid = tid, .state = THREAD_RUNNING, .name = "?"};
	return thread;
}

struct usp_error *threads_check_gone(struct threads *threads)
{
	const struct target *target = threads->target;
	if (threads->executed)
		return usp_errorf(USP_GONE, "process %d (%s) executed another program meanwhile", target->pid,
				  target->name);
	for (size_t i = 0; i < threads->n; i++)
		if (threads->v[i].state != THREAD_EXITED)
			return NULL;
	if (threads->one && threads->n && target_alive(target))
		return usp_errorf(USP_GONE, "thread %d of process %d (%s) ended meanwhile", threads->v[0].tid,
				  target->pid, target->name);
	return usp_errorf(USP_GONE, "process %d (%s) exited meanwhile", target->pid, target->name);
}

/* ---- letting go ---- */

struct usp_error *threads_release(struct threads *threads)
{
	for (size_t i = 0; i < threads->n; i++)
		threads_resume(threads, i);
	threads_serve_strays(threads);
	threads->stop_end_ns = thread_clock_ns();
	threads_calm(threads);
	return threads->executed || !target_alive(threads->target) ? threads_check_gone(threads) : NULL;
}

struct usp_error *threads_poll(struct threads *threads)
{
	for (size_t i = 0; i < threads->n; i++) {
		int status;
		if (threads->v[i].state != THREAD_RUNNING)
			continue;
		int r = thread_wait(threads, threads->v[i].tid, &status);
		if (r < 0) {
			threads_lost(threads, i);
		} else if (r > 0) {
			struct usp_error *error = threads_take(threads, i, status, false);
			if (error)
				return error;
		}
	}
	threads_serve_strays(threads);
	return threads_check_gone(threads);
}

/* true: no tracee of ours any more. */
static bool detach(struct thread *thread)
{
	if (thread->state == THREAD_EXITED)
		return true;
	if (thread->state == THREAD_RUNNING)
		return false;
	if (ptrace(PTRACE_DETACH, thread->tid, NULL, NULL) == 0) {
		thread->state = THREAD_EXITED;
		return true;
	}
	/* Killed, or not stopped after all (whoever borrowed it let it run). */
	thread->state = THREAD_RUNNING;
	return false;
}

/* Whether there is anybody who was not detached. */
static bool detach_stopped(struct threads *threads)
{
	bool left = false;
	for (size_t i = 0; i < threads->n; i++)
		left |= !detach(&threads->v[i]);
	return left;
}

/* Whether all who were not detached are in state D, and not in the course of ending: no interrupt reaches
 * them. */
static bool all_beyond_reach(const struct threads *threads)
{
	for (size_t i = 0; i < threads->n; i++) {
		char path[32];
		struct proc_stat stat;
		if (threads->v[i].state == THREAD_EXITED)
			continue;
		snprintf(path, sizeof(path), "%d/stat", threads->v[i].tid);
		if (proc_stat_read(threads->target->taskfd, path, &stat) == 0 &&
		    (stat.state != 'D' || (stat.flags & PROC_FLAG_EXITING)))
			return false;
	}
	return true;
}

/* Those who end must be waited for by their tracer before their parent can. */
static void wait_for_ends(struct threads *threads)
{
	ssize_t leader = threads_find(threads, threads->target->pid, 0);
	if (threads->zombie_leader && leader >= 0)
		threads->v[leader].state = THREAD_RUNNING;
	uint64_t deadline_ns = thread_clock_ns() + DETACH_EXIT_NS;
	for (;;) {
		bool left = false;
		for (size_t i = 0; i < threads->n; i++) {
			int status;
			if (threads->v[i].state == THREAD_EXITED)
				continue;
			int r = thread_wait(threads, threads->v[i].tid, &status);
			if (r < 0 || (r > 0 && !WIFSTOPPED(status)))
				threads->v[i].state = THREAD_EXITED;
			else
				left = true;
		}
		if (!left || thread_clock_ns() >= deadline_ns)
			return;
		thread_nap(NAP_NS);
	}
}

void threads_forget(struct threads *threads)
{
	if (!threads)
		return;
	threads_calm(threads);
	free(threads->strays);
	free(threads->workers);
	free(threads->v);
	free(threads);
}

void threads_detach(struct threads *threads)
{
	if (!threads)
		return;
	threads_hurry(threads);
	thread_serve_abandoned();
	uint64_t deadline_ns = thread_clock_ns() + DETACH_WAIT_NS;
	while (detach_stopped(threads)) {
		/* A failure of this is about the target's end, or about those who are left. */
		usp_error_destroy(threads_settle(threads, false, thread_clock_ns() + DETACH_ROUND_NS));
		if (!detach_stopped(threads) || all_beyond_reach(threads) || thread_clock_ns() >= deadline_ns)
			break;
	}
	if (threads->zombie_leader || !target_alive(threads->target))
		wait_for_ends(threads);
	for (size_t i = 0; i < threads->n; i++)
		if (threads->v[i].state != THREAD_EXITED)
			thread_abandon(threads->v[i].tid,
				       threads->own_child && threads->v[i].tid == threads->target->pid);
	threads_serve_strays(threads);
	for (size_t i = 0; i < threads->n_strays; i++)
		thread_abandon(threads->strays[i], false);
	threads_forget(threads);
}
