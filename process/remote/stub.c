/* SPDX-License-Identifier: MIT */
#include "process/remote/stub.h"

#include <signal.h>
#include <string.h>
#include <sys/syscall.h>

#ifndef __x86_64__
#error "the stub is written for x86-64"
#endif

/*
 * The slot's data come first, so that every reference is to a label with a fixed distance. Never run here: it
 * lies in read-only data and is copied.
 *
 * HOME: `mov` leaves the flags alone, and the kernel gives them back over a system call; so they are loaded
 * before it, while every signal is blocked, and nothing needs a stack afterwards. rax, rdi, rsi, rdx, r10 are
 * arguments, rcx and r11 are what the system call clobbers: these come after it.
 */
/* clang-format off */
__asm__(".pushsection .rodata\n"
	".balign 64\n"
	"slot_start:\n"
	".set slot_all, slot_start + 16\n"
	".set slot_mask, slot_start + 24\n"
	".set slot_flags, slot_start + 32\n"
	".set slot_rip, slot_start + 40\n"
	".set slot_rsp, slot_start + 48\n"
	".set slot_rax, slot_start + 56\n"
	".set slot_rbx, slot_start + 64\n"
	".set slot_rcx, slot_start + 72\n"
	".set slot_rdx, slot_start + 80\n"
	".set slot_rsi, slot_start + 88\n"
	".set slot_rdi, slot_start + 96\n"
	".set slot_rbp, slot_start + 104\n"
	".set slot_r8, slot_start + 112\n"
	".set slot_r9, slot_start + 120\n"
	".set slot_r10, slot_start + 128\n"
	".set slot_r11, slot_start + 136\n"
	".set slot_r12, slot_start + 144\n"
	".set slot_r13, slot_start + 152\n"
	".set slot_r14, slot_start + 160\n"
	".set slot_r15, slot_start + 168\n"
	".set slot_xstate, slot_start + 176\n"
	".set slot_errno_address, slot_start + 184\n"
	".set slot_errno_value, slot_start + 192\n"
	"	.fill 264, 1, 0\n"
	".globl remote_stub_begin\n.hidden remote_stub_begin\n"
	"remote_stub_begin:\n"
	"slot_call:\n"
	"	call *%r11\n"
	"	mov %rax, %rbx\n" /* the result, out of the marker's way */
	"	cld\n"
	"	mov $14, %eax\n" /* rt_sigprocmask(SIG_SETMASK, all, NULL, 8) */
	"	mov $2, %edi\n"
	"	lea slot_all(%rip), %rsi\n"
	"	xor %edx, %edx\n"
	"	mov $8, %r10d\n"
	"slot_marker:\n"
	"	syscall\n"
	"	mov slot_xstate(%rip), %rdi\n"
	"	test %rdi, %rdi\n"
	"	jz 1f\n"
	"	mov $-1, %eax\n"
	"	mov $-1, %edx\n"
	"	xrstor64 (%rdi)\n"
	"1:	mov slot_errno_address(%rip), %rdi\n"
	"	test %rdi, %rdi\n"
	"	jz slot_home\n"
	"	mov slot_errno_value(%rip), %rax\n"
	"	mov %eax, (%rdi)\n"
	"	jmp slot_home\n"
	"slot_syscall:\n"
	"	syscall\n"
	"slot_home:\n"
	"	lea slot_flags(%rip), %rsp\n"
	"	popfq\n"
	"	mov slot_rsp(%rip), %rsp\n"
	"	mov slot_rbx(%rip), %rbx\n"
	"	mov slot_rbp(%rip), %rbp\n"
	"	mov slot_r8(%rip), %r8\n"
	"	mov slot_r9(%rip), %r9\n"
	"	mov slot_r12(%rip), %r12\n"
	"	mov slot_r13(%rip), %r13\n"
	"	mov slot_r14(%rip), %r14\n"
	"	mov slot_r15(%rip), %r15\n"
	"	mov $14, %eax\n" /* rt_sigprocmask(SIG_SETMASK, mask, NULL, 8) */
	"	mov $2, %edi\n"
	"	lea slot_mask(%rip), %rsi\n"
	"	mov $0, %edx\n"
	"	mov $8, %r10d\n"
	"	syscall\n"
	"	mov slot_rax(%rip), %rax\n"
	"	mov slot_rcx(%rip), %rcx\n"
	"	mov slot_rdx(%rip), %rdx\n"
	"	mov slot_rsi(%rip), %rsi\n"
	"	mov slot_rdi(%rip), %rdi\n"
	"	mov slot_r10(%rip), %r10\n"
	"	mov slot_r11(%rip), %r11\n"
	"	jmp *slot_rip(%rip)\n"
	".globl remote_stub_end\n.hidden remote_stub_end\n"
	"remote_stub_end:\n"
	".org slot_start + 512\n" /* an error if it does not fit its slot */
	".globl remote_stub_call, remote_stub_marker, remote_stub_syscall\n"
	".hidden remote_stub_call, remote_stub_marker, remote_stub_syscall\n"
	"remote_stub_call: .quad slot_call - slot_start\n"
	"remote_stub_marker: .quad slot_marker - slot_start\n"
	"remote_stub_syscall: .quad slot_syscall - slot_start\n"
	".popsection\n");
