// SPDX-License-Identifier: MIT
// EXPECT limit changed
__attribute__((noinline)) int limit(int x)
{
#ifdef PATCHED
	return x > 200 ? 200 : x;
#else
	return x > 100 ? 100 : x;
#endif
}
int other(int x)
{
	return limit(x) + 1;
}
