// SPDX-License-Identifier: MIT
// A number that is no line moves by as much as the lines did: that is a change.
// EXPECT size changed
#ifdef PATCHED

#define SIZE 4097
#else
#define SIZE 4096
#endif
int size(void)
{
	return SIZE;
}
