/* SPDX-License-Identifier: MIT */
/*
 * Threads of every kind, for what stops and releases them. All forms answer "count" with a number that grows
 * while the program gets anywhere, "bad" with how often something was not as it should be, and "threads" with
 * their number. pt_threads sleep N M    N threads asleep (futex), M of them spinning instead pt_threads churn
 * four threads that create and join threads all the time pt_threads leader       the first thread ends by
 * pthread_exit, a second one answers pt_threads deaf         a thread that blocks all signals, and the first
 * one does, too pt_threads timer        SIGALRM every millisecond pt_threads queue        counts SIGRTMIN
 * with the values 0, 1, 2, … in order, in a thread that sleeps in between pt_threads fork         forks,
 * waits; vforks, executes, waits; all the time, in two threads pt_threads exec N       exec -> executes
 * itself from a thread that is not the first, with N others there pt_threads vfork        hold -> a thread
 * stuck in vfork; let -> ends that pt_threads quit N       quit -> exit_group with N threads there
 */
#define _GNU_SOURCE
#include "victim.h"

#include <errno.h>
#include <linux/futex.h>
#include <linux/io_uring.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>

static atomic_long count, bad;
static char **self_argv;

static void *asleep(void *unused)
{
	static unsigned word;
	(void)unused;
	for (;;)
		if (syscall(SYS_futex, &word, FUTEX_WAIT, 0, NULL, NULL, 0) != 0)
			atomic_fetch_add(&bad, 1);
	return NULL;
}

static void *spinning(void *unused)
{
	(void)unused;
	for (;;)
		atomic_fetch_add_explicit(&count, 1, memory_order_relaxed);
	return NULL;
}

static pthread_t start(void *(*body)(void *), void *argument)
{
	pthread_attr_t attributes;
	pthread_t t;
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, 65536);
	if (pthread_create(&t, &attributes, body, argument))
		_exit(4);
	return t;
}

static void *short_life(void *unused)
{
	return unused;
}

static void *churning(void *unused)
{
	(void)unused;
	for (;;) {
		pthread_t t[4];
		for (int i = 0; i < 4; i++)
			t[i] = start(short_life, NULL);
		for (int i = 0; i < 4; i++)
			pthread_join(t[i], NULL);
		atomic_fetch_add(&count, 4);
	}
	return NULL;
}

static void *deaf(void *unused)
{
	sigset_t all;
	(void)unused;
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, NULL);
	for (;;) {
		atomic_fetch_add(&count, 1);
		usleep(1000);
	}
	return NULL;
}

static void on_alarm(int signal_number)
{
	(void)signal_number;
	atomic_fetch_add(&count, 1);
}

static void on_queue(int signal_number, siginfo_t *info, void *context)
{
	(void)signal_number;
	(void)context;
	if (info->si_code != SI_QUEUE || info->si_value.sival_int != (int)atomic_load(&count))
		atomic_fetch_add(&bad, 1);
	atomic_fetch_add(&count, 1);
}

static void *forking(void *unused)
{
	(void)unused;
	for (;;) {
		int status = -1;
		pid_t pid = fork();
		if (pid == 0)
			_exit(7);
		if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 7 << 8)
			atomic_fetch_add(&bad, 1);
		pid = vfork();
		if (pid == 0) {
			execl("/bin/true", "true", (char *)NULL);
			_exit(9);
		}
		if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
			atomic_fetch_add(&bad, 1);
		atomic_fetch_add(&count, 1);
	}
	return NULL;
}

static int go_exec[2];

static void *executing(void *unused)
{
	char c;
	(void)unused;
	if (read(go_exec[0], &c, 1) == 1)
		execv("/proc/self/exe", self_argv);
	_exit(5);
}

static int hold[2], held[2];

static void *vforking(void *unused)
{
	(void)unused;
	if (vfork() == 0) {
		char c = 0;
		if (write(held[1], "h", 1) != 1 || read(hold[0], &c, 1) != 1)
			_exit(1);
		_exit(0);
	}
	atomic_fetch_add(&count, 1);
	return NULL;
}

static int n_threads(void)
{
	char line[256];
	int n = -1;
	FILE *f = fopen("/proc/self/status", "re");
	while (f && fgets(line, sizeof(line), f))
		sscanf(line, "Threads: %d", &n);
	if (f)
		fclose(f);
	return n;
}

static void *answer(void *unused)
{
	char line[VICTIM_LINE], c;
	victim_ready();
	while (victim_next(line)) {
		if (!strcmp(line, "count")) {
			victim_say("%ld", atomic_load(&count));
		} else if (!strcmp(line, "bad")) {
			victim_say("%ld", atomic_load(&bad));
		} else if (!strcmp(line, "threads")) {
			victim_say("%d", n_threads());
		} else if (!strcmp(line, "exec")) {
			if (write(go_exec[1], "x", 1) != 1)
				_exit(6);
			pause();
		} else if (!strcmp(line, "hold")) {
			start(vforking, NULL);
			if (read(held[0], &c, 1) != 1)
				_exit(6);
			victim_say("held");
		} else if (!strcmp(line, "let")) {
			if (write(hold[1], "x", 1) != 1)
				_exit(6);
			victim_say("let");
		} else if (!strcmp(line, "quit")) {
			_exit(0);
		} else {
			victim_say("error: no command %s", line);
		}
	}
	_exit(0);
	return unused;
}

int main(int argc, char **argv)
{
	const char *form = argc > 1 ? argv[1] : "";
	int n = argc > 2 ? atoi(argv[2]) : 0, m = argc > 3 ? atoi(argv[3]) : 0;
	self_argv = argv;
	if (pipe(go_exec) || pipe(hold) || pipe(held))
		return 1;
	/* In order means: in one thread. */
	sigset_t queued;
	sigemptyset(&queued);
	sigaddset(&queued, SIGRTMIN);
	sigprocmask(SIG_BLOCK, &queued, NULL);
	for (int i = 0; i < n; i++)
		start(i < m ? spinning : asleep, NULL);
	if (!strcmp(form, "churn")) {
		for (int i = 0; i < 4; i++)
			start(churning, NULL);
	} else if (!strcmp(form, "leader")) {
		start(answer, NULL);
		pthread_exit(NULL);
	} else if (!strcmp(form, "deaf")) {
		sigset_t all;
		start(deaf, NULL);
		sigfillset(&all);
		pthread_sigmask(SIG_BLOCK, &all, NULL);
	} else if (!strcmp(form, "timer")) {
		struct sigaction sa = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
		struct itimerval each = {{0, 1000}, {0, 1000}};
		sigaction(SIGALRM, &sa, NULL);
		setitimer(ITIMER_REAL, &each, NULL);
	} else if (!strcmp(form, "queue")) {
		struct sigaction sa = {.sa_sigaction = on_queue, .sa_flags = SA_RESTART | SA_SIGINFO};
		sigaction(SIGRTMIN, &sa, NULL);
		sigprocmask(SIG_UNBLOCK, &queued, NULL);
	} else if (!strcmp(form, "uring")) {
		struct io_uring_params params = {.flags = IORING_SETUP_SQPOLL, .sq_thread_idle = 1};
		if (syscall(SYS_io_uring_setup, 1, &params) < 0)
			atomic_store(&count, -1);
	} else if (!strcmp(form, "fork")) {
		start(forking, NULL);
		start(forking, NULL);
	} else if (!strcmp(form, "exec")) {
		start(executing, NULL);
	}
	answer(NULL);
	return 0;
}
