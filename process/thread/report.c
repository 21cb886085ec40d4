// SPDX-License-Identifier: MIT
/*
 * What waitpid says of one tracee, and what is to be done about it.
 *
 *   PTRACE_EVENT_STOP, SIGTRAP        the interrupt (or a newborn's first stop): stopped
 *   PTRACE_EVENT_STOP, another        group stop: stopped, and to stay so
 *   clone, fork, vfork                a newborn thread is ours from now on; a newborn process is let go. Goes
 * on exec                              the program is another one now: the action is over. Stopped exit
 * (leader only)                detached at once: a leader that is a traced zombie could not be let go any
 * more a signal                          goes on with it, delivered by the kernel with its siginfo
 *
 * "Goes on" while stopping means: interrupted again first, and so stopped before it is back in the program. A
 * pending interrupt is used up by any stop that begins after it, so it is renewed at each.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#include "process/thread/internal.h"

#define EVENT_OF(status) ((status) >> 16)

/* A child of the controller's own: stops are ours, its exit is for whoever waits for children here. */
static int wait_own_child(pid_t tid, int *status)
{
	siginfo_t info = {0};
	if (waitid(P_PID, (id_t)tid, &info, WSTOPPED | WNOHANG | __WALL) < 0)
		return -errno;
	if (info.si_pid == tid) {
		*status = info.si_status << 8 | 0x7f;
		return 1;
	}
	if (waitid(P_PID, (id_t)tid, &info, WEXITED | WNOWAIT | WNOHANG | __WALL) < 0)
		return -errno;
	/* A stop of a tracee is told without being asked for: the next round takes it. */
	if (info.si_pid != tid ||
	    (info.si_code != CLD_EXITED && info.si_code != CLD_KILLED && info.si_code != CLD_DUMPED))
		return 0;
	*status = 0; /* as WIFEXITED sees it */
	return 1;
}

int thread_wait(const struct threads *threads, pid_t tid, int *status)
{
	int r;
	do {
		if (threads->own_child && tid == threads->target->pid) {
			r = wait_own_child(tid, status);
		} else {
			pid_t pid = waitpid(tid, status, __WALL | WNOHANG);
			r = pid == tid ? 1 : pid < 0 ? -errno : 0;
		}
	} while (r == -EINTR);
	return r;
}

static void suspend_off(struct thread *thread)
{
	if (!thread->seccomp_suspended)
		return;
	thread->seccomp_suspended = false;
	ptrace(PTRACE_SETOPTIONS, thread->tid, NULL, (void *)thread->options);
}

static void go_on(struct thread *thread, bool stopping, int signal_number)
{
	if (stopping || thread->interrupted) {
		thread->interrupted = true;
		ptrace(PTRACE_INTERRUPT, thread->tid, NULL, NULL);
	}
	/* A failure means that it was killed; the next waitpid tells. */
	ptrace(PTRACE_CONT, thread->tid, NULL, (void *)(long)signal_number);
}

void threads_resume(struct threads *threads, size_t index)
{
	struct thread *thread = &threads->v[index];
	if (thread->state == THREAD_STOPPED) {
		suspend_off(thread);
		ptrace(PTRACE_CONT, thread->tid, NULL, NULL);
	} else if (thread->state == THREAD_GROUP_STOPPED) {
		suspend_off(thread);
		ptrace(PTRACE_LISTEN, thread->tid, NULL, NULL);
	} else {
		return;
	}
	thread->state = THREAD_RUNNING;
	thread->has_registers = false;
}

/* In PTRACE_EVENT_STOP. */
static void stopped(struct threads *threads, struct thread *thread, int signal_number)
{
	thread->interrupted = false;
	thread->state = signal_number == SIGTRAP ? THREAD_STOPPED : THREAD_GROUP_STOPPED;
	thread->has_registers = ptrace(PTRACE_GETREGS, thread->tid, NULL, &thread->registers) == 0;
	if (!thread->has_registers)
		return; /* killed */
	/* In a group stop the program gets its EINTR: that is what it gets without us. */
	if (thread->state == THREAD_STOPPED) {
		if (thread_restart_call(&thread->registers))
			ptrace(PTRACE_POKEUSER, thread->tid, (void *)offsetof(struct user, regs.rax),
			       (void *)thread->registers.rax);
	}
	if (threads->one && threads->target->seccomp && threads_suspend_seccomp(threads, thread) < 0)
		threads->seccomp_refused = true;
}

