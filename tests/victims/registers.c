/* SPDX-License-Identifier: MIT */
/*
 * Threads with everything live: general registers, vector registers (as wide as the CPU has), MXCSR, x87
 * control word, flags, 128 bytes of red zone. "spin" threads hold it in a loop, "sleep" threads across a raw
 * read() system call. What comes back different is counted. report -> "rounds=… bad=…"
 */
#define _GNU_SOURCE
#include "victim.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

static atomic_ulong rounds, bad;
static int gate[2];

extern int value(void);
VICTIM int value(void)
{
	OPAQUE();
	return 1;
}

/*
 * Fills everything from seed, then spins `count` times or, when fd is not negative, reads one byte from fd;
 * then compares. Returns a bit mask of what differed.
 */
extern uint64_t registers_round(uint64_t seed, long count, long fd, int wide);
__asm__(".text\n"
	".globl registers_round\n.type registers_round, @function\n"
	"registers_round:\n"
	"	push %rbx\n	push %rbp\n	push %r12\n	push %r13\n	push %r14\n	push %r15\n"
	"	push %rdi\n"		/* seed at 0x88(%rsp) once the frame is down */
	"	sub $0x88, %rsp\n"	/* a frame; what lies below %rsp is the red zone */
	"	mov %rcx, 0x80(%rsp)\n" /* wide */
	/* vector registers: xmm or ymm i = seed + i in each lane */
	"	mov %rdi, %rax\n"
	".macro FILL i\n"
	"	movq %rax, %xmm\\i\n	punpcklqdq %xmm\\i, %xmm\\i\n	inc %rax\n"
	".endm\n"
	"	FILL 0\n	FILL 1\n	FILL 2\n	FILL 3\n	FILL 4\n	FILL "
	"5\n	FILL 6\n	FILL 7\n"
	"	FILL 8\n	FILL 9\n	FILL 10\n	FILL 11\n	FILL 12\n	FILL "
	"13\n	FILL 14\n	FILL 15\n"
	"	cmpq $0, 0x80(%rsp)\n	je 1f\n"
	".macro WIDEN i\n	vinsertf128 $1, %xmm\\i, %ymm\\i, %ymm\\i\n.endm\n"
	"	WIDEN 0\n	WIDEN 1\n	WIDEN 2\n	WIDEN 3\n	WIDEN 4\n	WIDEN "
	"5\n	WIDEN 6\n	WIDEN 7\n"
	"	WIDEN 8\n	WIDEN 9\n	WIDEN 10\n	WIDEN 11\n	WIDEN 12\n	WIDEN "
	"13\n	WIDEN 14\n	WIDEN 15\n"
	"1:\n"
	/* MXCSR round-up, x87 single precision */
	"	stmxcsr 0x78(%rsp)\n	mov 0x78(%rsp), %eax\n	mov %eax, 0x70(%rsp)\n"
	"	and $~0x6000, %eax\n	or $0x4000, %eax\n	mov %eax, 0x78(%rsp)\n	ldmxcsr 0x78(%rsp)\n"
	"	fnstcw 0x68(%rsp)\n	movzwl 0x68(%rsp), %eax\n	mov %eax, 0x60(%rsp)\n"
	"	and $~0x300, %eax\n	mov %ax, 0x68(%rsp)\n	fldcw 0x68(%rsp)\n	fld1\n	fldpi\n"
	/* red zone */
	".set k, 8\n.rept 16\n	lea k(%rdi), %rax\n	mov %rax, -k(%rsp)\n	.set k, k + 8\n.endr\n"
	/* general registers: rbx, rbp, r8, r9, r10, r12-r15 from the seed; rsi: count; rdx: fd */
	"	lea 101(%rdi), %rbx\n	lea 102(%rdi), %rbp\n	lea 103(%rdi), %r8\n	lea 104(%rdi), %r9\n"
	"	lea 105(%rdi), %r10\n	lea 106(%rdi), %r12\n	lea 107(%rdi), %r13\n	lea 108(%rdi), %r14\n"
	"	lea 109(%rdi), %r15\n"
	"	test %rdx, %rdx\n	jns 3f\n"
	"	lea 110(%rdi), %rax\n	lea 111(%rdi), %rcx\n	lea 112(%rdi), %r11\n"
	"	std\n" /* a flag that C code would never have set */
	"2:	dec %rsi\n	jnz 2b\n"
	/* flags without touching the red zone: DF is seen by what a string instruction does to rsi */
	"	mov %rdi, %rdx\n	lea 0x50(%rsp), %rsi\n	lodsb\n	cld\n"
	"	lea 0x4f(%rsp), %rdi\n	cmp %rdi, %rsi\n	mov %rdx, %rdi\n"
	"	mov $0, %esi\n	je 1f\n	or $0x10000, %rsi\n1:\n"
	/* lodsb wrote al: give it back from the seed before comparing the upper part */
	"	lea 110(%rdi), %rdx\n	mov %dl, %al\n	cmp %rdx, %rax\n	je 1f\n	or $1, %rsi\n1:\n"
	"	lea 111(%rdi), %rdx\n	cmp %rdx, %rcx\n	je 1f\n	or $2, %rsi\n1:\n"
	"	lea 112(%rdi), %rdx\n	cmp %rdx, %r11\n	je 1f\n	or $4, %rsi\n1:\n"
	"	jmp 4f\n"
	/* the system call: read(fd, frame, 1) must give 1 and leave all but rax, rcx, r11 alone */
	"3:	mov %rdx, %rdi\n	lea 0x50(%rsp), %rsi\n	mov $1, %edx\n	xor %eax, %eax\n	"
	"syscall\n"
	"	mov 0x88(%rsp), %rdi\n"
	"	lea 0x50(%rsp), %rcx\n	cmp %rcx, %rsi\n	mov $0, %esi\n	je 1f\n	or $0x20000, "
	"%rsi\n1:\n"
	"	cmp $1, %rdx\n	je 1f\n	or $0x40000, %rsi\n1:\n"
	"	cmp $1, %rax\n	je 1f\n	or $0x80000, %rsi\n1:\n"
	"4:\n"
	".macro SAME reg add bit\n	lea \\add(%rdi), %rdx\n	cmp %rdx, %\\reg\n	je 1f\n	or $\\bit, "
	"%rsi\n1:\n.endm\n"
	"	SAME rbx 101 0x8\n	SAME rbp 102 0x10\n	SAME r8 103 0x20\n	SAME r9 104 0x40\n"
	"	SAME r10 105 0x80\n	SAME r12 106 0x100\n	SAME r13 107 0x200\n	SAME r14 108 0x400\n"
	"	SAME r15 109 0x800\n"
	".set k, 8\n.rept 16\n	lea k(%rdi), %rdx\n	cmp %rdx, -k(%rsp)\n	je 1f\n	or $0x1000, "
	"%rsi\n1:\n"
	"	.set k, k + 8\n.endr\n"
	/* control words, x87 stack */
	"	mov 0x78(%rsp), %ecx\n	stmxcsr 0x78(%rsp)\n	mov 0x78(%rsp), %edx\n"
	"	and $0xffc0, %ecx\n	and $0xffc0, %edx\n	cmp %ecx, %edx\n	je 1f\n	or $0x2000, "
	"%rsi\n1:\n"
	"	movzwl 0x68(%rsp), %ecx\n	fnstcw 0x58(%rsp)\n	movzwl 0x58(%rsp), %edx\n"
	"	cmp %ecx, %edx\n	je 1f\n	or $0x4000, %rsi\n1:\n"
	"	fldpi\n	fcomip %st(1), %st\n	je 1f\n	or $0x8000, %rsi\n1:	fstp %st\n"
	"	fld1\n	fcomip %st(1), %st\n	je 1f\n	or $0x8000, %rsi\n1:	fstp %st\n"
	/* vector registers */
	"	mov %rdi, %rax\n"
	".macro LOOK i\n	movq %xmm\\i, %rdx\n	cmp %rax, %rdx\n	je 1f\n	or $0x100000, "
	"%rsi\n1:\n"
	"	punpckhqdq %xmm\\i, %xmm\\i\n	movq %xmm\\i, %rdx\n	cmp %rax, %rdx\n	je 1f\n	or "
	"$0x200000, %rsi\n1:\n"
	"	inc %rax\n.endm\n"
	".macro HIGH i\n	vextractf128 $1, %ymm\\i, %xmm\\i\n.endm\n"
	"	LOOK 0\n	LOOK 1\n	LOOK 2\n	LOOK 3\n	LOOK 4\n	LOOK "
	"5\n	LOOK 6\n	LOOK 7\n"
	"	LOOK 8\n	LOOK 9\n	LOOK 10\n	LOOK 11\n	LOOK 12\n	LOOK "
	"13\n	LOOK 14\n	LOOK 15\n"
	"	cmpq $0, 0x80(%rsp)\n	je 5f\n"
	"	HIGH 0\n	HIGH 1\n	HIGH 2\n	HIGH 3\n	HIGH 4\n	HIGH "
	"5\n	HIGH 6\n	HIGH 7\n"
	"	HIGH 8\n	HIGH 9\n	HIGH 10\n	HIGH 11\n	HIGH 12\n	HIGH "
	"13\n	HIGH 14\n	HIGH 15\n"
	"	mov %rdi, %rax\n"
	"	LOOK 0\n	LOOK 1\n	LOOK 2\n	LOOK 3\n	LOOK 4\n	LOOK "
	"5\n	LOOK 6\n	LOOK 7\n"
	"	LOOK 8\n	LOOK 9\n	LOOK 10\n	LOOK 11\n	LOOK 12\n	LOOK "
	"13\n	LOOK 14\n	LOOK 15\n"
	"	vzeroupper\n"
	"5:	ldmxcsr 0x70(%rsp)\n	fldcw 0x60(%rsp)\n"
	"	mov %rsi, %rax\n"
	"	add $0x90, %rsp\n"
	"	pop %r15\n	pop %r14\n	pop %r13\n	pop %r12\n	pop %rbp\n	pop "
	"%rbx\n	ret\n"
	".size registers_round, . - registers_round\n");

