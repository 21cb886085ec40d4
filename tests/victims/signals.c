/* SPDX-License-Identifier: MIT */
/*
 * Signals: handlers for SIGTRAP, SIGSEGV and SIGILL on alternate stacks; a thread that blocks every signal;
 * queued real-time signals that are counted; a handler that calls the function which is replaced, also while
 * the thread is inside it.
 *   counts -> "rt=… trap=… segv=… ill=… nested=…"
 *   fault  -> raises SIGSEGV, SIGILL and SIGTRAP for real
 */
#define _GNU_SOURCE
#include "victim.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <ucontext.h>

static atomic_int rt, trap, segv, ill, nested_bad, nested;
static atomic_int settled; /* threads that have their own mask, not that of their birth */

extern int value(void), slow(void);
VICTIM int value(void)
{
	OPAQUE();
	return 1;
}

/* Inside long enough that signals hit it; the handler calls it again (not slow(), only value()). */
VICTIM int slow(void)
{
	for (volatile int i = 0; i < 2000; i++)
		;
	return 1;
}

static void on_rt(int signal_number)
{
	(void)signal_number;
	atomic_fetch_add(&rt, 1);
}

static void on_usr1(int signal_number)
{
	int v = value();
	(void)signal_number;
	atomic_fetch_add(&nested, 1);
	if (v != 1 && v != 2)
		atomic_fetch_add(&nested_bad, 1);
}

/* Each of these is an instruction of two bytes that the handler steps over (int3: already behind it). */
static void on_fault(int signal_number, siginfo_t *info, void *context)
{
	ucontext_t *c = context;
	(void)info;
	if (signal_number == SIGTRAP) {
		atomic_fetch_add(&trap, 1);
	} else {
		atomic_fetch_add(signal_number == SIGSEGV ? &segv : &ill, 1);
		c->uc_mcontext.gregs[REG_RIP] += 2;
	}
}

static void *deaf(void *unused)
{
	sigset_t all;
	(void)unused;
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, NULL);
	pthread_setname_np(pthread_self(), "deaf");
	atomic_fetch_add(&settled, 1);
	for (;;) {
		value();
		usleep(1000);
	}
	return NULL;
}

/* Half of its time in slow(), half beside it: seen from outside it is now inside and now not. */
static void *in_and_out(void *unused)
{
	(void)unused;
	atomic_fetch_add(&settled, 1);
	for (;;) {
		slow();
		for (volatile int i = 0; i < 2000; i++)
			;
	}
	return NULL;
}

int main(void)
{
	static char stack[128 * 1024];
	stack_t ss = {.ss_sp = stack, .ss_size = sizeof(stack)};
	struct sigaction fault = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART};
	struct sigaction count = {.sa_handler = on_rt, .sa_flags = SA_RESTART};
	struct sigaction usr1 = {.sa_handler = on_usr1, .sa_flags = SA_RESTART};
	char line[VICTIM_LINE];
	pthread_t t;

	sigaltstack(&ss, NULL);
	sigaction(SIGTRAP, &fault, NULL);
	sigaction(SIGSEGV, &fault, NULL);
	sigaction(SIGILL, &fault, NULL);
	sigaction(SIGRTMIN, &count, NULL);
	sigaction(SIGUSR1, &usr1, NULL);
	if (pthread_create(&t, NULL, deaf, NULL) || pthread_create(&t, NULL, in_and_out, NULL))
		return 1;
	while (atomic_load(&settled) < 2)
		usleep(1000);
	victim_ready();
	while (victim_next(line)) {
		if (!strcmp(line, "value")) {
			victim_say("%d", value());
		} else if (!strcmp(line, "slow")) {
			victim_say("%d", slow());
		} else if (!strcmp(line, "counts")) {
			victim_say("rt=%d trap=%d segv=%d ill=%d nested=%d nested_bad=%d", atomic_load(&rt),
				   atomic_load(&trap), atomic_load(&segv), atomic_load(&ill),
				   atomic_load(&nested), atomic_load(&nested_bad));
		} else if (!strcmp(line, "fault")) {
			__asm__ volatile("xor %%eax, %%eax\n	mov (%%rax), %%eax\n	ud2\n	int3" ::
						 : "rax", "memory");
			victim_say("survived");
		} else {
			victim_say("error: no command %s", line);
		}
	}
	return 0;
}
