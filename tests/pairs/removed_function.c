// SPDX-License-Identifier: MIT
// EXPECT gone removed
// EXPECT entry changed
int g(int);
#ifndef PATCHED
__attribute__((noinline)) int gone(int x)
{
	return g(g(x) + 1);
}
#endif
int entry(int x)
{
#ifdef PATCHED
	return g(x);
#else
	return gone(x) + g(x);
#endif
}
