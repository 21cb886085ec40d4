/* SPDX-License-Identifier: MIT */
/*
 * The functions that gate.c and epoch.c have replaced: f0 … f127, dwell0 … dwell3, climb(), leap(). Every one
 * tells which version of it ran and who it is: version * 1000 + its number, so that a jump to a neighbour's
 * replacement is noticed as well as old code. They begin with what compilers let functions begin with, and
 * lie where it hurts: by number modulo 16,
 *
 *   0  mov, aligned                   8  endbr64
 *   1  mov, packed behind the former  9  a conditional branch, packed
 *   2  the same                      10  three bytes before the end of a cache line
 *   3  push %rbp                     11  three bytes before the end of a page (to 59), else one before a
 * line's 4  a RIP-relative load           12  sub from %rsp 5  call rel32                    13  lea of a
 * RIP-relative address 6  jmp rel8                      14  mov, packed, with one byte to the next 7  a
 * RIP-relative compare with   15  two bytes: xor an immediate operand
 */
#ifndef VICTIM_SITES_H
#define VICTIM_SITES_H

#include "victim.h"

#include <setjmp.h>

#define SITES	   128
#define DWELLS	   4
#define SITE_DWELL 128 /* numbers of those that are no f */
#define SITE_CLIMB 132
#define SITE_LEAP  133
#define SITE_PARK  134

/* What the bodies below refer to. */
extern int sites_never, sites_values[SITES];
int sites_never;
int sites_values[SITES];
extern int (*const sites[SITES])(void);

/* clang-format off */
#define SITES_ALL "0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31," \
	"32,33,34,35,36,37,38,39,40,41,42,43,44,45,46,47,48,49,50,51,52,53,54,55,56,57,58,59,60,61,62,63," \
	"64,65,66,67,68,69,70,71,72,73,74,75,76,77,78,79,80,81,82,83,84,85,86,87,88,89,90,91,92,93,94,95," \
	"96,97,98,99,100,101,102,103,104,105,106,107,108,109,110,111,112,113,114,115,116,117,118,119,120," \
	"121,122,123,124,125,126,127"

__asm__(".text\n"
	/* Called by those of kind 5, and replaced by nobody. */
	".p2align 4\n.type sites_zero, @function\n"
	"sites_zero: .cfi_startproc\n xor %eax, %eax\n ret\n .cfi_endproc\n.size sites_zero, . - sites_zero\n"
	".irp i, " SITES_ALL "\n"
	".if (\\i % 16 == 10)\n .p2align 6\n .skip 61, 0xcc\n"
	".elseif (\\i % 16 == 11) && (\\i < 64)\n .p2align 12\n .skip 4093, 0xcc\n"
	".elseif (\\i % 16 == 11)\n .p2align 6\n .skip 63, 0xcc\n"
	".elseif (\\i % 16 != 1) && (\\i % 16 != 2) && (\\i % 16 != 9) && (\\i % 16 != 14)\n .p2align 4, 0xcc\n"
	".endif\n"
	".globl f\\i\n.type f\\i, @function\n"
	"f\\i: .cfi_startproc\n"
	".if \\i % 16 == 3\n"
	"	push %rbp\n	.cfi_adjust_cfa_offset 8\n	.cfi_offset %rbp, -16\n	mov %rsp, %rbp\n"
	"	mov $\\i, %eax\n	pop %rbp\n	.cfi_adjust_cfa_offset -8\n	ret\n"
	".elseif \\i % 16 == 4\n"
	"	mov sites_values+4*\\i(%rip), %eax\n	ret\n"
	".elseif \\i % 16 == 5\n"
	"	call sites_zero\n	add $\\i, %eax\n	ret\n"
	".elseif \\i % 16 == 6\n"
	"	jmp 1f\n	mov $-1, %eax\n	ret\n1:	mov $\\i, %eax\n	ret\n"
	".elseif \\i % 16 == 7\n"
	"	cmpl $0, sites_never(%rip)\n	jne 1f\n	mov $\\i, %eax\n	ret\n"
	"1:	mov $-1, %eax\n	ret\n"
	".elseif \\i % 16 == 8\n"
	"	endbr64\n	mov $\\i, %eax\n	ret\n"
	".elseif \\i % 16 == 9\n"
	"	jne 1f\n	mov $\\i, %eax\n	ret\n1:	mov $\\i, %eax\n	ret\n"
	".elseif \\i % 16 == 12\n"
	"	sub $24, %rsp\n	.cfi_adjust_cfa_offset 24\n	mov $\\i, %eax\n"
	"	add $24, %rsp\n	.cfi_adjust_cfa_offset -24\n	ret\n"
	".elseif \\i % 16 == 13\n"
	"	lea sites_values(%rip), %rax\n	mov 4*\\i(%rax), %eax\n	ret\n"
	".elseif \\i % 16 == 15\n"
	"	xor %eax, %eax\n	add $\\i, %eax\n	ret\n"
	".else\n"
	"	mov $\\i, %eax\n	ret\n"
	".endif\n"
	" .cfi_endproc\n.size f\\i, . - f\\i\n"
	".endr\n"
	".section .data.rel.ro, \"aw\"\n.p2align 3\n.globl sites\n.type sites, @object\nsites:\n"
	".irp i, " SITES_ALL "\n .quad f\\i\n.endr\n.size sites, . - sites\n.text\n");
