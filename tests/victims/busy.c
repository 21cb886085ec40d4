/* SPDX-License-Identifier: MIT */
/*
 * Threads that live hard lives while functions are replaced under them. Arguments: KIND=NUMBER …
 *   spin    calls outer() without a pause and sorts the answers: old, new, anything else
 *   sleep   blocked in read()
 *   churn   starts threads that call value() once and end, all the time
 *   malloc  in malloc and free all the time
 *   fork    forks children that call value() and must exit with 0, all the time
 *   vfork   the same by vfork
 *   timer   SIGALRM every so many microseconds, for the whole process
 *   leader  1: the main thread ends by pthread_exit
 *   loader  in dl_iterate_phdr's callback (the dynamic loader's lock is held) half of the time
 * report -> "calls=… old=… new=… mixed=… events=… failures=…"    gap -> longest gap of a spinner, us, anew
 * from here
 */
#define _GNU_SOURCE
#include "victim.h"

#include <link.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/time.h>
#include <sys/wait.h>

extern int value(void), inner(void), outer(void);
VICTIM int value(void)
{
	OPAQUE();
	return 1;
}
VICTIM int inner(void)
{
	OPAQUE();
	return 1;
}
VICTIM int outer(void)
{
	int a = inner();
	return 10 + a;
}

static atomic_ulong calls, old_calls, new_calls, mixed, events, failures;
static atomic_ullong longest_gap;
static atomic_uint ticks;

static void *spin(void *unused)
{
	unsigned long long last = victim_now_ns();
	(void)unused;
	for (;;) {
		int r = outer();
		unsigned long long now = victim_now_ns();
		if (now - last > atomic_load_explicit(&longest_gap, memory_order_relaxed))
			atomic_store(&longest_gap, now - last);
		last = now;
		atomic_fetch_add_explicit(&calls, 1, memory_order_relaxed);
		atomic_fetch_add_explicit(r == 11   ? &old_calls
					  : r == 22 ? &new_calls
						    : &mixed,
					  1, memory_order_relaxed);
	}
	return NULL;
}

static void *blocked(void *unused)
{
	int p[2];
	char c;
	(void)unused;
	if (pipe(p))
		return NULL;
	if (read(p[0], &c, 1) != 1)
		atomic_fetch_add(&failures, 1);
	return NULL;
}

static void *once(void *unused)
{
	int v = value();
	(void)unused;
	if (v != 1 && v != 2)
		atomic_fetch_add(&failures, 1);
	atomic_fetch_add(&events, 1);
	return NULL;
}

static void *churn(void *unused)
{
	(void)unused;
	for (;;) {
		pthread_t t[4];
		int n = 0;
		while (n < 4 && !pthread_create(&t[n], NULL, once, NULL))
			n++;
		if (!n)
			atomic_fetch_add(&failures, 1);
		while (n > 0)
			pthread_join(t[--n], NULL);
	}
	return NULL;
}

static void *allocate(void *unused)
{
	unsigned seed = 1;
	(void)unused;
	for (;;) {
		void *p[16];
		for (int i = 0; i < 16; i++) {
			seed = seed * 1103515245u + 12345u;
			p[i] = malloc(16 + seed % 100000);
			if (!p[i])
				atomic_fetch_add(&failures, 1);
			else
				memset(p[i], (int)seed, 16);
		}
		for (int i = 0; i < 16; i++)
			free(p[i]);
		atomic_fetch_add(&events, 1);
	}
	return NULL;
}

static void *fork_all_the_time(void *by_vfork)
{
	for (;;) {
		pid_t pid = by_vfork ? vfork() : fork();
		int status = 0;
		if (pid == 0) {
			int v = value();
			_exit(v == 1 || v == 2 ? 0 : 1);
		}
		if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
			atomic_fetch_add(&failures, 1);
		atomic_fetch_add(&events, 1);
	}
	return NULL;
}

static int in_loader(struct dl_phdr_info *info, size_t size, void *rounds)
{
	(void)info;
	(void)size;
	for (volatile int i = 0; i < *(int *)rounds; i++)
		;
	return 0;
}

static void *hold_loader(void *unused)
{
	int rounds = 20000;
	(void)unused;
	for (;;) {
		dl_iterate_phdr(in_loader, &rounds);
		atomic_fetch_add(&events, 1);
	}
	return NULL;
}

static void on_alarm(int signal_number)
{
	(void)signal_number;
	atomic_fetch_add(&ticks, 1);
}

static void start(void *(*body)(void *), void *argument, int n)
{
	for (int i = 0; i < n; i++) {
		pthread_t t;
		pthread_attr_t attributes;
		pthread_attr_init(&attributes);
		pthread_attr_setstacksize(&attributes, 128 * 1024);
		if (pthread_create(&t, &attributes, body, argument))
			atomic_fetch_add(&failures, 1);
	}
}

static void *commands(void *unused)
{
	char line[VICTIM_LINE];
	(void)unused;
	victim_ready();
	while (victim_next(line)) {
		if (!strcmp(line, "report"))
			victim_say("calls=%lu old=%lu new=%lu mixed=%lu events=%lu failures=%lu ticks=%u",
				   atomic_load(&calls), atomic_load(&old_calls), atomic_load(&new_calls),
				   atomic_load(&mixed), atomic_load(&events), atomic_load(&failures),
				   atomic_load(&ticks));
		else if (!strcmp(line, "value"))
			victim_say("%d", value());
		else if (!strcmp(line, "outer"))
			victim_say("%d", outer());
		else if (!strcmp(line, "gap"))
			victim_say("%llu", atomic_exchange(&longest_gap, 0) / 1000);
		else
			victim_say("error: no command %s", line);
	}
	_exit(0);
	return NULL;
}

int main(int argc, char **argv)
{
	bool leader_ends = false;
	int timer_us = 0;
	for (int i = 1; i < argc; i++) {
		char kind[32] = "";
		int n = 0;
		if (sscanf(argv[i], "%31[a-z]=%d", kind, &n) != 2)
			return 2;
		if (!strcmp(kind, "spin"))
			start(spin, NULL, n);
		else if (!strcmp(kind, "sleep"))
			start(blocked, NULL, n);
		else if (!strcmp(kind, "churn"))
			start(churn, NULL, n);
		else if (!strcmp(kind, "malloc"))
			start(allocate, NULL, n);
		else if (!strcmp(kind, "fork"))
			start(fork_all_the_time, NULL, n);
		else if (!strcmp(kind, "vfork"))
			start(fork_all_the_time, (void *)1, n);
		else if (!strcmp(kind, "loader"))
			start(hold_loader, NULL, n);
		else if (!strcmp(kind, "timer"))
			timer_us = n;
		else if (!strcmp(kind, "leader"))
			leader_ends = n;
		else
			return 2;
	}
	if (timer_us) {
		struct sigaction sa = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
		struct itimerval each = {{0, timer_us}, {0, timer_us}};
		sigaction(SIGALRM, &sa, NULL);
		setitimer(ITIMER_REAL, &each, NULL);
	}
	if (leader_ends) {
		start(commands, NULL, 1);
		pthread_exit(NULL);
	}
	commands(NULL);
	return 0;
}
