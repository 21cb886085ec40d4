// SPDX-License-Identifier: MIT
// Everything in another order, nothing else. (gcc -O0 merges no constants: where the string before a number ends is not
// known, and what is not known to be the same has changed.)
// EXPECT?[gcc O0] a changed
// EXPECT?[gcc O0] b changed
#include <stdio.h>
#define A                                             \
	__attribute__((noinline)) static int a(int x) \
	{                                             \
		printf("a %d\n", x);                  \
		return x + va;                        \
	}
#define B                                             \
	__attribute__((noinline)) static int b(int x) \
	{                                             \
		printf("b %d %f\n", x, x * 1.5);      \
		return x + vb;                        \
	}
#define C                                                     \
	int c(int x)                                          \
	{                                                     \
		return a(x) + b(x) + (x ? vc++ : sizeof(rc)); \
	}
#ifdef PATCHED
static int vc = 7;
static char rc[40];
static int vb = 2;
static int va = 1;
B A int d(int x)
{
	return x ? rc[x] : b(x) + a(x);
}
C
#else
static int va = 1;
static int vb = 2;
static char rc[40];
static int vc = 7;
A B C int d(int x)
{
	return x ? rc[x] : b(x) + a(x);
}
#endif
	int *
	keep(int x)
{
	return x == 1 ? &va : x == 2 ? &vb : &vc;
}
char *keep_room(void)
{
	return rc;
}