static struct usp_error *born(struct threads *threads, size_t parent)
{
	unsigned long message = 0;
	char path[24];
	if (ptrace(PTRACE_GETEVENTMSG, threads->v[parent].tid, NULL, &message) < 0 || message == 0)
		return NULL; /* the parent was killed meanwhile */
	pid_t tid = (pid_t)message;
	snprintf(path, sizeof(path), "%d", tid);
	if (faccessat(threads->target->taskfd, path, F_OK, 0) == 0) {
		if (threads_find(threads, tid, threads->n) >= 0)
			return NULL; /* the listing found it first */
		if (threads_reserve(threads, threads->n + 1) < 0)
			return &usp_error_no_memory;
		struct thread *thread = threads_append(threads, tid);
		thread->interrupted = true; /* its first stop */
		thread->options = threads->v[parent].options;
		return NULL;
	}
	if (threads->n_strays == threads->strays_capacity) {
		size_t capacity = threads->strays_capacity ? 2 * threads->strays_capacity : 16;
		pid_t *strays = realloc(threads->strays, capacity * sizeof(*strays));
		if (!strays)
			return &usp_error_no_memory;
		threads->strays = strays;
		threads->strays_capacity = capacity;
	}
	threads->strays[threads->n_strays++] = tid;
	threads_serve_strays(threads);
	return NULL;
}

void threads_serve_strays(struct threads *threads)
{
	for (size_t i = 0; i < threads->n_strays;) {
		int status;
		int r = thread_wait(threads, threads->strays[i], &status);
		if (r > 0 && WIFSTOPPED(status)) {
			int signal_number = EVENT_OF(status) ? 0 : WSTOPSIG(status);
			ptrace(PTRACE_DETACH, threads->strays[i], NULL, (void *)(long)signal_number);
		}
		if (r != 0)
			threads->strays[i] = threads->strays[--threads->n_strays];
		else
			i++;
	}
}

struct usp_error *threads_take(struct threads *threads, size_t index, int status, bool stopping)
{
	struct thread *thread = &threads->v[index];
	struct usp_error *error = NULL;
	if (!WIFSTOPPED(status)) {
		thread->state = THREAD_EXITED;
		return NULL;
	}
	thread->state = THREAD_RUNNING;
	switch (EVENT_OF(status)) {
	case PTRACE_EVENT_STOP:
		stopped(threads, thread, WSTOPSIG(status));
		if (!stopping)
			threads_resume(threads, index);
		return NULL;
	case PTRACE_EVENT_CLONE:
	case PTRACE_EVENT_FORK:
	case PTRACE_EVENT_VFORK:
		error = born(threads, index);
		go_on(&threads->v[index], stopping, 0);
		return error;
	case PTRACE_EVENT_EXEC:
		threads->executed = true;
		thread->state = THREAD_STOPPED;
		return NULL;
	case PTRACE_EVENT_EXIT:
		/* Killed before it came to that: waitpid tells its end. */
		if (ptrace(PTRACE_DETACH, thread->tid, NULL, NULL) == 0)
			thread->state = THREAD_EXITED;
		return NULL;
	case 0:
		go_on(thread, stopping, WSTOPSIG(status) == (SIGTRAP | 0x80) ? 0 : WSTOPSIG(status));
		return NULL;
	default: /* an event that was not asked for */
		go_on(thread, stopping, 0);
		return NULL;
	}
}

void threads_lost(struct threads *threads, size_t index)
{
	pid_t leader = threads->target->pid;
	threads->v[index].state = THREAD_EXITED;
	if (threads->v[index].tid == leader)
		return;
	/* By exec the caller takes the leader's id, and stops there. */
	ssize_t at = threads_find(threads, leader, 0);
	if (at < 0) {
		if (threads_reserve(threads, threads->n + 1) < 0)
			return;
		threads_append(threads, leader);
		at = (ssize_t)threads->n - 1;
	}
	threads->v[at].state = THREAD_RUNNING;
	threads->v[at].interrupted = true;
}

int threads_suspend_seccomp(struct threads *threads, struct thread *thread)
{
	if (thread->seccomp_suspended)
		return 0;
	long options = thread->options | PTRACE_O_SUSPEND_SECCOMP;
	if (ptrace(PTRACE_SETOPTIONS, thread->tid, NULL, (void *)options) < 0) {
		int r = -errno;
		threads->seccomp_refused = r != -ESRCH;
		return r;
	}
	thread->seccomp_suspended = true;
	return 0;
}
