/* SPDX-License-Identifier: MIT */
/*
 * Torture: threads that call f0 … f127 and the others of sites.h without a pause and judge each result by the
 * epoch protocol (epoch.h has it, step by step), while threads are created and end, signals arrive, children
 * are forked and executed.
 *
 * Arguments: the shared page's file, then KIND=NUMBER …
 *   spin    callers
 *   rest    after so many calls each gives its CPU to another (0: never)
 *   work    spins between two calls
 *   churn   threads that start threads which call and end
 *   fork    threads that fork children which call and end
 *   vfork   the same by vfork and execve
 *   timer   SIGALRM every so many microseconds; its handler calls, too
 *   pause   microseconds between two births
 * Commands: report, mark, first (epoch.h)
 */
#define _GNU_SOURCE
#include "life.h"

static int work, rest;

static void *spin(void *number)
{
	unsigned seed = (unsigned)(uintptr_t)number;
	struct epoch_caller *me = epoch_enlist();
	pthread_setname_np(pthread_self(), "spin");
	for (unsigned i = 1;; i++) {
		epoch_call(&seed);
		epoch_count(me);
		if (rest && i % (unsigned)rest == 0)
			sched_yield();
		for (int k = 0; k < work; k++)
			OPAQUE();
	}
	return NULL;
}

int main(int argc, char **argv)
{
	char line[VICTIM_LINE];
	int status, timer_us = 0, spinners = 0;
	if (life_is_child(argc, argv, &status))
		return status;
	if (argc < 2 || !epoch_open(argv[1]))
		return 2;
	sites_prepare();
	for (int i = 2; i < argc; i++) {
		char kind[32] = "";
		int n = 0;
		if (sscanf(argv[i], "%31[a-z]=%d", kind, &n) != 2)
			return 2;
		if (!strcmp(kind, "spin"))
			spinners = n;
		else if (!strcmp(kind, "churn"))
			life_start(life_churn, NULL, n);
		else if (!strcmp(kind, "fork"))
			life_start(life_fork, NULL, n);
		else if (!strcmp(kind, "vfork"))
			life_start(life_vfork, NULL, n);
		else if (!strcmp(kind, "timer"))
			timer_us = n;
		else if (!strcmp(kind, "pause"))
			life_pause_us = (useconds_t)n;
		else if (!strcmp(kind, "work"))
			work = n;
		else if (!strcmp(kind, "rest"))
			rest = n;
		else if (!strcmp(kind, "sites"))
			epoch_sites = (unsigned)n;
		else if (!strcmp(kind, "extras"))
			epoch_extras = n;
		else
			return 2;
	}
	for (int i = 0; i < spinners; i++)
		life_start(spin, (void *)(uintptr_t)(i + 1), 1);
	while (atomic_load(&epoch_n_callers) < (unsigned)spinners)
		usleep(1000);
	if (timer_us)
		life_timer(timer_us);
	victim_ready();
	while (victim_next(line))
		if (!epoch_command(line))
			victim_say("error: no command %s", line);
	fflush(NULL);
	_exit(0); /* with all threads in the middle of what they do */
}
