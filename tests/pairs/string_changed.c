// SPDX-License-Identifier: MIT
// EXPECT greet changed
#include <stdio.h>
void before(void)
{
	puts("the first of all");
}
void greet(void)
{
#ifdef PATCHED
	puts("good morning");
#else
	puts("good evening!");
#endif
}
void after(void)
{
	puts("the last of all");
}
