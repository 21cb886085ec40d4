/* SPDX-License-Identifier: MIT */
/*
 * The plain victim: one function for each thing that a replacement may do (globals, statics, strings, jump
 * tables, constants, many arguments, recursion, thread-local data, function pointers). Built as PIE, non-PIE,
 * static, with musl, stripped, with separate debug files, at odd addresses.
 */
#include "victim.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>

extern int value(void), other(void), third(void);

VICTIM int value(void)
{
	OPAQUE();
	return 1;
}

VICTIM int other(void)
{
	OPAQUE();
	return 10;
}

VICTIM int third(void)
{
	OPAQUE();
	return 100;
}

static int counter = 40;
int shared_counter = 400;
static __thread int tls_counter = 7;
__thread int tls_shared = 70;

/* The payload changes the step; the counters stay where they are. */
extern int bump(void), bump_tls(void);
VICTIM int bump(void)
{
	counter += 1;
	shared_counter += 1;
	return counter + shared_counter;
}

VICTIM int bump_tls(void)
{
	tls_counter += 1;
	tls_shared += 1;
	return tls_counter + tls_shared;
}

extern const char *greeting(void);
VICTIM const char *greeting(void)
{
	OPAQUE();
	return "hello";
}

extern double ten(int a, int b, int c, int d, int e, int f, int g, int h, int i, int j, double k, double l,
		  double m, double n, double o, double p, double q, double r, double s, double t);
VICTIM double ten(int a, int b, int c, int d, int e, int f, int g, int h, int i, int j, double k, double l,
		  double m, double n, double o, double p, double q, double r, double s, double t)
{
	return a + 2 * b + 3 * c + 4 * d + 5 * e + 6 * f + 7 * g + 8 * h + 9 * i + 10 * j + k / 2 + l / 4 +
	       m / 8 + n / 16 + o / 32 + p / 64 + q / 128 + r / 256 + s / 512 + t / 1024;
}

extern int fib(int n), is_even(int n), is_odd(int n);
VICTIM int fib(int n)
{
	return n < 2 ? n : fib(n - 1) + fib(n - 2);
}

VICTIM int is_even(int n)
{
	return n == 0 ? 1 : is_odd(n - 1);
}

VICTIM int is_odd(int n)
{
	return n == 0 ? 0 : is_even(n - 1);
}

extern int dispatch(int n);
VICTIM int dispatch(int n)
{
	switch (n) {
	case 0:
		return value();
	case 1:
		return other() * 3;
	case 2:
		return third() - 7;
	case 3:
		return fib(10);
	case 4:
		return 17 + value();
	case 5:
		return (int)strlen(greeting());
	default:
		return -1;
	}
}

extern double scale(double x);
VICTIM double scale(double x)
{
	return x * 1.5 + 0.25;
}

/* A leaf that keeps its locals in the red zone. */
extern int redzone(int n);
VICTIM int redzone(int n)
{
	volatile int v[24];
	for (int i = 0; i < 24; i++)
		v[i] = i * n;
	int sum = 0;
	for (int i = 0; i < 24; i++)
		sum += v[i];
	return sum;
}

/* A static function that is used by its address alone. */
extern int through_pointer(void);
static __attribute__((noinline)) int pointed(void)
{
	OPAQUE();
	return 5;
}
static int (*volatile pointer)(void) = pointed;
VICTIM int through_pointer(void)
{
	return pointer();
}
extern int same_pointer(int (*f)(void));
VICTIM int same_pointer(int (*f)(void))
{
	return f == pointer;
}

/* Fails with errno set; the replacement and the tool must leave errno to it. */
extern int errno_of_close(void);
VICTIM int errno_of_close(void)
{
	errno = 0;
	int r = close(-1);
	return r < 0 ? errno : 0;
}

/* outer() and inner() are replaced together: one call must never see one old and the other new. */
extern int inner(void), outer(void);
VICTIM int inner(void)
{
	OPAQUE();
	return 1;
}
VICTIM int outer(void)
{
	return 10 + inner();
}

static void answer(char *line)
{
	int a = 0;
	char word[64] = "";
	sscanf(line, "%63s %d", word, &a);
	if (!strcmp(word, "value"))
		victim_say("%d", value());
	else if (!strcmp(word, "other"))
		victim_say("%d", other());
	else if (!strcmp(word, "third"))
		victim_say("%d", third());
	else if (!strcmp(word, "all"))
		victim_say("%d %d %d", value(), other(), third());
	else if (!strcmp(word, "bump"))
		victim_say("%d", bump());
	else if (!strcmp(word, "bump_tls"))
		victim_say("%d", bump_tls());
	else if (!strcmp(word, "greeting"))
		victim_say("%s", greeting());
	else if (!strcmp(word, "ten"))
		victim_say("%.10f", ten(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10));
	else if (!strcmp(word, "fib"))
		victim_say("%d", fib(a));
	else if (!strcmp(word, "is_even"))
		victim_say("%d", is_even(a));
	else if (!strcmp(word, "dispatch"))
		victim_say("%d", dispatch(a));
	else if (!strcmp(word, "scale"))
		victim_say("%.4f", scale(a));
	else if (!strcmp(word, "redzone"))
		victim_say("%d", redzone(a));
	else if (!strcmp(word, "through_pointer"))
		victim_say("%d", through_pointer());
	else if (!strcmp(word, "same_pointer"))
		victim_say("%d", same_pointer(pointed));
	else if (!strcmp(word, "errno_of_close"))
		victim_say("%d", errno_of_close());
	else if (!strcmp(word, "outer"))
		victim_say("%d", outer());
	else
		victim_say("error: no command %s", word);
}

int main(void)
{
	char line[VICTIM_LINE];
	victim_ready();
	while (victim_next(line))
		answer(line);
	return 0;
}
