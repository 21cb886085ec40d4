// SPDX-License-Identifier: MIT
// DATA room changed
// PROBLEM data room
// EXPECT get changed
#ifdef PATCHED
static char room[200];
#else
static char room[100];
#endif
char *get(unsigned i)
{
	return i < sizeof(room) ? room + i : 0;
}
