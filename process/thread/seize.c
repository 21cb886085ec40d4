// SPDX-License-Identifier: MIT
/*
 * Seizing all threads of a process while they come and go.
 *
 * The list is complete after a pass over /proc/PID/task that finds nobody new and sees everybody who is
 * seized already. Why: a seized thread's offspring is seized by the kernel, a seized thread does not leave
 * /proc/PID/task before we waited for it, and nobody is waited for in between. So only threads that are not
 * seized yet can appear or vanish unnoticed, and the kernel's listing, which may skip entries when one
 * vanishes under it, shows that one first: it counts as new. Each pass seizes those who could go on creating
 * others, so this ends soon.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>

#include "process/proc_stat.h"
#include "process/thread/internal.h"

#define PASSES_MAX  1000
#define OPTIONS_ONE ((long)(PTRACE_O_TRACEEXEC | PTRACE_O_TRACESYSGOOD))
#define OPTIONS_ALL (OPTIONS_ONE | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK)

static int read_stat(const struct threads *threads, pid_t tid, struct proc_stat *stat)
{
	char path[32];
	snprintf(path, sizeof(path), "%d/stat", tid);
	return proc_stat_read(threads->target->taskfd, path, stat);
}

static struct usp_error *other_tracer(const struct threads *threads, pid_t tid, pid_t tracer)
{
	char path[32], name[16];
	snprintf(path, sizeof(path), "/proc/%d/comm", tracer);
	if (proc_line_read(AT_FDCWD, path, name, sizeof(name)) < 0)
		snprintf(name, sizeof(name), "?");
	return usp_errorf(
		USP_PERMISSION,
		"thread %d of process %d (%s) is traced by process %d (%s) already; detach that one first",
		tid, threads->target->pid, threads->target->name, tracer, name);
}

static struct usp_error *no_rights(const struct threads *threads, pid_t tid)
{
	char scope[16] = "0";
	int r = proc_line_read(AT_FDCWD, "/proc/sys/kernel/yama/ptrace_scope", scope, sizeof(scope));
	bool yama = r == 0 && strcmp(scope, "0") != 0;
	return usp_error_errno(
		USP_PERMISSION, EPERM,
		"may not trace thread %d of process %d (%s); run as root (with CAP_SYS_PTRACE)%s%s", tid,
		threads->target->pid, threads->target->name,
		yama ? ": ptrace is restricted by kernel.yama.ptrace_scope=" : "", yama ? scope : "");
}

/* PTRACE_SEIZE said EPERM. */
static struct usp_error *not_seized(struct threads *threads, struct thread *thread)
{
	char path[32];
	struct proc_stat stat;
	int64_t tracer;
	int r = read_stat(threads, thread->tid, &stat);
	if (r < 0 || stat.state == 'Z' || stat.state == 'X') {
		thread->state = THREAD_EXITED;
		return NULL;
	}
	snprintf(path, sizeof(path), "%d/status", thread->tid);
	r = proc_status_read(threads->target->taskfd, path, "TracerPid", &tracer);
	if (r < 0 || tracer == 0) {
		/* It may have ended between the two looks. */
		if (read_stat(threads, thread->tid, &stat) == 0 && stat.state != 'Z' && stat.state != 'X')
			return no_rights(threads, thread->tid);
		thread->state = THREAD_EXITED;
		return NULL;
	}
	if (tracer != syscall(SYS_gettid))
		return other_tracer(threads, thread->tid, (pid_t)tracer);
	/* By ourselves: seized by the kernel at its birth, or left over from an earlier try. Its stop is on
	 * its way. */
	thread_reclaim(thread->tid);
	thread->state = THREAD_RUNNING;
	thread->interrupted = true;
	return NULL;
}

static struct usp_error *seize(struct threads *threads, struct thread *thread)
{
	thread->options = threads->one ? OPTIONS_ONE : OPTIONS_ALL;
	/* A leader that exits stays as a zombie, and a traced zombie cannot be let go: it is caught before.
	 */
	if (thread->tid == threads->target->pid)
		thread->options |= PTRACE_O_TRACEEXIT;
	thread->state = THREAD_RUNNING;
	thread->interrupted = false;
	if (ptrace(PTRACE_SEIZE, thread->tid, NULL, (void *)thread->options) == 0)
		return NULL;
	if (errno == EPERM)
		return not_seized(threads, thread);
	if (errno == ESRCH) {
		thread->state = THREAD_EXITED;
		return NULL;
	}
	return usp_error_errno(USP_FAILED, errno, "cannot trace thread %d of process %d (%s)", thread->tid,
			       threads->target->pid, threads->target->name);
}

static bool is_worker(const struct threads *threads, pid_t tid)
{
	for (size_t i = 0; i < threads->n_workers; i++)
		if (threads->workers[i] == tid)
			return true;
	return false;
}

static bool says_worker(const struct proc_stat *stat)
{
	return stat->flags & (PROC_FLAG_IO_WORKER | PROC_FLAG_USER_WORKER | PROC_FLAG_KTHREAD);
}

static int add_worker(struct threads *threads, pid_t tid)
{
	if (threads->n_workers == threads->workers_capacity) {
		size_t capacity = threads->workers_capacity ? 2 * threads->workers_capacity : 16;
		pid_t *workers = reallocarray(threads->workers, capacity, sizeof(*workers));
		if (!workers)
			return -ENOMEM;
		threads->workers = workers;
		threads->workers_capacity = capacity;
	}
	threads->workers[threads->n_workers++] = tid;
	return 0;
}

