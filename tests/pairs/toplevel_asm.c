// SPDX-License-Identifier: MIT
// PROBLEM unknown .text
int g(int);
int f(int x)
{
	return g(x);
}
#ifdef PATCHED
__asm__(".text\n.globl by_hand\nby_hand:\n\tmov $2, %eax\n\tret\n");
#else
__asm__(".text\n.globl by_hand\nby_hand:\n\tmov $1, %eax\n\tret\n");
#endif
