// SPDX-License-Identifier: MIT
// EXPECT[O0] work changed
// EXPECT? work changed
// EXPECT? work.constprop changed
// EXPECT? work.isra changed
int g(int);
__attribute__((noinline)) static int work(int x, int mode)
{
	int n = 0;
	for (int i = 0; i < x; i++)
		n += g(i + mode);
#ifdef PATCHED
	n += g(mode);
#endif
	return n;
}
int a(int x)
{
	return work(x, 3);
}
int b(int x)
{
	return work(x + 1, 3);
}
