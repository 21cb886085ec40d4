// SPDX-License-Identifier: MIT
// A function gets a second static variable of a name that it has one of already, before that one.
// EXPECT f changed
// PROBLEM[gcc] ambiguous count
// PROBLEM[gcc] data count
// PROBLEM[clang] ambiguous f.count
// PROBLEM[clang] data f.count
// PROBLEM? ambiguous f
// DATA? count added
// DATA? count removed
// DATA? f.count added
// DATA? f.count removed
int g(int *);
int f(int x)
{
#ifdef PATCHED
	if (x) {
		static int count;
		g(&count);
	}
#endif
	static int count;
	return g(&count);
}
