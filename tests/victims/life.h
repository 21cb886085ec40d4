/* SPDX-License-Identifier: MIT */
/*
 * Births and deaths for gate.c and epoch.c: threads that end, forked children, vfork and exec, a timer; all
 * of them call the functions of sites.h and judge them by epoch.h. A child of fork() keeps the version that
 * it was born with: it finds all of its functions in one version and tells which by its exit status.
 */
#ifndef VICTIM_LIFE_H
#define VICTIM_LIFE_H

#include "epoch.h"

#include <errno.h>
#include <pthread.h>
#include <sys/time.h>
#include <sys/wait.h>

#define CHILD_OK 10 /* + version: exit status */

static _Atomic unsigned life_ticks;
static useconds_t life_pause_us; /* between one birth and the next */

static inline void life_fail(const char *what, long detail)
{
	atomic_fetch_add(&epoch_failures, 1);
	if (!atomic_flag_test_and_set(&epoch_has_first))
		snprintf(epoch_first, sizeof(epoch_first), "%s: %ld", what, detail);
}

static inline void life_start(void *(*body)(void *), void *argument, int n)
{
	for (int i = 0; i < n; i++) {
		pthread_t t;
		pthread_attr_t attributes;
		pthread_attr_init(&attributes);
		pthread_attr_setstacksize(&attributes, 128 * 1024);
		int e = pthread_create(&t, &attributes, body, argument);
		if (e)
			life_fail("pthread_create", e);
		pthread_attr_destroy(&attributes);
	}
}

static inline void *life_once(void *seed)
{
	unsigned s = (unsigned)(uintptr_t)seed;
	for (int i = 0; i < 50; i++)
		epoch_call(&s);
	atomic_fetch_add(&epoch_other_calls, 50);
	return NULL;
}

static inline void *life_churn(void *unused)
{
	uintptr_t seed = 1;
	(void)unused;
	pthread_setname_np(pthread_self(), "churn");
	for (;;) {
		pthread_t t[4];
		int n = 0, e = 0;
		while (n < 4 && !(e = pthread_create(&t[n], NULL, life_once, (void *)seed++)))
			n++;
		if (!n)
			life_fail("pthread_create", e);
		while (n > 0)
			pthread_join(t[--n], NULL);
		atomic_fetch_add(&epoch_events, 1);
		usleep(life_pause_us);
	}
	return NULL;
}

/* In a child: the status that tells the one version of all functions; 1: not one. */
static inline int life_all_one(void)
{
	int version = sites[0]() / 1000;
	for (int turn = 0; turn < 2; turn++)
		for (unsigned i = 0; i < epoch_sites; i++)
			if (sites[i]() != version * 1000 + (int)i)
				return 1;
	if (epoch_extras && climb(3) != version * 1000 + SITE_CLIMB)
		return 1;
	return CHILD_OK + version;
}

static inline void life_wait(pid_t pid, const char *what, struct epoch_view before, bool any_version)
{
	int status = 0;
	pid_t r;
	while ((r = waitpid(pid, &status, 0)) < 0 && errno == EINTR)
		;
	if (r != pid || !WIFEXITED(status) || WEXITSTATUS(status) < CHILD_OK ||
	    WEXITSTATUS(status) > CHILD_OK + 2)
		life_fail(what, r != pid ? -errno : status);
	else if (any_version)
		epoch_judge(before, 0, (WEXITSTATUS(status) - CHILD_OK) * 1000, false);
	else if (WEXITSTATUS(status) != CHILD_OK)
		life_fail("an executed child is not new", status);
	atomic_fetch_add(&epoch_events, 1);
}

static inline void *life_fork(void *unused)
{
	(void)unused;
	pthread_setname_np(pthread_self(), "fork");
	for (;;) {
		struct epoch_view before = epoch_begin();
		pid_t pid = fork();
		if (pid == 0)
			_exit(life_all_one());
		if (pid < 0)
			life_fail("fork", errno);
		else
			life_wait(pid, "fork's child", before, true);
		usleep(life_pause_us);
	}
	return NULL;
}

/* The child calls while it is still in its parent's memory, and then becomes another program: this one,
 * "child". */
static inline void *life_vfork(void *unused)
{
	volatile unsigned i = 0; /* both sides of vfork() */
	(void)unused;
	pthread_setname_np(pthread_self(), "vfork");
	for (;;) {
		volatile int result = -1;
		struct epoch_view before = epoch_begin();
		i = (i + 1) % epoch_sites;
		pid_t pid = vfork();
		if (pid == 0) {
			result = sites[i]();
			execl("/proc/self/exe", "victim", "child", (char *)NULL);
			_exit(1);
		}
		epoch_judge(before, (int)i, result, true);
		if (pid < 0)
			life_fail("vfork", errno);
		else
			life_wait(pid, "vfork's child", before, false);
		usleep(life_pause_us);
	}
	return NULL;
}

static void life_on_alarm(int signal_number)
{
	static unsigned seed = 7;
	(void)signal_number;
	int e = errno;
	epoch_call(&seed);
	errno = e;
	atomic_fetch_add(&life_ticks, 1);
}

static inline void life_timer(int us)
{
	struct sigaction sa = {.sa_handler = life_on_alarm, .sa_flags = SA_RESTART};
	struct itimerval each = {{0, us}, {0, us}};
	sigaction(SIGALRM, &sa, NULL);
	setitimer(ITIMER_REAL, &each, NULL);
}

/* main()'s part of "child". */
static inline bool life_is_child(int argc, char **argv, int *status)
{
	if (argc != 2 || strcmp(argv[1], "child"))
		return false;
	sites_prepare();
	*status = life_all_one();
	return true;
}

#endif
