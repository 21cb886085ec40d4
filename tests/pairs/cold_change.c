// SPDX-License-Identifier: MIT
// EXPECT f changed
// EXPECT? f.cold changed
#include <stdlib.h>
void report(int) __attribute__((cold));
int g(int);
int f(int x)
{
	if (x < 0) {
#ifdef PATCHED
		report(2);
#else
		report(1);
#endif
		abort();
	}
	return g(x) + 1;
}
int other(int x)
{
	if (x < 0) {
		report(3);
		abort();
	}
	return g(x) + 2;
}
