// SPDX-License-Identifier: MIT
// A new function has a static variable of a name that others have; theirs get other numbers.
// EXPECT added added
// DATA? count added
// DATA? added.count added
int g(int);
#ifdef PATCHED
int added(int x)
{
	static int count;
	return g(x) + count++;
}
#endif
int one(int x)
{
	static int count;
	return g(x) + count++;
}
int two(int x)
{
	static int count;
	return g(x + 1) + (count += 2);
}
