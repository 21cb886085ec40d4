// SPDX-License-Identifier: MIT
// EXPECT bump changed
// DATA fresh added
// PROBLEM tls fresh
static __thread int mine = 3;
#ifdef PATCHED
static __thread int fresh = 5;
#endif
int bump(void)
{
#ifdef PATCHED
	return mine++ + fresh++;
#else
	return mine++;
#endif
}
int look(void)
{
	return mine;
}
