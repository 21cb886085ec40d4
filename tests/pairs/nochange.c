// SPDX-License-Identifier: MIT
// The same twice.
#include <stdio.h>
static int count;
int next(void)
{
	printf("%d\n", count);
	return ++count;
}
