/* SPDX-License-Identifier: MIT */
/*
 * killat [--exit] [--children] N -- command args…
 *
 * Runs a command and kills it with SIGKILL at the entry (or the exit) of its N-th system call, counted from
 * its first one after exec, over all of its threads (and children). Exit status 0: killed there. 3: it ended
 * before; says how many calls there were and how it ended. 2: killat itself failed. What the command was
 * tracing is let go by the kernel before killat returns.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#define TASKS_MAX 4096

static struct task {
	pid_t tid;
	bool inside; /* between entry and exit of a system call */
} tasks[TASKS_MAX];
static size_t n_tasks;

static int failed(const char *what)
{
	fprintf(stderr, "killat: %s: %s\n", what, strerror(errno));
	return 2;
}

static struct task *task_of(pid_t tid)
{
	for (size_t i = 0; i < n_tasks; i++)
		if (tasks[i].tid == tid)
			return &tasks[i];
	if (n_tasks == TASKS_MAX)
		return NULL;
	tasks[n_tasks] = (struct task){.tid = tid};
	return &tasks[n_tasks++];
}

static void task_remove(pid_t tid)
{
	for (size_t i = 0; i < n_tasks; i++)
		if (tasks[i].tid == tid)
			tasks[i] = tasks[--n_tasks];
}

/* Kills all that is left and waits until nothing is. */
static void kill_all(pid_t child)
{
	int status;
	for (size_t i = 0; i < n_tasks; i++)
		kill(tasks[i].tid, SIGKILL);
	kill(child, SIGKILL);
	while (waitpid(-1, &status, __WALL) > 0 || errno == EINTR)
		;
}

static int run(pid_t child, unsigned long n, bool at_exit)
{
	unsigned long calls = 0;
	bool executed = false;
	for (;;) {
		int status, signal = 0;
		pid_t tid = waitpid(-1, &status, __WALL);
		if (tid < 0 && errno == EINTR)
			continue;
		if (tid < 0)
			return failed("waitpid");
		if (!WIFSTOPPED(status)) {
			task_remove(tid);
			if (tid != child)
				continue;
			kill_all(child);
			printf("killat: %lu system calls, %s %d\n", calls,
			       WIFEXITED(status) ? "exit status" : "signal",
			       WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
			return 3;
		}
		struct task *task = task_of(tid);
		if (!task) {
			kill_all(child);
			errno = E2BIG;
			return failed("too many tasks");
		}
		int event = status >> 16;
		if (WSTOPSIG(status) == (SIGTRAP | 0x80)) {
			task->inside = !task->inside;
			if (executed && task->inside)
				calls++;
			if (executed && calls == n && task->inside != at_exit) {
				kill_all(child);
				return 0;
			}
		} else if (event == PTRACE_EVENT_EXEC) {
			if (tid == child)
				executed = true;
		} else if (event == PTRACE_EVENT_STOP) {
			/* A new task, or a group stop: the latter must stay one. */
			if (WSTOPSIG(status) != SIGTRAP) {
				ptrace(PTRACE_LISTEN, tid, 0, 0);
				continue;
			}
		} else if (!event) {
			signal = WSTOPSIG(status);
		}
		ptrace(PTRACE_SYSCALL, tid, 0, (long)signal); /* ESRCH: killed meanwhile, seen by waitpid */
	}
}

int main(int argc, char **argv)
{
	bool at_exit = false;
	long options = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEEXEC | PTRACE_O_TRACECLONE | PTRACE_O_EXITKILL;
	int i = 1;
	for (; i < argc && !strncmp(argv[i], "--", 2) && argv[i][2]; i++) {
		if (!strcmp(argv[i], "--exit"))
			at_exit = true;
		else if (!strcmp(argv[i], "--children"))
			options |= PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK;
		else
			break;
	}
	char *end = NULL;
	unsigned long n = i < argc ? strtoul(argv[i], &end, 10) : 0;
	if (!n || *end || i + 2 >= argc || strcmp(argv[i + 1], "--")) {
		fprintf(stderr, "usage: killat [--exit] [--children] N -- command args...\n");
		return 2;
	}
	argv += i + 2;
	int go[2];
	if (pipe(go) < 0)
		return failed("pipe");
	pid_t child = fork();
	if (child < 0)
		return failed("fork");
	if (child == 0) {
		char c;
		close(go[1]);
		if (read(go[0], &c, 1) != 1)
			_exit(127);
		close(go[0]);
		execvp(argv[0], argv);
		fprintf(stderr, "killat: %s: %s\n", argv[0], strerror(errno));
		_exit(127);
	}
	close(go[0]);
	if (ptrace(PTRACE_SEIZE, child, 0, options) < 0 || ptrace(PTRACE_INTERRUPT, child, 0, 0) < 0) {
		kill(child, SIGKILL);
		return failed("tracing the command");
	}
	if (write(go[1], "x", 1) != 1)
		return failed("starting the command");
	close(go[1]);
	return run(child, n, at_exit);
}
