/* SPDX-License-Identifier: MIT */
/*
 * Processes that belong together.
 *   family watch         one child; the parent counts every report of a stop or continuation that the kernel
 * sends it family many N        N children that wait; end-one -> one of them ends family exec          exec
 * -> executes itself anew (the replaced text is gone with the old image) family exec-loop N   executes itself
 * N times without a pause, then answers family fork-later    fork -> the pid of a child forked now;
 * child-value -> what value() gives there family vfork         hold -> a child by vfork that sleeps until
 * "let", the parent stuck in vfork meanwhile
 */
#define _GNU_SOURCE
#include "victim.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>

extern int value(void);
VICTIM int value(void)
{
	OPAQUE();
	return 1;
}

static atomic_int reports;

static void on_child(int signal_number, siginfo_t *info, void *context)
{
	(void)signal_number;
	(void)context;
	if (info->si_code == CLD_STOPPED || info->si_code == CLD_CONTINUED || info->si_code == CLD_TRAPPED)
		atomic_fetch_add(&reports, 1);
}

static int watch(void)
{
	struct sigaction sa = {.sa_sigaction = on_child, .sa_flags = SA_SIGINFO | SA_RESTART};
	int up[2], down[2];
	char line[VICTIM_LINE];
	sigaction(SIGCHLD, &sa, NULL);
	if (pipe(up) || pipe(down))
		return 1;
	pid_t pid = fork();
	if (pid == 0) {
		char c;
		prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		while (read(down[0], &c, 1) == 1) {
			c = (char)('0' + value());
			if (write(up[1], &c, 1) != 1)
				break;
		}
		_exit(0);
	}
	victim_ready();
	while (victim_next(line)) {
		char c = 0;
		int status;
		if (!strcmp(line, "child")) {
			victim_say("%d", (int)pid);
		} else if (!strcmp(line, "value")) {
			if (write(down[1], "x", 1) != 1 || read(up[0], &c, 1) != 1)
				return 1;
			victim_say("%c", c);
		} else if (!strcmp(line, "reports")) {
			if (waitpid(pid, &status, WNOHANG | WUNTRACED | WCONTINUED) > 0)
				atomic_fetch_add(&reports, 1);
			victim_say("%d", atomic_load(&reports));
		} else {
			victim_say("error: no command %s", line);
		}
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	return 0;
}

static int many(int n)
{
	char line[VICTIM_LINE];
	int go[2];
	if (pipe(go))
		return 1;
	for (int i = 0; i < n; i++) {
		pid_t pid = fork();
		if (pid < 0) {
			victim_say("error: only %d children: %s", i, strerror(errno));
			return 1;
		}
		if (pid == 0) {
			char c;
			close(go[1]);
			prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0);
			/* One byte ends one child, the pipe's end all of them. */
			_exit(read(go[0], &c, 1) < 0 ? 1 : 0);
		}
	}
	close(go[0]);
	victim_ready();
	while (victim_next(line)) {
		if (!strcmp(line, "value")) {
			victim_say("%d", value());
		} else if (!strcmp(line, "end-one")) {
			int status = 1;
			if (write(go[1], "q", 1) != 1 || wait(&status) < 0 || status)
				return 1;
			victim_say("ended");
		} else {
			victim_say("error: no command %s", line);
		}
	}
	close(go[1]);
	for (int status; wait(&status) > 0;)
		if (status)
			return 1;
	return 0;
}

static int answer(char **argv)
{
	char line[VICTIM_LINE];
	victim_ready();
	while (victim_next(line)) {
		if (!strcmp(line, "value")) {
			victim_say("%d", value());
		} else if (!strcmp(line, "exec")) {
			execv("/proc/self/exe", argv);
			return 1;
		} else {
			victim_say("error: no command %s", line);
		}
	}
	return 0;
}

static int exec_loop(int left, char **argv)
{
	char number[16];
	if (left <= 0) {
		char *plain[] = {argv[0], "exec", NULL};
		return answer(plain);
	}
	if (value() != 1 && value() != 2)
		return 1;
	snprintf(number, sizeof(number), "%d", left - 1);
	execl("/proc/self/exe", argv[0], "exec-loop", number, (char *)NULL);
	return 1;
}

static int hold[2], held[2];

static void *hold_vfork(void *unused)
{
	(void)unused;
	pthread_setname_np(pthread_self(), "vforker");
	pid_t pid = vfork();
	if (pid == 0) {
		char c = 0;
		if (write(held[1], "h", 1) != 1 || read(hold[0], &c, 1) != 1)
			_exit(1);
		_exit(0);
	}
	int status = 0;
	if (waitpid(pid, &status, 0) != pid || status)
		return (void *)1;
	return NULL;
}

static int by_vfork(void)
{
	char line[VICTIM_LINE], c;
	pthread_t t;
	void *r;
	if (pipe(hold) || pipe(held))
		return 1;
	victim_ready();
	while (victim_next(line)) {
		if (!strcmp(line, "value")) {
			victim_say("%d", value());
		} else if (!strcmp(line, "hold")) {
			if (pthread_create(&t, NULL, hold_vfork, NULL) || read(held[0], &c, 1) != 1)
				return 1;
			victim_say("held");
		} else if (!strcmp(line, "let")) {
			if (write(hold[1], "x", 1) != 1 || pthread_join(t, &r))
				return 1;
			victim_say("%s", r ? "error: child failed" : "let");
		} else {
			victim_say("error: no command %s", line);
		}
	}
	return 0;
}

static int fork_later(void)
{
	char line[VICTIM_LINE], c;
	int up[2], down[2];
	if (pipe(up) || pipe(down))
		return 1;
	victim_ready();
	while (victim_next(line)) {
		if (!strcmp(line, "value")) {
			victim_say("%d", value());
		} else if (!strcmp(line, "fork")) {
			pid_t pid = fork();
			if (pid == 0) {
				prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0);
				prctl(PR_SET_PDEATHSIG, SIGKILL);
				close(down[1]);
				while (read(down[0], &c, 1) == 1) {
					c = (char)('0' + value());
					if (write(up[1], &c, 1) != 1)
						break;
				}
				_exit(0);
			}
			victim_say("%d", (int)pid);
		} else if (!strcmp(line, "child-value")) {
			if (write(down[1], "x", 1) != 1 || read(up[0], &c, 1) != 1)
				return 1;
			victim_say("%c", c);
		} else {
			victim_say("error: no command %s", line);
		}
	}
	close(down[1]);
	wait(NULL);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc >= 2 && !strcmp(argv[1], "watch"))
		return watch();
	if (argc >= 3 && !strcmp(argv[1], "many"))
		return many(atoi(argv[2]));
	if (argc >= 2 && !strcmp(argv[1], "exec"))
		return answer(argv);
	if (argc >= 3 && !strcmp(argv[1], "exec-loop"))
		return exec_loop(atoi(argv[2]), argv);
	if (argc >= 2 && !strcmp(argv[1], "vfork"))
		return by_vfork();
	if (argc >= 2 && !strcmp(argv[1], "fork-later"))
		return fork_later();
	return 2;
}
