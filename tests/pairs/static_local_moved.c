// SPDX-License-Identifier: MIT
// The variable belongs to another function now: whether it is meant to keep its value, nobody can tell.
// EXPECT f changed
// EXPECT h changed
// PROBLEM[gcc] ambiguous state
// DATA[clang] h.state added
// DATA[clang] f.state removed
int g(int);
int f(int x)
{
#ifndef PATCHED
	static int state;
	state += x;
	return g(state);
#else
	return g(x);
#endif
}
int h(int x)
{
#ifdef PATCHED
	static int state;
	state += x;
	return g(state);
#else
	return g(x);
#endif
}
