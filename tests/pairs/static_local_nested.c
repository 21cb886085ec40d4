// SPDX-License-Identifier: MIT
// Variables of one name, one of them used through an inlined function as well: all users of each tell them apart.
// EXPECT caller changed
int g(int *);
__attribute__((noinline)) static int inner(int x)
{
	static int count;
	return g(&count) + x;
}
__attribute__((noinline)) int outer(int x)
{
	static int count;
	return g(&count) + inner(x);
}
int also(int x)
{
	return inner(x) * 2;
}
int caller(int x)
{
#ifdef PATCHED
	return outer(x) + 2;
#else
	return outer(x) + 1;
#endif
}
