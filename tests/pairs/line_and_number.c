// SPDX-License-Identifier: MIT
// A number that is no line moves by as much as the lines did: that is a change.
// EXPECT size changed
#ifdef PATCHED
#define SIZE 131
#line 21
#else
#define SIZE 130
#line 20
#endif
int size(void)
{
	return SIZE;
}
