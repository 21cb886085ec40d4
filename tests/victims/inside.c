/* SPDX-License-Identifier: MIT */
/*
 * Threads that sit inside a function which is to be replaced: plainly, deep in a recursion, on a coroutine's
 * stack, in a signal handler on an alternate stack; and spinners beside them that notice being frozen. enter
 * KIND [DEPTH] | leave | value | outside | gap | jump
 */
#define _GNU_SOURCE
#include "victim.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <ucontext.h>

static int gate[2];
static atomic_int arrived;

/* Blocks at the bottom until the test lets it leave. */
extern int nap(int depth);
VICTIM int nap(int depth)
{
	if (depth > 0)
		return nap(depth - 1) + 1;
	char c;
	atomic_fetch_add(&arrived, 1);
	if (read(gate[0], &c, 1) != 1)
		return -1000000;
	return 0;
}

extern int value(void);
VICTIM int value(void)
{
	OPAQUE();
	return 1;
}

/* Never leaves the program's text, and is in no function that is replaced. */
static void *stay_outside(void *unused)
{
	char c;
	(void)unused;
	atomic_fetch_add(&arrived, 1);
	return read(gate[0], &c, 1) == 1 ? NULL : (void *)1;
}

static atomic_ullong longest_gap;
static atomic_int spinning;

static void *spin(void *unused)
{
	unsigned long long last = victim_now_ns();
	(void)unused;
	while (atomic_load(&spinning)) {
		value();
		unsigned long long now = victim_now_ns();
		if (now - last > atomic_load(&longest_gap))
			atomic_store(&longest_gap, now - last);
		last = now;
	}
	return NULL;
}

static char coroutine_stack[256 * 1024];
static ucontext_t caller, coroutine;
static int result;
static int wanted_depth;

static void in_coroutine(void)
{
	result = nap(wanted_depth);
}

static void on_signal(int signal_number)
{
	(void)signal_number;
	result = nap(wanted_depth);
}

static void *enter_plain(void *unused)
{
	(void)unused;
	result = nap(wanted_depth);
	return NULL;
}

static void *enter_coroutine(void *unused)
{
	(void)unused;
	getcontext(&coroutine);
	coroutine.uc_stack.ss_sp = coroutine_stack;
	coroutine.uc_stack.ss_size = sizeof(coroutine_stack);
	coroutine.uc_link = &caller;
	makecontext(&coroutine, in_coroutine, 0);
	swapcontext(&caller, &coroutine);
	return NULL;
}

static void *enter_alternate(void *unused)
{
	static char stack[256 * 1024];
	stack_t ss = {.ss_sp = stack, .ss_size = sizeof(stack)};
	struct sigaction sa = {.sa_handler = on_signal, .sa_flags = SA_ONSTACK};
	(void)unused;
	sigaltstack(&ss, NULL);
	sigaction(SIGUSR1, &sa, NULL);
	pthread_kill(pthread_self(), SIGUSR1);
	return NULL;
}

static jmp_buf back;
extern void leap(int n);
VICTIM void leap(int n)
{
	OPAQUE();
	longjmp(back, n);
}

static pthread_t thread;
static bool entered;

static void enter(const char *kind, int depth)
{
	void *(*body)(void *) = !strcmp(kind, "plain")	     ? enter_plain
				: !strcmp(kind, "coroutine") ? enter_coroutine
				: !strcmp(kind, "alternate") ? enter_alternate
				: !strcmp(kind, "outside")   ? stay_outside
							     : NULL;
	pthread_attr_t attributes;
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, 512ul << 20);
	wanted_depth = depth;
	atomic_store(&arrived, 0);
	if (!body || entered || pthread_create(&thread, &attributes, body, NULL)) {
		victim_say("error: cannot enter");
		return;
	}
	pthread_setname_np(thread, "sleeper");
	while (!atomic_load(&arrived))
		usleep(100);
	entered = true;
	victim_say("entered");
}

int main(void)
{
	char line[VICTIM_LINE], word[64], kind[64];
	pthread_t spinner;
	if (pipe(gate))
		return 1;
	atomic_store(&spinning, 1);
	if (pthread_create(&spinner, NULL, spin, NULL))
		return 1;
	victim_ready();
	while (victim_next(line)) {
		int n = 0;
		word[0] = kind[0] = '\0';
		sscanf(line, "%63s %63s %d", word, kind, &n);
		if (!strcmp(word, "enter")) {
			enter(kind, n);
		} else if (!strcmp(word, "leave")) {
			if (!entered || write(gate[1], "x", 1) != 1) {
				victim_say("error: not inside");
				continue;
			}
			pthread_join(thread, NULL);
			entered = false;
			victim_say("%d", result);
		} else if (!strcmp(word, "nap")) { /* not blocked: the gate is open */
			if (write(gate[1], "x", 1) == 1)
				victim_say("%d", nap(atoi(kind)));
		} else if (!strcmp(word, "value")) {
			victim_say("%d", value());
		} else if (!strcmp(word, "gap")) { /* microseconds, and from here anew */
			victim_say("%llu", atomic_exchange(&longest_gap, 0) / 1000);
		} else if (!strcmp(word, "jump")) {
			int r = setjmp(back);
			if (!r)
				leap(3);
			victim_say("%d", r);
		} else {
			victim_say("error: no command %s", word);
		}
	}
	atomic_store(&spinning, 0);
	pthread_join(spinner, NULL);
	return 0;
}
