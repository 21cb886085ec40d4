// SPDX-License-Identifier: MIT
// EXPECT[O0] clamp changed
// EXPECT[O2,Os] one changed
// EXPECT[O2,Os] two changed
#ifdef __OPTIMIZE__
__attribute__((always_inline))
#endif
static inline int
clamp(int x)
{
#ifdef PATCHED
	return x < 0 ? 0 : x;
#else
	return x;
#endif
}
int one(int x)
{
	return clamp(x) + 1;
}
int two(int x)
{
	return clamp(x) + 2;
}
int three(int x)
{
	return x + 3;
}
