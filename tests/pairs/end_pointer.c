// SPDX-License-Identifier: MIT
// A loop up to the end of one array, behind which another one begins.
// EXPECT sum changed
// PROBLEM? ambiguous sum
// DATA? fresh added
int g(long);
#ifdef PATCHED
static long fresh[8];
#endif
static long items[8];
static long others[8];
long *get(int x)
{
	return x ? items : others;
}
long sum(void)
{
	long n = 0;
	for (long *p = items; p != items + 8; p++)
		n += g(*p);
#ifdef PATCHED
	n += g(fresh[3]++);
#endif
	return n;
}
