/* SPDX-License-Identifier: MIT */
#include "victim.h"

__attribute__((noinline)) static int twin(int x)
{
	__asm__ volatile("");
	return x + 2;
}

void victim_b_report(say_fn *say)
{
	say("twin_b", (unsigned long)twin);
}
