// SPDX-License-Identifier: MIT
/*
 * Stopping everybody, in one round: all are interrupted, then all are waited for.
 *
 * Waiting is asking each in turn without blocking, and a nap when nobody had news: it reaps nobody else's
 * children, leaves the controller's signals alone and can be bounded by the clock. The naps leave the CPU to
 * those who have to stop. After some naps in vain those who are stopped already are asked, too: a thread that
 * executes another program waits in the kernel for the ends of all others to be noticed by us.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>

#include "process/proc_stat.h"
#include "process/thread/internal.h"

#define NAP_FIRST_NS UINT64_C(20000)
#define NAP_LAST_NS  UINT64_C(500000)
#define PATIENCE     4 /* naps in vain before everybody is asked */
#define NAMED_MAX    4 /* threads that an error names */

static struct usp_error *interrupt_all(struct threads *threads)
{
	/*
	 * In a process that is in group stop everybody has stopped at PTRACE_SEIZE already. Another interrupt
	 * would stay pending until after the release. So the first one is asked before.
	 */
	bool ask_before = true;
	for (size_t i = 0; i < threads->n; i++) {
		int status;
		if (threads->v[i].state != THREAD_RUNNING || threads->v[i].interrupted)
			continue;
		if (ask_before && thread_wait(threads, threads->v[i].tid, &status) > 0) {
			struct usp_error *error = threads_take(threads, i, status, true);
			if (error)
				return error;
		}
		ask_before = threads->v[i].state == THREAD_GROUP_STOPPED;
		if (threads->v[i].state != THREAD_RUNNING || threads->v[i].interrupted)
			continue;
		threads->v[i].interrupted = true;
		/* ESRCH: it ended; waitpid tells. */
		ptrace(PTRACE_INTERRUPT, threads->v[i].tid, NULL, NULL);
	}
	return NULL;
}

/* Asks those who run, or (all) everybody. *left: how many still run. *news: somebody had something to say. */
static struct usp_error *ask(struct threads *threads, bool all, size_t *left, bool *news)
{
	*left = 0;
	*news = false;
	for (size_t i = 0; i < threads->n; i++) {
		int status;
		if (threads->v[i].state == THREAD_EXITED || (threads->v[i].state != THREAD_RUNNING && !all))
			continue;
		int r = thread_wait(threads, threads->v[i].tid, &status);
		if (r != 0)
			*news = true;
		if (r < 0) {
			threads_lost(threads, i);
		} else if (r > 0) {
			struct usp_error *error = threads_take(threads, i, status, true);
			if (error)
				return error;
		}
		*left += threads->v[i].state == THREAD_RUNNING;
	}
	/* threads_lost() may have brought one back that was passed already. */
	if (!*left && *news)
		for (size_t i = 0; i < threads->n; i++)
			*left += threads->v[i].state == THREAD_RUNNING;
	return NULL;
}

/* A leader that was exiting when it was seized is a zombie that waitpid keeps silent about while others live.
 */
static void look_at_leader(struct threads *threads)
{
	struct proc_stat stat;
	char path[32];
	ssize_t at = threads_find(threads, threads->target->pid, 0);
	if (at < 0 || threads->v[at].state != THREAD_RUNNING)
		return;
	snprintf(path, sizeof(path), "%d/stat", threads->v[at].tid);
	if (proc_stat_read(threads->target->taskfd, path, &stat) == 0 &&
	    (stat.state == 'Z' || stat.state == 'X')) {
		threads->v[at].state = THREAD_EXITED;
		threads->zombie_leader = true;
	}
}

static struct usp_error *too_late(const struct threads *threads)
{
	char text[NAMED_MAX * 128] = "";
	size_t length = 0, n = 0;
	for (size_t i = 0; i < threads->n; i++) {
		const struct thread *thread = &threads->v[i];
		struct proc_stat stat = {.state = '?'};
		char path[32], wchan[64] = "?";
		if (thread->state != THREAD_RUNNING || ++n > NAMED_MAX)
			continue;
		snprintf(path, sizeof(path), "%d/stat", thread->tid);
		if (proc_stat_read(threads->target->taskfd, path, &stat) < 0)
			stat.state = '?';
		snprintf(path, sizeof(path), "%d/wchan", thread->tid);
		if (proc_line_read(threads->target->taskfd, path, wchan, sizeof(wchan)) < 0 || !*wchan)
			snprintf(wchan, sizeof(wchan), "?");
		bool asleep = strcmp(wchan, "0") != 0; /* what the kernel says of one that runs */
		int w = snprintf(text + length, sizeof(text) - length, "%s%d (%s, state %c%s%s)",
				 n > 1 ? ", " : "", thread->tid, stat.state == '?' ? thread->name : stat.name,
				 stat.state, asleep ? ", in " : "", asleep ? wchan : "");
		if (w > 0)
			length += (size_t)w < sizeof(text) - length ? (size_t)w : sizeof(text) - length - 1;
	}
	return usp_errorf(USP_NOT_QUIESCENT, "%zu thread%s of process %d (%s) did not stop in time: %s%s", n,
			  n == 1 ? "" : "s", threads->target->pid, threads->target->name, text,
			  n > NAMED_MAX ? ", …" : "");
}

/* Whether as many threads are known as there are. Nobody runs who could create one, so this only guards
 * against a gap. */
static bool complete(struct threads *threads)
{
	int64_t count;
	if (threads->one)
		return true;
	if (proc_status_read(threads->target->procfd, "status", "Threads", &count) < 0)
		return false;
	size_t known = threads->n_workers;
	for (size_t i = 0; i < threads->n; i++)
		known += threads->v[i].state != THREAD_EXITED;
	return count >= 0 && (size_t)count == known;
}

struct usp_error *threads_settle(struct threads *threads, bool everybody, uint64_t deadline_ns)
{
	uint64_t nap_ns = NAP_FIRST_NS;
	unsigned naps = 0;
	for (;;) {
		size_t left = 0, n_new = 0;
		bool news = false;
		struct usp_error *error = interrupt_all(threads);
		if (!error)
			error = ask(threads, naps > PATIENCE, &left, &news);
		threads_serve_strays(threads);
		if (!error && everybody && threads->executed)
			error = threads_check_gone(threads);
		if (error)
			return error;
		if (!left) {
			error = threads_check_gone(threads);
			if (error || !everybody || complete(threads))
				return error;
			error = threads_seize_pass(threads, &n_new);
			if (error || !n_new)
				return error;
			news = true;
		}
		if (thread_clock_ns() >= deadline_ns)
			return too_late(threads);
		if (news) {
			/* Those who are left need the CPUs more than we do: about a microsecond each. */
			nap_ns = left * 1000 < NAP_FIRST_NS ? NAP_FIRST_NS : left * 1000;
			naps = 0;
		} else if (naps++ > PATIENCE) {
			look_at_leader(threads);
		}
		nap_ns = nap_ns < NAP_LAST_NS ? nap_ns : NAP_LAST_NS;
		thread_nap(nap_ns);
		nap_ns *= 2;
	}
}

struct usp_error *threads_stop(struct threads *threads, uint64_t deadline_ns)
{
	threads_hurry(threads);
	threads->stop_begin_ns = thread_clock_ns();
	struct usp_error *error = threads_settle(threads, true, deadline_ns);
	if (threads->one)
		threads_calm(threads); /* the others run: no hurry */
	if (!error)
		return NULL;
	/* What ails the target is told already. */
	usp_error_destroy(threads_release(threads));
	return error;
}