static int wide;
static atomic_ulong last_difference;

static void count(uint64_t difference)
{
	atomic_fetch_add(&rounds, 1);
	if (difference) {
		atomic_fetch_add(&bad, 1);
		atomic_store(&last_difference, difference);
	}
}

static void *spin(void *argument)
{
	for (uint64_t seed = 0x1234567800000000ull + (uintptr_t)argument * 1000;; seed += 17)
		count(registers_round(seed, 200000, -1, wide));
	return NULL;
}

static void *sleeper(void *argument)
{
	for (uint64_t seed = 0x7654321000000000ull + (uintptr_t)argument * 1000;; seed += 19)
		count(registers_round(seed, 0, gate[0], wide));
	return NULL;
}

int main(int argc, char **argv)
{
	int spinners = argc > 1 ? atoi(argv[1]) : 2, sleepers = argc > 2 ? atoi(argv[2]) : 2;
	char line[VICTIM_LINE];
	wide = __builtin_cpu_supports("avx") ? 1 : 0;
	if (pipe(gate))
		return 1;
	for (int i = 0; i < spinners + sleepers; i++) {
		pthread_t t;
		if (pthread_create(&t, NULL, i < spinners ? spin : sleeper, (void *)(uintptr_t)(i + 1)))
			return 1;
	}
	victim_ready();
	while (victim_next(line)) {
		if (!strcmp(line, "report")) {
			victim_say("rounds=%lu bad=%lu difference=%#lx", atomic_load(&rounds),
				   atomic_load(&bad), atomic_load(&last_difference));
		} else if (!strcmp(line, "wake")) { /* every sleeper comes back once */
			for (int i = 0; i < sleepers; i++)
				if (write(gate[1], "x", 1) != 1)
					return 1;
			victim_say("woken");
		} else if (!strcmp(line, "value")) {
			victim_say("%d", value());
		} else {
			victim_say("error: no command %s", line);
		}
	}
	return 0;
}
