/* SPDX-License-Identifier: MIT */
/* The other one: see same_a.c. */
#include "victim.h"

extern int same_b(void);

static volatile int state = 200;

static __attribute__((noinline)) int helper(void)
{
	OPAQUE();
	return state + 2;
}

VICTIM int same_b(void)
{
	return helper();
}
