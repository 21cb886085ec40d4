/* SPDX-License-Identifier: MIT */
/*
 * What must pass through a replaced function: pthread_cancel with clean-up handlers, backtrace(), longjmp.
 * through() calls back; its replacement calls back, too. cancel -> "cancelled cleaned"; trace -> the number
 * of frames from the callback to main, and whether trace_root is among them.
 */
#define _GNU_SOURCE
#include "victim.h"

#include <execinfo.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdatomic.h>
#include <stdint.h>

extern int through(int (*callback)(void));
VICTIM int through(int (*callback)(void))
{
	return callback() + 1;
}

static atomic_int inside, cleaned;
static int never[2];

static int block(void)
{
	char c;
	atomic_store(&inside, 1);
	return (int)read(never[0], &c, 1);
}

static void clean(void *unused)
{
	(void)unused;
	atomic_store(&cleaned, 1);
}

static void *cancelled(void *unused)
{
	int r = 0;
	(void)unused;
	pthread_cleanup_push(clean, NULL);
	r = through(block);
	pthread_cleanup_pop(0);
	return (void *)(intptr_t)r;
}

static int frames;
static bool root_seen;
extern int trace_root(void);

static int look(void)
{
	void *v[64];
	frames = backtrace(v, 64);
	root_seen = false;
	for (int i = 0; i < frames; i++)
		if ((uintptr_t)v[i] > (uintptr_t)trace_root && (uintptr_t)v[i] < (uintptr_t)trace_root + 64)
			root_seen = true;
	return 0;
}

VICTIM int trace_root(void)
{
	int r = through(look);
	OPAQUE();
	return r;
}

static jmp_buf back;
static int leap(void)
{
	longjmp(back, 5);
}

static int three(void)
{
	return 3;
}

int main(void)
{
	char line[VICTIM_LINE];
	if (pipe(never))
		return 1;
	victim_ready();
	while (victim_next(line)) {
		if (!strcmp(line, "through")) {
			victim_say("%d", through(three));
		} else if (!strcmp(line, "enter")) { /* blocks inside for the debugger to look at */
			pthread_t t;
			atomic_store(&inside, 0);
			if (pthread_create(&t, NULL, cancelled, NULL))
				return 1;
			while (!atomic_load(&inside))
				usleep(100);
			victim_say("entered");
		} else if (!strcmp(line, "cancel")) {
			pthread_t t;
			void *r = NULL;
			atomic_store(&inside, 0);
			atomic_store(&cleaned, 0);
			if (pthread_create(&t, NULL, cancelled, NULL))
				return 1;
			while (!atomic_load(&inside))
				usleep(100);
			pthread_cancel(t);
			pthread_join(t, &r);
			victim_say("%s %s", r == PTHREAD_CANCELED ? "cancelled" : "not-cancelled",
				   atomic_load(&cleaned) ? "cleaned" : "not-cleaned");
		} else if (!strcmp(line, "trace")) {
			int r = trace_root();
			victim_say("%d root=%d r=%d", frames, root_seen, r);
		} else if (!strcmp(line, "jump")) {
			int r = setjmp(back);
			victim_say("%d", r ? r : through(leap));
		} else {
			victim_say("error: no command %s", line);
		}
	}
	return 0;
}
