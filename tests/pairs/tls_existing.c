// SPDX-License-Identifier: MIT
// EXPECT bump changed
static __thread int mine = 3;
__thread int shared;
int bump(void)
{
#ifdef PATCHED
	shared++;
#endif
	return mine++;
}
int look(void)
{
	return shared + mine;
}
