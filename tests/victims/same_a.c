/* SPDX-License-Identifier: MIT */
/* One of two files with a static function and a static variable of the same names. */
#include "victim.h"

extern int same_a(void), same_b(void);

static volatile int state = 100;

static __attribute__((noinline)) int helper(void)
{
	OPAQUE();
	return state + 1;
}

VICTIM int same_a(void)
{
	return helper();
}

int main(void)
{
	char line[VICTIM_LINE];
	victim_ready();
	while (victim_next(line))
		victim_say("%d %d", same_a(), same_b());
	return 0;
}
