// SPDX-License-Identifier: MIT
// PROBLEM section entry_b
// DATA entry_b added
int g(int);
struct entry {
	const char *name;
	int (*fn)(int);
};
__attribute__((section("commands"), used)) static struct entry entry_a = {"a", g};
#ifdef PATCHED
__attribute__((section("commands"), used)) static struct entry entry_b = {"b", g};
#endif
int f(int x)
{
	return g(x);
}
