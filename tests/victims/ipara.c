/* SPDX-License-Identifier: MIT */
/*
 * The -fipa-ra trap: at -O2 gcc sees that leaf() touches only few registers, and caller() keeps its values in
 * caller-saved registers across the call. Code that replaces leaf() and clobbers those corrupts caller().
 */
#include "victim.h"

extern long leaf(long x), caller(long a, long b, long c, long d, long e);

__attribute__((noinline, visibility("hidden"))) long leaf(long x)
{
	return x * 3 + 1;
}

VICTIM long caller(long a, long b, long c, long d, long e)
{
	long r = leaf(a);
	return r + 2 * a + 3 * b + 5 * c + 7 * d + 11 * e;
}

/* The same, with values that must live in memory or in callee-saved registers anyway: no trap here. */
extern long plain_leaf(long x);
VICTIM long plain_leaf(long x)
{
	return x * 3 + 1;
}

int main(void)
{
	char line[VICTIM_LINE];
	victim_ready();
	while (victim_next(line)) {
		if (!strcmp(line, "caller"))
			victim_say("%ld", caller(1, 2, 3, 4, 5));
		else if (!strcmp(line, "leaf"))
			victim_say("%ld", leaf(4));
		else if (!strcmp(line, "plain_leaf"))
			victim_say("%ld", plain_leaf(4));
		else
			victim_say("error: no command %s", line);
	}
	return 0;
}
