// SPDX-License-Identifier: MIT
// A variable before others moves them all in their section.
// EXPECT entry changed
// DATA fresh added
int g(int *), s(const char *);
#ifdef PATCHED
static int fresh[5];
#endif
static int first[10], second[20];
static const char *const words[] = {"zero", "one", "two", "three"};
int entry(int x)
{
#ifdef PATCHED
	return g(fresh + x);
#else
	return g(first + x);
#endif
}
int middle(void)
{
	return g(first + 4) + g(second + 7);
}
int word(int x)
{
	return s(words[x]);
}
int both(int x)
{
	first[3] = second[x];
	return g(first);
}
