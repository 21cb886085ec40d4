// SPDX-License-Identifier: MIT
// __func__ and tables that compilers make get other numbers.
// EXPECT added added
// DATA? __func__ added
// DATA? __func__ changed
// DATA? __func__.added added
// DATA? __PRETTY_FUNCTION__ added
// DATA? __PRETTY_FUNCTION__.added added
int say(const char *);
#ifdef PATCHED
int added(int x)
{
	return say(__func__) + x;
}
#endif
int one(int x)
{
	return say(__func__) + x;
}
int two(int x)
{
	static const int table[] = {3, 1, 4, 1, 5, 9, 2, 6};
	return say(__func__) + table[x & 7];
}
const char *three(int x)
{
	switch (x) {
	case 1:
		return "one";
	case 2:
		return "two";
	case 3:
		return "three";
	case 4:
		return "four";
	case 5:
		return "five";
	}
	return "many";
}