/* clang-format on */

/* A result that no compiler may know beforehand: clang looks through calls for constants. */
static inline __attribute__((always_inline)) int sites_result(int result)
{
	__asm__ volatile("" : "+r"(result));
	return result;
}

/*
 * dwell: is anybody inside another version at this moment? Exact under global consistency: the counting is
 * done between the function's first and last instruction, so a thread that is counted is inside and nothing
 * may be switched. Payloads have the same lines with another version (tests/e2e/epoch.py).
 */
extern int epoch_inside[3];
extern long epoch_mixed;
int epoch_inside[3];
long epoch_mixed;

#define DWELL(version)                                                                               \
	do {                                                                                         \
		__atomic_add_fetch(&epoch_inside[version], 1, __ATOMIC_SEQ_CST);                     \
		for (int k = 0; k < 8; k++)                                                          \
			if (__atomic_load_n(&epoch_inside[((version) + 1) % 3], __ATOMIC_SEQ_CST) || \
			    __atomic_load_n(&epoch_inside[((version) + 2) % 3], __ATOMIC_SEQ_CST))   \
				__atomic_add_fetch(&epoch_mixed, 1, __ATOMIC_SEQ_CST);               \
		__atomic_sub_fetch(&epoch_inside[version], 1, __ATOMIC_SEQ_CST);                     \
	} while (0)

#define DWELL_FUNCTION(n)                            \
	extern int dwell##n(void);                   \
	VICTIM int dwell##n(void)                    \
	{                                            \
		DWELL(0);                            \
		return sites_result(SITE_DWELL + n); \
	}
DWELL_FUNCTION(0)
DWELL_FUNCTION(1)
DWELL_FUNCTION(2)
DWELL_FUNCTION(3)

/* Recursion: a frame of another version above or below is a mixture. */
extern int climb(int depth);
VICTIM int climb(int depth)
{
	OPAQUE();
	if (depth <= 0)
		return sites_result(SITE_CLIMB);
	int r = climb(depth - 1);
	OPAQUE();
	return sites_result(r == SITE_CLIMB ? r : -1);
}

/* Leaves by longjmp(). */
extern void leap(jmp_buf *back);
VICTIM void leap(jmp_buf *back)
{
	OPAQUE();
	longjmp(*back, SITE_LEAP);
}

static inline void sites_prepare(void)
{
	for (int i = 0; i < SITES; i++)
		sites_values[i] = i;
}

#endif
