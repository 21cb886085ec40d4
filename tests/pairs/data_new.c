// SPDX-License-Identifier: MIT
// EXPECT f changed
// DATA fresh added
// DATA table added
static int old;
int *get(void)
{
	return &old;
}
#ifdef PATCHED
static int fresh;
int table[3] = {1, 2, 3};
#endif
int f(int x)
{
#ifdef PATCHED
	fresh += table[x];
	return fresh + old++;
#else
	return old++;
#endif
}
