// SPDX-License-Identifier: MIT
/* A program that uses it; waits until its standard input ends. */
#include <unistd.h>

int lib_answer(int x);
volatile int sink;

int main(void)
{
	char byte = 'r'; /* ready */
	sink = lib_answer(3);
	if (write(1, &byte, 1) != 1)
		return 1;
	while (read(0, &byte, 1) > 0)
		;
	return 0;
}
