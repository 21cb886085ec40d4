/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "process/net/code.h"

#include <signal.h>
#include <ucontext.h>

#ifndef __x86_64__
#error "the net is written for x86-64"
#endif

/*
 * Never run here: it lies in read-only data and is copied. State and data are at fixed distances, so every
 * reference is to a label of this very section and nothing is relocated. No stack but the kernel's signal
 * frame is used, about 200 bytes below it.
 *
 * Offsets: data  8 n_sites, 16 n_late, 24 helper, 32 word_address, 40 old_word, 48 trap_byte, 56 trap_adjust,
 *		  64 trap_number, 72 signal, 80 sites, 128 programs (40 bytes each)
 *	    site  0 address, 8 old_to, 16 new_to, 24 length, 32 old_bytes, 64 new_bytes (96 in all)
 *	    ucontext  160 rsp, 168 rip, 200 number of the exception; siginfo  8 si_code
 * A frame made by the kernel has its siginfo 304 bytes behind the ucontext. A handler of the program's may
 * call an entry as a function, and where the action was a plain signal() with one argument only: then these
 * two registers hold anything and are not looked into.
 */
/* clang-format off */
__asm__(".pushsection .rodata\n"
	".balign 64\n"
	".globl net_code\n.hidden net_code\n"
	"net_code:\n"
	".set net_retried, net_code + 4096\n"
	".set net_fired, net_code + 4096 + 1024\n"
	".set net_data, net_code + 8192\n"
	".set net_programs, net_code + 8192 + 128\n"
	"	.ascii \"uspnet01\"\n"
	"	.org net_code + 64\n"

	/* The entries. Pops and the jump leave the flags alone that popfq has restored. */
	".irp k,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23\n"
	"	.org net_code + 64 + 64 * \\k\n"
	"	endbr64\n"
	"	pushfq\n"
	"	push %rax\n	push %rcx\n	push %rdx\n	push %rsi\n	push %rdi\n"
	"	push %rbx\n	push %r10\n	push %r11\n"
	"	lea net_programs + 40 * \\k(%rip), %rbx\n"
	"	lea net_fired + 8 * \\k(%rip), %r10\n"
	"	call net_decide\n"
	"	test %eax, %eax\n"
	"	pop %r11\n	pop %r10\n	pop %rbx\n"
	"	pop %rdi\n	pop %rsi\n	pop %rdx\n	pop %rcx\n	pop %rax\n"
	"	.byte 0x75, 2\n"	/* jnz 1f; clang would take the long form */
	"	popfq\n"
	"	ret\n"		/* to the restorer, which the kernel put there */
	"1:	popfq\n"
	"	jmp *net_programs + 40 * \\k(%rip)\n"
	".endr\n"
	"	.org net_code + 64 + 64 * 24\n"

	/* rdi signal, rsi siginfo, rdx ucontext, rbx the program's action, r10 its fired word.
	 * eax: 0 return, 1 hand on. */
	"net_decide:\n"
	"	push %r8\n	push %r9\n	push %r12\n"
	"	lea net_data(%rip), %r8\n"
	"	lea 304(%rdx), %rax\n"
	"	cmp %rax, %rsi\n"
	"	jne net_program\n"
	"	cmp 72(%r8), %edi\n"
	"	jne net_program\n"
	"	cmpl $0, 8(%rsi)\n"	/* sent by somebody */
	"	jle net_program\n"
	"	mov 64(%r8), %rax\n"
	"	cmp %rax, 200(%rdx)\n"
	"	jne net_program\n"
	"	mov 168(%rdx), %rax\n"
	"	sub 56(%r8), %rax\n"
	"	xor %ecx, %ecx\n"
	"	mov 16(%r8), %r9\n"
	"1:	cmp %r9, %rcx\n"
	"	jae net_program\n"
	"	lea (%rcx, %r9), %r11\n"
	"	shr $1, %r11\n"
	"	imul $96, %r11, %r12\n"
	"	add 80(%r8), %r12\n"
	"	cmp (%r12), %rax\n"
	"	je 3f\n"
	"	jb 2f\n"
	"	lea 1(%r11), %rcx\n"
	"	jmp 1b\n"
	"2:	mov %r11, %r9\n"
	"	jmp 1b\n"
	/* A trap of ours was published before it was written, and is gone before it is retired: one that is
	 * there when nothing is published was ours if it is gone at the second look. */
	"3:	movzbl (%rax), %r9d\n"
	"	cmp 48(%r8), %r9\n"
	"	jne net_late\n"
	"	cmpq $0, 8(%r8)\n"
	"	jne 4f\n"
	"	movzbl (%rax), %r9d\n"
	"	cmp 48(%r8), %r9\n"
	"	jne net_late\n"
	"	cmpq $0, 8(%r8)\n"
	"	je net_program\n"	/* it is not ours */
	"4:\n"
	"	mov 32(%r8), %r9\n"
	"	mov (%r9), %r9\n"	/* the commit word */
	"	mov 8(%r12), %rax\n"
	"	cmp 40(%r8), %r9\n"
	"	cmovne 16(%r12), %rax\n"
	"	mov %rax, 168(%rdx)\n"
	"	jmp net_return\n"

	"net_late:\n"
	"	cmpq $0, 56(%r8)\n"
	"	jne 6f\n"
	"	mov %rax, %r9\n"
	"	rol $32, %r9\n"
	"	xor 160(%rdx), %r9\n"
	"	movabs $0x9e3779b97f4a7c15, %r11\n"
	"	imul %r9, %r11\n"
	"	shr $58, %r11\n"
	"	shl $4, %r11\n"
	"	lea net_retried(%rip), %rcx\n"
	"	add %r11, %rcx\n"
	"	mov %r9, %r11\n"
	"	xchg %r11, (%rcx)\n"
	"	cmp %r9, %r11\n"
	"	je 5f\n"
	"	movq $0, 8(%rcx)\n"
	"	jmp 6f\n"
	"5:	lock incq 8(%rcx)\n"
	"	cmpq $4, 8(%rcx)\n"
	"	jae net_program\n"
	"6:	mov %rax, 168(%rdx)\n"
	"net_return:\n"
	"	xor %eax, %eax\n"
	"net_leave:\n"
	"	pop %r12\n	pop %r9\n	pop %r8\n"
	"	ret\n"

	"net_program:\n"
	"	mov (%rbx), %rax\n"
	"	cmp $1, %rax\n"
	"	jb net_default\n"
	"	je net_ignored\n"
	"	testl $0x80000000, 8(%rbx)\n" /* SA_RESETHAND */
	"	jnz net_reset\n"
	"net_hand_on:\n"
	"	mov $1, %eax\n"
	"	jmp net_leave\n"

	/* While sites may trap, this entry stays the handler, and remembers. */
	"net_reset:\n"
	"	cmpq $0, (%r10)\n"
	"	jne net_default\n"
	"	cmpq $0, 8(%r8)\n"
	"	je 5f\n"
	"	mov $1, %eax\n"
	"	xchg %rax, (%r10)\n"
	"	test %rax, %rax\n"
	"	jnz net_default\n"
	"	jmp net_hand_on\n"
	"5:	call net_set_default\n"
	"	jmp net_hand_on\n"

	"net_ignored:\n"
	"	lea 304(%rdx), %rax\n"
	"	cmp %rax, %rsi\n"
	"	jne net_return\n"
	"	cmpl $0, 8(%rsi)\n"
	"	jle net_return\n"
	"net_default:\n"
	"	mov %edi, %r8d\n"
	"	mov %rsi, %r9\n"
	"	mov %rdx, %r12\n"
	"	call net_set_default\n"
	"	mov $39, %eax\n"	/* getpid */
	"	syscall\n"
	"	mov %eax, %ebx\n"
	"	mov $186, %eax\n"	/* gettid */
	"	syscall\n"
	"	mov %ebx, %edi\n"
	"	mov %eax, %esi\n"
	"	mov %r8d, %edx\n"
	"	lea 304(%r12), %rax\n"
	"	cmp %rax, %r9\n"
	"	jne 6f\n"
	"	mov %r9, %r10\n"
	"	mov $297, %eax\n"	/* rt_tgsigqueueinfo */
	"	syscall\n"
	"	test %rax, %rax\n"
	"	jns net_return\n"
	"6:	mov $234, %eax\n"	/* tgkill */
	"	syscall\n"
	"	jmp net_return\n"

	/* rt_sigaction(edi, SIG_DFL with the program's flags and mask). Loses rsi, rdx, r10. */
	"net_set_default:\n"
	"	push 24(%rbx)\n	push 16(%rbx)\n	push 8(%rbx)\n	push $0\n"
	"	mov $13, %eax\n"
	"	mov %rsp, %rsi\n"
	"	xor %edx, %edx\n"
	"	mov $8, %r10d\n"
	"	syscall\n"
	"	add $32, %rsp\n"
	"	ret\n"

	/* In the very bytes by which debuggers and libgcc know a signal frame. */
	"	.balign 16, 0x90\n"
	"	nop\n"	/* unwinders look one byte before a return address */
	"net_restorer:\n"
	"	.byte 0x48, 0xc7, 0xc0, 15, 0, 0, 0, 0x0f, 0x05\n"

	/* rdi the helper's stack, rsi its number; eax its thread id or -errno. Signals stay blocked in it: a
	 * handler of the program's cannot run there. */
	"	.balign 16, 0x90\n"
	"net_spawn:\n"
	"	mov %rdi, %r8\n"
	"	mov %rsi, %r9\n"
	"	push $-1\n"
	"	push $0\n"
	"	mov $14, %eax\n"	/* rt_sigprocmask(SIG_SETMASK, all, old, 8) */
	"	mov $2, %edi\n"
	"	lea 8(%rsp), %rsi\n"
	"	mov %rsp, %rdx\n"
	"	mov $8, %r10d\n"
	"	syscall\n"
	"	mov $56, %eax\n"	/* clone(VM | FS | FILES | SIGHAND | THREAD | SYSVSEM) */
	"	mov $0x50f00, %edi\n"
	"	mov %r8, %rsi\n"
	"	xor %edx, %edx\n"
	"	xor %r10d, %r10d\n"
	"	syscall\n"
	"net_cloned:\n"
	"	test %rax, %rax\n"
	"	jz net_helper\n"
	"net_parent:\n"
	"	mov %rax, %r8\n"
	"	mov $14, %eax\n"
	"	mov $2, %edi\n"
	"	mov %rsp, %rsi\n"
	"	xor %edx, %edx\n"
	"	mov $8, %r10d\n"
	"	syscall\n"
	"	mov %r8, %rax\n"
	"	add $16, %rsp\n"
	"	ret\n"

	/* r9 its number. n_sites is read before the number: one that another helper's action published is
	 * never taken for this one's. */
	"net_helper:\n"
	"	mov %r9, %r15\n"
	"	lea net_data(%rip), %r14\n"
	"	sub $16, %rsp\n"
	"	mov $157, %eax\n"	/* prctl(PR_SET_NAME) */
	"	mov $15, %edi\n"
	"	lea net_name(%rip), %rsi\n"
	"	syscall\n"
	"	mov $200, %r12d\n"
	"1:	mov 8(%r14), %r13\n"
	"	cmp %r15, 24(%r14)\n"
	"	jne net_exit\n"
	"	test %r13, %r13\n"
	"	jnz net_finish\n"
	"	mov $35, %eax\n"	/* nanosleep */
	"	lea net_pause(%rip), %rdi\n"
	"	xor %esi, %esi\n"
	"	syscall\n"
	"	dec %r12d\n"
	"	jnz 1b\n"
	"net_exit:\n"
	"	mov $60, %eax\n"
	"	xor %edi, %edi\n"
	"	syscall\n"
	"	jmp net_exit\n"

	/* r13 sites. The leader may have exited: thread-self. */
	"net_finish:\n"
	"	mov $257, %eax\n"	/* openat(O_RDWR | O_CLOEXEC) */
	"	mov $-100, %edi\n"
	"	lea net_mem(%rip), %rsi\n"
	"	mov $0x80002, %edx\n"
	"	xor %r10d, %r10d\n"
	"	syscall\n"
	"	test %eax, %eax\n"
	"	js net_exit\n"
	"	mov %eax, %ebx\n"
	"	xor %r15d, %r15d\n"	/* how many writes failed */
	"	mov 32(%r14), %rax\n"
	"	mov (%rax), %rax\n"
	"	mov $32, %ebp\n"
	"	cmp 40(%r14), %rax\n"
	"	je 1f\n"
	"	mov $64, %ebp\n"
	"1:	xor %r8d, %r8d\n"
	"	call net_each\n"	/* tails: a commit that comes late leaves new ones behind before it */
	"	test %r15d, %r15d\n"
	"	jnz net_close\n"
	"	call net_sync\n"
	"	test %rax, %rax\n"
	"	jnz net_close\n"	/* a core might run a head with the other tail */
	"	inc %r8d\n"
	"	call net_each\n"	/* first bytes */
	"	call net_sync\n"
	"net_close:\n"
	"	mov $3, %eax\n"
	"	mov %ebx, %edi\n"
	"	syscall\n"
	"	jmp net_exit\n"

	/* Every site that traps. ebp: where its bytes are, old or new; r8d: 0 tail, 1 first byte. The text is read
	 * through the file: it may be gone. */
	"net_each:\n"
	"	mov 80(%r14), %r12\n"
	"	mov %r13, %r9\n"
	"1:	mov $17, %eax\n"	/* pread64 */
	"	mov %ebx, %edi\n"
	"	lea 8(%rsp), %rsi\n"
	"	mov $1, %edx\n"
	"	mov (%r12), %r10\n"
	"	syscall\n"
	"	cmp $1, %rax\n"
	"	jne 4f\n"
	"	movzbl 8(%rsp), %eax\n"
	"	cmp 48(%r14), %rax\n"
	"	jne 4f\n"
	"	lea (%r12,%rbp), %rsi\n"
	"	test %r8d, %r8d\n"
	"	jnz 3f\n"
	"	inc %rsi\n"
	"	inc %r10\n"
	"	movzbl 24(%r12), %edx\n"
	"	dec %edx\n"
	"	jz 4f\n"
	"3:	mov $18, %eax\n"	/* pwrite64 */
	"	syscall\n"
	"	cmp %rdx, %rax\n"
	"	je 4f\n"
	"	inc %r15d\n"
	"4:	add $96, %r12\n"
	"	dec %r9\n"
	"	jnz 1b\n"
	"	ret\n"

	/* membarrier(PRIVATE_EXPEDITED_SYNC_CORE), registered first where that was not done. */
	"net_sync:\n"
	"	mov $324, %eax\n"
	"	mov $32, %edi\n"
	"	xor %esi, %esi\n"
	"	xor %edx, %edx\n"
	"	syscall\n"
	"	cmp $-1, %rax\n"
	"	jne 1f\n"
	"	mov $324, %eax\n"
	"	mov $64, %edi\n"
	"	syscall\n"
	"	mov $324, %eax\n"
	"	mov $32, %edi\n"
	"	syscall\n"
	"1:	ret\n"
	"net_helper_last:\n"

	"	.balign 8\n"
	"net_pause: .quad 0, 10000000\n"
	"net_mem: .asciz \"/proc/thread-self/mem\"\n"
	"net_name: .asciz \"usplice-net\"\n"
	"	.org net_code + 4096\n" /* an error if it does not fit */

	".balign 8\n"
	".globl net_code_restorer, net_code_spawn, net_code_helper, net_code_helper_end, net_code_exit, net_code_cloned, net_code_parent\n"
	".hidden net_code_restorer, net_code_spawn, net_code_helper, net_code_helper_end, net_code_exit, net_code_cloned, net_code_parent\n"
	"net_code_restorer: .quad net_restorer - net_code\n"
	"net_code_spawn: .quad net_spawn - net_code\n"
	"net_code_helper: .quad net_helper - net_code\n"
	"net_code_helper_end: .quad net_helper_last - net_code\n"
	"net_code_exit: .quad net_exit - net_code\n"
	"net_code_cloned: .quad net_cloned - net_code\n"
	"net_code_parent: .quad net_parent - net_code\n"
	".popsection\n");
