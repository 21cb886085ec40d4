// SPDX-License-Identifier: MIT
// EXPECT entry changed
// EXPECT helper added
int g(int);
#ifdef PATCHED
__attribute__((noinline)) static int helper(int x)
{
	return g(g(x) + 1);
}
#endif
int entry(int x)
{
#ifdef PATCHED
	return helper(x) + g(x);
#else
	return g(x);
#endif
}
int other(int x)
{
	return g(x - 1);
}
