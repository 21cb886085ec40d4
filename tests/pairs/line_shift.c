// SPDX-License-Identifier: MIT
// Only lines move: no change, as the line tables prove.
// EXPECT check line-only
// EXPECT twice line-only
#include <assert.h>
#ifdef PATCHED
#line 100
#endif
int check(int x)
{
	assert(x > 0);
	return x * 3;
}
void say(const char *file, int line, int what);
void twice(int x)
{
	say(__FILE__, __LINE__, x);
	say(__FILE__, __LINE__, x + 1);
}
int unrelated(int x)
{
	return x + 1;
}
