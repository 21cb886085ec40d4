/* SPDX-License-Identifier: MIT */
/*
 * What the files thread*.c share: one report of waitpid, one list of threads. For nobody else but the gate
 * (gate*.c), which waits for its threads itself.
 */
#ifndef PROCESS_THREAD_INTERNAL_H
#define PROCESS_THREAD_INTERNAL_H

#include <time.h>

#include "process/thread/thread.h"

static inline uint64_t thread_clock_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static inline void thread_nap(uint64_t ns)
{
	struct timespec t = {.tv_sec = (time_t)(ns / 1000000000u), .tv_nsec = (long)(ns % 1000000000u)};
	nanosleep(&t, NULL);
}

/* ---- thread.c: the list ---- */

_must_check_ int threads_reserve(struct threads *threads, size_t n);
/* The index of tid or -1; hint: where it is probably. */
ssize_t threads_find(const struct threads *threads, pid_t tid, size_t hint);
/* Adds tid, RUNNING; room must be reserved. */
struct thread *threads_append(struct threads *threads, pid_t tid);
/* An error when the process is gone, else NULL. */
_must_check_ struct usp_error *threads_check_gone(struct threads *threads);

/* ---- seize.c ---- */

/*
 * One pass over /proc/PID/task: seizes who is not yet. *n_new: how many were seized, or vanished while it was
 * tried, or should be there and were not seen; at 0 the list is complete.
 */
_must_check_ struct usp_error *threads_seize_pass(struct threads *threads, size_t *n_new);

/* ---- report.c: what waitpid has to say ---- */

/* 1: a report is in *status; 0: none yet; -ECHILD: not a tracee of ours. */
_must_check_ int thread_wait(const struct threads *threads, pid_t tid, int *status);
/*
 * Takes note of a report on v[index]. stopping: whoever is in another stop is sent on to PTRACE_EVENT_STOP,
 * else on his way. May move v.
 */
_must_check_ struct usp_error *threads_take(struct threads *threads, size_t index, int status, bool stopping);
/* waitpid said -ECHILD of v[index]: it ended without a report, or became the leader by exec. */
void threads_lost(struct threads *threads, size_t index);
/* Lets v[index] go on from PTRACE_EVENT_STOP, still seized. */
void threads_resume(struct threads *threads, size_t index);
/* Serves forked children: lets go who is there. */
void threads_serve_strays(struct threads *threads);

/* ---- stop.c ---- */

/*
 * Brings all to THREAD_STOPPED, THREAD_GROUP_STOPPED or THREAD_EXITED. everybody: also those who are not
 * seized yet. USP_NOT_QUIESCENT: not in time; nothing was undone.
 */
_must_check_ struct usp_error *threads_settle(struct threads *threads, bool everybody, uint64_t deadline_ns);

/* ---- hurry.c: the controller's own priority while the target stands still ---- */

void threads_hurry(struct threads *threads);
void threads_calm(struct threads *threads);

/* ---- eintr.c ---- */

/* Whether registers are those of a system call that a mere stop ended with EINTR; then makes the kernel
 * restart it. */
bool thread_restart_call(struct user_regs_struct *registers);

/* ---- abandoned.c: who could not be detached ---- */

/* Takes over a tracee that cannot be stopped now. keep_exit: not to be reaped, it is the controller's own
 * child. */
void thread_abandon(pid_t tid, bool keep_exit);
/* Lets go whom it can by now. */
void thread_serve_abandoned(void);
/* tid is looked after again. */
void thread_reclaim(pid_t tid);

#endif
