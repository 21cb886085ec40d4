/* SPDX-License-Identifier: MIT */
#include "victim.h"

int copied[4] = {1, 2, 3, 4};
__thread int tls_gd = 3;
static __thread int tls_ld = 5;
static __thread int tls_ie __attribute__((tls_model("initial-exec"))) = 6;

int versioned_one(int x);
int versioned_two(int x);
int late(int x);
int interposed(int x);
int protected_function(int x);
int hidden_function(int x);
int call_interposed(int x);

__attribute__((noinline)) int versioned_one(int x)
{
	__asm__ volatile("");
	return x + 10;
}

__attribute__((noinline)) int versioned_two(int x)
{
	__asm__ volatile("");
	return x + 11;
}

__asm__(".symver versioned_one,versioned@V1");
__asm__(".symver versioned_two,versioned@@V2");

__attribute__((noinline)) static int implementation_one(int x)
{
	__asm__ volatile("");
	return x + 20;
}

__attribute__((noinline)) static int implementation_two(int x)
{
	__asm__ volatile("");
	return x + 21;
}

static volatile int which = 2;

static int (*chosen_resolver(void))(int)
{
	return which == 1 ? implementation_one : implementation_two;
}

int chosen(int x) __attribute__((ifunc("chosen_resolver")));

__attribute__((noinline)) int late(int x)
{
	__asm__ volatile("");
	return x + 30;
}

__attribute__((noinline)) int interposed(int x)
{
	__asm__ volatile("");
	return x + 40;
}

__attribute__((visibility("protected"), noinline)) int protected_function(int x)
{
	__asm__ volatile("");
	return x + 50;
}

__attribute__((visibility("hidden"), noinline)) int hidden_function(int x)
{
	__asm__ volatile("");
	return x + 60;
}

int call_interposed(int x)
{
	return interposed(x);
}

void lib_report(say_fn *say)
{
	say("versioned_one", (unsigned long)versioned_one);
	say("versioned_two", (unsigned long)versioned_two);
	say("implementation_two", (unsigned long)implementation_two);
	say("hidden_function", (unsigned long)hidden_function);
	say("late", (unsigned long)late);
	say("tls_gd", THREAD_OFFSET(tls_gd));
	say("tls_ld", THREAD_OFFSET(tls_ld));
	say("tls_ie", THREAD_OFFSET(tls_ie));
	say("lib_interposed", (unsigned long)call_interposed(0)); /* 100: the executable's */
	(void)implementation_one;
}
