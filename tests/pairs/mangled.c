// SPDX-License-Identifier: MIT
// Names with dots and numbers that no compiler made up.
// EXPECT v2.alpha changed
int g(int);
int one(int) __asm__("v2.alpha") __attribute__((noinline));
int two(int) __asm__("v2.beta.x") __attribute__((noinline));
int one(int x)
{
#ifdef PATCHED
	return g(x) + 2;
#else
	return g(x) + 1;
#endif
}
int two(int x)
{
	return g(x) * 3;
}
int call(int x)
{
	return one(x) + two(x);
}
