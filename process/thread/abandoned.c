// SPDX-License-Identifier: MIT
/*
 * Tracees that could not be detached because they could not be stopped: in uninterruptible sleep, or waiting
 * for the child of a vfork. They have an interrupt pending and would stop, some day, with nobody there. So
 * they are kept in mind and let go at the next opportunity; the end of the tracing thread does it, too, by
 * the kernel.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#include "process/thread/internal.h"

#define ABANDONED_MAX 64 /* whom there is no room for waits for the thread's end */

/* Tracing belongs to one thread of the controller, hence so does this. */
static _Thread_local struct {
	pid_t tid;
	bool keep_exit;
} abandoned[ABANDONED_MAX];

void thread_abandon(pid_t tid, bool keep_exit)
{
	for (size_t i = 0; i < ABANDONED_MAX; i++)
		if (!abandoned[i].tid || abandoned[i].tid == tid) {
			abandoned[i].tid = tid;
			abandoned[i].keep_exit = keep_exit;
			return;
		}
}

void thread_reclaim(pid_t tid)
{
	for (size_t i = 0; i < ABANDONED_MAX; i++)
		if (abandoned[i].tid == tid)
			abandoned[i].tid = 0;
}

/* true: done with it. */
static bool let_go(pid_t tid, bool keep_exit)
{
	int status, signal_number = 0;
	unsigned long child = 0;
	struct user_regs_struct registers;
	const struct threads as = {.target = &(struct target){.pid = keep_exit ? tid : 0},
				   .own_child = keep_exit};
	int r = thread_wait(&as, tid, &status);
	if (r <= 0)
		return r < 0;
	if (!WIFSTOPPED(status))
		return true;
	switch (status >> 16) {
	case 0:
		signal_number = WSTOPSIG(status);
		break;
	case PTRACE_EVENT_STOP:
		if (WSTOPSIG(status) == SIGTRAP && ptrace(PTRACE_GETREGS, tid, NULL, &registers) == 0 &&
		    thread_restart_call(&registers))
			ptrace(PTRACE_POKEUSER, tid, (void *)offsetof(struct user, regs.rax),
			       (void *)registers.rax);
		break;
	case PTRACE_EVENT_CLONE:
	case PTRACE_EVENT_FORK:
	case PTRACE_EVENT_VFORK:
		if (ptrace(PTRACE_GETEVENTMSG, tid, NULL, &child) == 0 && child)
			thread_abandon((pid_t)child, false);
		break;
	}
	return ptrace(PTRACE_DETACH, tid, NULL, (void *)(long)signal_number) == 0;
}

void thread_serve_abandoned(void)
{
	for (size_t i = 0; i < ABANDONED_MAX; i++)
		if (abandoned[i].tid && let_go(abandoned[i].tid, abandoned[i].keep_exit))
			abandoned[i].tid = 0;
}
