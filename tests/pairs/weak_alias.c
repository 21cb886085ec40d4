// SPDX-License-Identifier: MIT
// A function with a second, weak name is no weak function.
// EXPECT work changed
int g(int);
int work(int x)
{
#ifdef PATCHED
	return g(x) + 1;
#else
	return g(x);
#endif
}
int work_too(int) __attribute__((weak, alias("work")));
int use(int x)
{
	return work_too(x) + 3;
}
