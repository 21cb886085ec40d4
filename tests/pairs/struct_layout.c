// SPDX-License-Identifier: MIT
// EXPECT second changed
struct thing {
	int first;
#ifdef PATCHED
	int between;
#endif
	int second;
};
int first(struct thing *t)
{
	return t->first;
}
int second(struct thing *t)
{
	return t->second;
}
