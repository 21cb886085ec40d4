// SPDX-License-Identifier: MIT
// EXPECT f changed
// EXPECT? f.cold added
#include <stdlib.h>
void report(int) __attribute__((cold));
int g(int);
int f(int x)
{
#ifdef PATCHED
	if (x < 0) {
		report(x);
		abort();
	}
#endif
	return g(x) + 1;
}
int other(int x)
{
	return g(x) + 2;
}
