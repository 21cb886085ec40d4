// SPDX-License-Identifier: MIT
// EXPECT f changed
// EXPECT handler added
int (*hook)(int);
__attribute__((noinline)) static int older(int x)
{
	return x + 5;
}
#ifdef PATCHED
static int handler(int x)
{
	return x + 6;
}
#endif
void f(int x)
{
#ifdef PATCHED
	hook = x ? older : handler;
#else
	hook = older;
#endif
}
