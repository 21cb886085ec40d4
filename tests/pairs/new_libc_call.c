// SPDX-License-Identifier: MIT
// EXPECT entry changed
#include <string.h>
unsigned long entry(const char *s, unsigned long n)
{
#ifdef PATCHED
	return strnlen(s, n);
#else
	return strlen(s);
#endif
}
