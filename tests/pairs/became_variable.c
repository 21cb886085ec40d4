// SPDX-License-Identifier: MIT
// DATA? mode added
// DATA? mode removed
// EXPECT? f changed
// EXPECT? set changed
// PROBLEM data mode
// PROBLEM? symbol mode
#ifdef PATCHED
int mode = 3;
#else
const int mode = 3;
#endif
const int *f(void)
{
	return &mode;
}