/* clang-format on */

_Static_assert(offsetof(struct net_data, n_sites) == 8 && offsetof(struct net_data, n_late) == 16 &&
		       offsetof(struct net_data, helper) == 24 &&
		       offsetof(struct net_data, word_address) == 32 &&
		       offsetof(struct net_data, old_word) == 40 &&
		       offsetof(struct net_data, trap_byte) == 48 &&
		       offsetof(struct net_data, trap_adjust) == 56 &&
		       offsetof(struct net_data, trap_number) == 64 &&
		       offsetof(struct net_data, signal) == 72 && offsetof(struct net_data, sites) == 80 &&
		       offsetof(struct net_data, programs) == 128 && sizeof(struct net_program) == 40,
	       "the code uses these offsets");
_Static_assert(offsetof(struct net_program, action.handler) == 0 &&
		       offsetof(struct net_program, action.flags) == 8 &&
		       offsetof(struct net_program, action.restorer) == 16 &&
		       offsetof(struct net_program, action.mask) == 24,
	       "as the kernel has them");
_Static_assert(offsetof(struct net_site, address) == 0 && offsetof(struct net_site, old_to) == 8 &&
		       offsetof(struct net_site, new_to) == 16 && offsetof(struct net_site, length) == 24 &&
		       offsetof(struct net_site, old_bytes) == 32 &&
		       offsetof(struct net_site, new_bytes) == 64 && sizeof(struct net_site) == 96,
	       "the code uses these offsets");
_Static_assert(offsetof(struct net_state, retried) == 0 && sizeof(struct net_retried) == 16 &&
		       NET_RETRIED == 64 && offsetof(struct net_state, fired) == 1024 &&
		       NET_STATE_OFFSET == 4096 && NET_DATA_OFFSET == 8192 && NET_PROGRAMS_MAX == 24 &&
		       sizeof(struct net_state) <= NET_SCRATCH,
	       "the code uses these places");
_Static_assert(NET_ENTRIES == 64, "the code has entries of this size");
_Static_assert(offsetof(ucontext_t, uc_mcontext.gregs[REG_RSP]) == 160 &&
		       offsetof(ucontext_t, uc_mcontext.gregs[REG_RIP]) == 168 &&
		       offsetof(ucontext_t, uc_mcontext.gregs[REG_TRAPNO]) == 200 &&
		       offsetof(ucontext_t, uc_sigmask) + 8 == 304 && offsetof(siginfo_t, si_code) == 8,
	       "the kernel's signal frame");
_Static_assert(sizeof(struct net_data) <= NET_MASKS_OFFSET && sizeof(struct net_mask) == 16,
	       "what is in the target fits its place");