/* A tid that is in the listing. New ones are added, not seized yet. */
static int note_listed(struct threads *threads, pid_t tid, size_t *hint, size_t *n_new)
{
	struct proc_stat stat;
	ssize_t at = threads_find(threads, tid, *hint);
	if (at >= 0) {
		*hint = (size_t)at + 1;
		threads->v[at].seen = true;
		return 0;
	}
	if (is_worker(threads, tid))
		return 0;
	if (read_stat(threads, tid, &stat) < 0) {
		++*n_new; /* vanished: a reason to look again */
		return 0;
	}
	if (says_worker(&stat))
		return add_worker(threads, tid);
	if (threads_reserve(threads, threads->n + 1) < 0)
		return -ENOMEM;
	struct thread *thread = threads_append(threads, tid);
	memcpy(thread->name, stat.name, sizeof(thread->name));
	thread->state = THREAD_EXITED; /* until it is seized */
	thread->seen = true;
	*hint = threads->n;
	return 0;
}

static struct usp_error *list(struct threads *threads, size_t *n_new)
{
	const struct target *target = threads->target;
	size_t hint = 0;
	int r = 0;
	int fd = openat(target->taskfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	if (!dir) {
		r = -errno;
		if (fd >= 0)
			close(fd);
		if (r == -ENOENT || r == -ESRCH)
			return usp_errorf(USP_GONE, "process %d (%s) exited meanwhile", target->pid,
					  target->name);
		return usp_error_errno(USP_FAILED, -r, "cannot list the threads of process %d (%s)",
				       target->pid, target->name);
	}
	for (size_t i = 0; i < threads->n; i++)
		threads->v[i].seen = false;
	errno = 0;
	for (struct dirent *entry; r == 0 && (entry = readdir(dir)); errno = 0) {
		char *end;
		long tid = strtol(entry->d_name, &end, 10);
		if (*end == '\0' && tid > 0 && tid <= INT_MAX)
			r = note_listed(threads, (pid_t)tid, &hint, n_new);
	}
	if (r == 0 && errno && errno != ENOENT && errno != ESRCH)
		r = -errno;
	closedir(dir);
	if (r == 0)
		return NULL;
	return r == -ENOMEM ? &usp_error_no_memory
			    : usp_error_errno(USP_FAILED, -r, "cannot list the threads of process %d (%s)",
					      target->pid, target->name);
}

struct usp_error *threads_seize_pass(struct threads *threads, size_t *n_new)
{
	*n_new = 0;
	struct usp_error *error = list(threads, n_new);
	if (error)
		return error;
	size_t n = threads->n;
	for (size_t i = 0; i < n; i++) {
		struct thread *thread = &threads->v[i];
		if (thread->state == THREAD_EXITED) {
			/* New, or an id in use again, or a zombie still. */
			if (!thread->seen)
				continue;
			error = seize(threads, thread);
			if (error)
				return error;
			*n_new += thread->state != THREAD_EXITED;
		} else if (!thread->seen) {
			int status;
			int r = thread_wait(threads, thread->tid, &status);
			++*n_new;
			if (r < 0)
				threads_lost(threads, i);
			else if (r > 0 && (error = threads_take(threads, i, status, false)))
				return error;
		}
	}
	return NULL;
}

static struct usp_error *threads_new(const struct target *target, struct threads **ret)
{
	struct threads *threads = calloc(1, sizeof(*threads));
	struct proc_stat stat;
	if (!threads)
		return &usp_error_no_memory;
	threads->target = target;
	threads->own_child = proc_stat_read(target->procfd, "stat", &stat) == 0 && stat.parent == getpid();
	thread_serve_abandoned();
	*ret = threads;
	return NULL;
}

struct usp_error *threads_seize_but(const struct target *target, pid_t spare, struct threads **ret)
{
	struct threads *threads;
	size_t n_new = 1;
	struct usp_error *error = threads_new(target, &threads);
	if (error)
		return error;
	if (spare && add_worker(threads, spare) < 0) {
		threads_detach(threads);
		return &usp_error_no_memory;
	}
	/* A stop follows at once: with many spinning threads it would not be at once without. */
	threads_hurry(threads);
	for (unsigned pass = 0; !error && n_new; pass++) {
		error = threads_seize_pass(threads, &n_new);
		if (!error)
			error = threads_check_gone(threads);
		if (!error && n_new && pass == PASSES_MAX)
			error = usp_errorf(
				USP_FAILED,
				"the threads of process %d (%s) come and go faster than they can be traced",
				target->pid, target->name);
	}
	if (error) {
		threads_detach(threads);
		return error;
	}
	*ret = threads;
	return NULL;
}

struct usp_error *threads_seize(const struct target *target, struct threads **ret)
{
	return threads_seize_but(target, 0, ret);
}

struct usp_error *threads_seize_one(const struct target *target, pid_t tid, struct threads **ret)
{
	struct threads *threads;
	struct proc_stat stat;
	struct usp_error *error = threads_new(target, &threads);
	if (error)
		return error;
	threads->one = true;
	if (threads_reserve(threads, 1) < 0) {
		threads_detach(threads);
		return &usp_error_no_memory;
	}
	struct thread *thread = threads_append(threads, tid);
	thread->state = THREAD_EXITED;
	/* Looked up below /proc/PID/task: a thread of this process, or nothing. */
	if (read_stat(threads, tid, &stat) < 0 || says_worker(&stat)) {
		error = usp_errorf(USP_NOT_FOUND, "process %d (%s) has no thread %d to borrow", target->pid,
				   target->name, tid);
	} else {
		memcpy(thread->name, stat.name, sizeof(thread->name));
		error = seize(threads, thread);
		if (!error && thread->state == THREAD_EXITED)
			error = usp_errorf(USP_NOT_FOUND, "thread %d of process %d (%s) is exiting", tid,
					   target->pid, target->name);
	}
	if (error) {
		threads_detach(threads);
		return error;
	}
	*ret = threads;
	return NULL;
}
