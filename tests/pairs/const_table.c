// SPDX-License-Identifier: MIT
// EXPECT look changed
// EXPECT name changed
// DATA? costs changed
// DATA? names changed
// DATA? reltable.name changed
int g(int), s(const char *);
static const int costs[] = {3, 1, 4,
#ifdef PATCHED
			    1, 6,
#else
			    1, 5,
#endif
			    9, 2, 6, 5, 3, 5, 8, 9, 7, 9, 3};
static const int stays[] = {2, 7, 1, 8, 2, 8, 1, 8, 2, 8, 4, 5, 9, 0, 4, 5};
static const char *const names[] = {"x", "y",
#ifdef PATCHED
				    "w"
#else
				    "z"
#endif
};
int look(int x)
{
	return g(costs[x & 15]);
}
int other(int x)
{
	return g(stays[x & 15]);
}
int name(int x)
{
	return s(names[x]);
}
