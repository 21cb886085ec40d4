// SPDX-License-Identifier: MIT
// Two variables of one name, both used by one function after inlining: with gcc, the number is all that tells them apart.
// EXPECT[O2,Os] both changed
// EXPECT[O0] first changed
// EXPECT? first changed
// PROBLEM[gcc O2] ambiguous count
// PROBLEM[gcc Os] ambiguous count
int g(int);
#ifdef __OPTIMIZE__
#define INLINE __attribute__((always_inline)) static inline
#else
#define INLINE static
#endif
INLINE int first(int x)
{
	static int count;
#ifdef PATCHED
	g(x + 7);
#endif
	return g(x) + count++;
}
INLINE int second(int x)
{
	static int count;
	return g(x) - count++;
}
int both(int x)
{
	return first(x) + second(x);
}
int other(int x)
{
	return g(x - 1);
}
