// SPDX-License-Identifier: MIT
/*
 * The -fipa-ra trap: keeper() keeps x in rcx over a call of quiet(), which is seen to leave it alone. In
 * assembler, so that every compiler makes it.
 */
__asm__(".text\n"
	".type quiet, @function\n"
	"quiet: leal (%rdi,%rdi,2), %eax\n addl $1, %eax\n ret\n.size quiet, . - quiet\n"
	".globl keeper\n.type keeper, @function\n"
	"keeper: movl %edi, %ecx\n call quiet\n addl %ecx, %eax\n ret\n.size keeper, . - keeper\n");

int keeper(int x);

int main(int argc, char **argv)
{
	(void)argv;
	return keeper(argc) == 5 ? 0 : 1;
}
