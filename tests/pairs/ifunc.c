// SPDX-License-Identifier: MIT
// EXPECT caller changed
// EXPECT resolve changed
// PROBLEM symbol resolve
static int plain(int x)
{
	return x + 1;
}
static int fancy(int x)
{
	return x + 2;
}
typedef int fn(int);
static int choice(int x)
{
	return x - 1;
}
fn *resolve(void) __asm__("resolve");
fn *resolve(void)
{
#ifdef PATCHED
	return fancy;
#else
	return plain;
#endif
}
int pick(int) __attribute__((ifunc("resolve")));
int caller(int x)
{
#ifdef PATCHED
	return pick(x) + 1;
#else
	return pick(x);
#endif
}
fn *keep(int x)
{
	return x == 1 ? plain : x == 2 ? fancy : choice;
}
