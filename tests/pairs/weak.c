// SPDX-License-Identifier: MIT
// EXPECT fallback changed
// PROBLEM symbol fallback
int g(int);
__attribute__((weak, noinline)) int fallback(int x)
{
#ifdef PATCHED
	return g(x) + 1;
#else
	return g(x);
#endif
}
int use(int x)
{
	return fallback(x) + 3;
}
