// SPDX-License-Identifier: MIT
// EXPECT start added
// PROBLEM start .init_array
int g(int);
#ifdef PATCHED
__attribute__((constructor)) static void start(void)
{
	g(1);
}
#endif
int f(int x)
{
	return g(x);
}