/* clang-format on */

extern const uint8_t remote_stub_begin[], remote_stub_end[];

_Static_assert(offsetof(struct remote_slot, all) == 16 && offsetof(struct remote_slot, mask) == 24 &&
		       offsetof(struct remote_slot, rsp) == 48 && offsetof(struct remote_slot, rbp) == 104 &&
		       offsetof(struct remote_slot, r15) == 168 &&
		       offsetof(struct remote_slot, xstate) == 176 &&
		       offsetof(struct remote_slot, errno_value) == 192 && sizeof(struct remote_slot) == 264,
	       "the code uses these offsets");

/* What the kernel hides behind EINTR until it knows whether a handler runs (include/linux/errno.h). */
enum {
	ERESTARTSYS = 512,
	ERESTARTNOINTR = 513,
	ERESTARTNOHAND = 514,
	ERESTART_RESTARTBLOCK = 516,
};

#define FLAGS_TF 0x100u
#define FLAGS_RF 0x10000u

const uint8_t *remote_stub_code(size_t *ret_size)
{
	*ret_size = (size_t)(remote_stub_end - remote_stub_begin);
	return remote_stub_begin;
}

void remote_slot_fill(struct remote_slot *slot, pid_t tid, const struct user_regs_struct *registers,
		      uint64_t mask)
{
	memset(slot, 0, sizeof(*slot));
	*slot = (struct remote_slot){
		.magic = REMOTE_SLOT_MAGIC,
		.tid = (uint64_t)tid,
		.all = ~0ull,
		.mask = mask,
		.flags = registers->eflags & ~(uint64_t)(FLAGS_TF | FLAGS_RF),
		.rip = registers->rip,
		.rsp = registers->rsp,
		.rax = registers->rax,
		.rbx = registers->rbx,
		.rcx = registers->rcx,
		.rdx = registers->rdx,
		.rsi = registers->rsi,
		.rdi = registers->rdi,
		.rbp = registers->rbp,
		.r8 = registers->r8,
		.r9 = registers->r9,
		.r10 = registers->r10,
		.r11 = registers->r11,
		.r12 = registers->r12,
		.r13 = registers->r13,
		.r14 = registers->r14,
		.r15 = registers->r15,
	};
	if ((int64_t)registers->orig_rax < 0)
		return; /* not in a system call: what rax holds is the program's own */
	switch (-(int64_t)registers->rax) {
	case ERESTARTSYS:
	case ERESTARTNOINTR:
	case ERESTARTNOHAND:
		slot->rax = registers->orig_rax;
		slot->rip -= REMOTE_SYSCALL_LENGTH;
		break;
	case ERESTART_RESTARTBLOCK: /* the kernel kept how much is left */
		slot->rax = SYS_restart_syscall;
		slot->rip -= REMOTE_SYSCALL_LENGTH;
		break;
	default:
		break;
	}
}

void remote_slot_park(const struct remote_slot *slot, uint64_t address, struct user_regs_struct *ret)
{
	ret->rip = address + remote_stub_syscall;
	ret->rax = SYS_rt_sigprocmask;
	ret->orig_rax = ~0ull; /* no system call to be restarted */
	ret->rdi = SIG_SETMASK;
	ret->rsi = address + offsetof(struct remote_slot, all);
	ret->rdx = 0;
	ret->r10 = sizeof(slot->all);
	ret->rsp = slot->rsp;
	ret->eflags = 0x202;
}
