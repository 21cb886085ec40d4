// SPDX-License-Identifier: MIT
// The same, but what changes is another function: nothing happened to them.
// EXPECT other changed
int g(int);
#ifdef __OPTIMIZE__
#define INLINE __attribute__((always_inline)) static inline
#else
#define INLINE static
#endif
INLINE int first(int x)
{
	static int count;
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
#ifdef PATCHED
	return g(x - 2);
#else
	return g(x - 1);
#endif
}
