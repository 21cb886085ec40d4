// SPDX-License-Identifier: MIT
/*
 * While the target stands still the controller should not wait for a CPU behind other programs, nor, while it
 * lets go one thread after the other, behind those that it let go already: with as many of them as they like
 * spinning, the last one would wait for long. So the controller's thread takes a real-time priority for that
 * while, if it may.
 */
#define _GNU_SOURCE
#include <sched.h>

#include "process/thread/internal.h"

void threads_hurry(struct threads *threads)
{
	struct sched_param param = {.sched_priority = 1};
	if (threads->hurried)
		return;
	int policy = sched_getscheduler(0);
	/* Who has arranged something special for itself is left with it. */
	if (policy != SCHED_OTHER && policy != SCHED_BATCH)
		return;
	threads->policy = policy;
	/* Without RESET_ON_FORK a child made meanwhile would keep it. */
	threads->hurried = sched_setscheduler(0, SCHED_RR | SCHED_RESET_ON_FORK, &param) == 0;
}

void threads_calm(struct threads *threads)
{
	struct sched_param param = {0};
	if (!threads->hurried)
		return;
	threads->hurried = false;
	/* The nice value was kept. Without CAP_SYS_NICE the flag cannot be dropped again; it does no harm
	 * then. */
	if (sched_setscheduler(0, threads->policy, &param) < 0)
		sched_setscheduler(0, threads->policy | SCHED_RESET_ON_FORK, &param);
}
