// SPDX-License-Identifier: MIT
// __LINE__ as the argument of a call that is inlined, and its negative; beside it a number that is none, and moves as much.
// EXPECT user line-only
// EXPECT negated line-only
// EXPECT limited changed
#ifdef PATCHED
#define LIMIT 2017
#define FIRST 2001
#else
#define LIMIT 2016
#define FIRST 2000
#endif
void note(const char *file, int line);
int other(int line);
static inline int checked(int n, int line)
{
	if (n < 0)
		note("file", line);
	return n + 1;
}
static inline int limit(int n, int most)
{
	if (n > most)
		note("file", 1);
	return n + 1;
}
#line FIRST
int user(int n)
{
	n *= 3;
	return checked(n, __LINE__) * 2;
}
int negated(int n)
{
	return n > 5 ? other(-__LINE__) : n;
}
int limited(int n, int m)
{
	n *= 3;
	if (n > 10)
		return other(n);
	return n + limit(m, LIMIT) * 2;
}
