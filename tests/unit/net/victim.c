/* SPDX-License-Identifier: MIT */
/*
 * The net tests' victim: functions of known bytes, threads that call them all the time, handlers that write
 * down everything they find, traps of its own.
 */
#define _GNU_SOURCE
#include "victim.h"

#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

typedef uint64_t function(uint64_t x);

/* clang-format off */
__asm__(".text\n"
	/* functions, their pads (whole copies), their new versions */
	".macro bodies name, plus\n"
	"	.balign 64\n"
	"\\name:\n"
	".set k, 0\n"
	".rept 1000\n"
	"	.balign 16, 0x90\n"
	"	push %rbp\n"
	"	mov %rsp, %rbp\n"
	"	.byte 0x48, 0x8d, 0x87\n" /* lea plus + k(%rdi), %rax */
	"	.long \\plus + k\n"
	"	pop %rbp\n"
	"	ret\n"
	".set k, k + 1\n"
	".endr\n"
	"	.balign 16, 0x90\n"
	".endm\n"
	"bodies functions, 1000\n"
	"bodies pads, 1000\n"
	"bodies news, 5000\n"

	/* A first instruction that faults with #GP when rdi is misaligned. */
	".balign 16\n"
	"aligned: movaps (%rdi), %xmm0\n"
	"	mov $7, %eax\n"
	"	ret\n"

	/* The same registers each time. */
	".macro trap name, prepare\n"
	"	.balign 16\n"
	"\\name:\n"
	"	push %rbx\n	push %rbp\n	push %r12\n	push %r13\n	push %r14\n	push %r15\n"
	"	mov $0x1111, %eax\n	mov $0x2222, %ebx\n	mov $0x3333, %ecx\n	mov $0x4444, %edx\n"
	"	mov $0x5555, %esi\n	mov $0x6666, %edi\n	mov $0x7777, %ebp\n	mov $0x8888, %r8d\n"
	"	mov $0x9999, %r9d\n	mov $0xaaaa, %r10d\n	mov $0xbbbb, %r11d\n	mov $0xcccc, %r12d\n"
	"	mov $0xdddd, %r13d\n	mov $0xeeee, %r14d\n	mov $0xffff, %r15d\n"
	"	stc\n"
	"	\\prepare\n"
	"	pop %r15\n	pop %r14\n	pop %r13\n	pop %r12\n	pop %rbp\n	pop %rbx\n"
	"	ret\n"
	".endm\n"
	"trap trap_int3, \"int3\"\n"
	"trap trap_hlt, \"hlt\"\n"
	"trap trap_ce, \".byte 0xce\"\n"
	"trap trap_ud2, \"ud2\"\n"
	"trap trap_null, \"movb (%r10), %al\"\n"
	"trap trap_step, \"pushfq; orl $0x100, (%rsp); popfq; nop\"\n"
	"trap trap_kill, \"mov trap_pid(%rip), %edi; mov trap_tid(%rip), %esi; mov trap_signal(%rip), %edx; mov $234, %eax; syscall\"\n"
	"trap trap_queue, \"mov trap_pid(%rip), %edi; mov trap_signal(%rip), %esi; lea trap_info(%rip), %rdx; mov $129, %eax; syscall\"\n"

	".macro handler name, number\n"
	"\\name:\n"
	"	mov %rax, found(%rip)\n	mov %rbx, found + 8(%rip)\n"
	"	mov %rcx, found + 16(%rip)\n	mov %rdx, found + 24(%rip)\n"
	"	mov %rsi, found + 32(%rip)\n	mov %rdi, found + 40(%rip)\n"
	"	mov %rbp, found + 48(%rip)\n	mov %rsp, found + 56(%rip)\n"
	"	mov %r8, found + 64(%rip)\n	mov %r9, found + 72(%rip)\n"
	"	mov %r10, found + 80(%rip)\n	mov %r11, found + 88(%rip)\n"
	"	mov %r12, found + 96(%rip)\n	mov %r13, found + 104(%rip)\n"
	"	mov %r14, found + 112(%rip)\n	mov %r15, found + 120(%rip)\n"
	"	pushfq\n	pop found + 128(%rip)\n"
	"	mov (%rsp), %rax\n	mov %rax, found + 136(%rip)\n"
	"	mov $\\number, %ecx\n"
	"	jmp handle\n"
	".endm\n"
	"handler handler_2, 2\n"
	"handler handler_3, 3\n");
/* clang-format on */

extern char functions[], pads[], news[];
extern long aligned(const void *p);
extern void trap_int3(void), trap_hlt(void), trap_ce(void), trap_ud2(void), trap_null(void), trap_step(void),
	trap_kill(void), trap_queue(void);
extern void handler_2(int), handler_3(int);

uint64_t found[18];
int trap_pid, trap_tid, trap_signal;
siginfo_t trap_info;
void handle(int signal, siginfo_t *info, ucontext_t *context, int handler);

static struct shared *shared;
static _Atomic uint64_t word = 100;
static bool with_info;
static struct sigaction saved;
static char alternate[65536];

/* The instruction is skipped where the kernel has not done so. */
static uint64_t length_at(const uint8_t *p)
{
	if (p[0] == 0xf4 || p[0] == 0xce)
		return 1;
	if (p[0] == 0x0f && p[1] == 0x0b)
		return 2;
	if ((p[0] & 0xf0) == 0x40 && p[1] == 0x8a)
		return 3;
	if (p[0] == 0x0f && p[1] == 0x28)
		return 3;
	return 0;
}

void handle(int signal, siginfo_t *info, ucontext_t *context, int handler)
{
	struct seen *seen = &shared->seen;
	greg_t *g = context->uc_mcontext.gregs;
	uint64_t mask;
	seen->count++;
	seen->handler = (uint64_t)handler;
	memcpy(seen->registers, found, sizeof(seen->registers));
	seen->flags = found[16];
	seen->return_address = found[17];
	seen->signal = (uint64_t)signal;
	if (with_info) {
		seen->code = (uint64_t)info->si_code;
		seen->address = info->si_code > 0 ? (uint64_t)(uintptr_t)info->si_addr : 0;
		seen->value = info->si_code == SI_QUEUE ? (uint64_t)info->si_value.sival_int : 0;
	}
	syscall(SYS_rt_sigprocmask, SIG_BLOCK, NULL, &mask, 8);
	seen->mask = mask;
	memcpy(&seen->context_mask, &context->uc_sigmask, 8);
	for (int i = 0; i < 23; i++)
		if (i != REG_CR2 && i != REG_TRAPNO && i != REG_ERR) /* stale where the signal was sent */
			seen->context[i] = (uint64_t)g[i];
	seen->on_stack = found[7] - (uint64_t)(uintptr_t)alternate < sizeof(alternate);
	g[REG_EFL] &= ~0x100ll;
	if (signal != SIGTRAP)
		g[REG_RIP] += (greg_t)length_at((const uint8_t *)(uintptr_t)g[REG_RIP]);
}

static void call_all(uint64_t n, _Atomic uint64_t *old, _Atomic uint64_t *new)
{
	for (uint64_t k = 0; k < n; k++) {
		uint64_t r = ((function *)(uintptr_t)(functions + k * FUNCTION_SIZE))(1);
		if (r == OLD_PLUS + k + 1)
			atomic_fetch_add(old, 1);
		else if (r == NEW_PLUS + k + 1)
			atomic_fetch_add(new, 1);
		else
			atomic_fetch_add(&shared->wrong, 1);
	}
}

static void *caller(void *argument)
{
	int i = (int)(intptr_t)argument;
	uint64_t n = shared->argument[1];
	if (shared->argument[2]) {
		uint64_t all = ~0ull;
		syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, NULL, 8);
	}
	atomic_store(&shared->tids[i], (int32_t)syscall(SYS_gettid));
	for (;;) {
		call_all(n, &shared->old, &shared->new);
		atomic_fetch_add(&shared->rounds[i], 1);
	}
	return NULL;
}

static void set_handler(void)
{
	struct sigaction action = {.sa_flags = (int)shared->argument[2]};
	void (*const handlers[])(int) = {SIG_DFL, SIG_IGN, handler_2, handler_3};
	action.sa_handler = handlers[shared->argument[1]];
	with_info = shared->argument[2] & SA_SIGINFO;
	memcpy(&action.sa_mask, &shared->argument[3], 8);
	if (sigaction((int)shared->argument[0], &action, NULL))
		abort();
}

static void trap(void)
{
	void (*const run[TRAPS])(void) = {trap_int3, trap_hlt,	trap_ce,   trap_ud2,
					  trap_null, trap_step, trap_kill, trap_queue};
	trap_pid = getpid();
	trap_tid = (int)syscall(SYS_gettid);
	trap_signal = (int)shared->argument[1];
	trap_info.si_signo = trap_signal;
	trap_info.si_code = SI_QUEUE;
	trap_info.si_pid = trap_pid;
	trap_info.si_value.sival_int = 4711;
	run[shared->argument[0]]();
}

/* To an empty directory that is nowhere any more. */
static uint64_t change_root(void)
{
	char place[] = "/tmp/usplice-net-XXXXXX";
	if (!mkdtemp(place) || chdir(place) || rmdir(place))
		return 1;
	if (chroot(".") && (unshare(CLONE_NEWUSER) || chroot(".")))
		return 2;
	return access("/proc/self", F_OK) ? 0 : 3;
}

static uint64_t obey(void)
{
	static _Alignas(16) char data[32];
	_Atomic uint64_t old = 0, new = 0;
	switch ((enum victim_command)shared->command) {
	case VICTIM_CALL:
		return ((function *)(uintptr_t)(functions + shared->argument[0] * FUNCTION_SIZE))(1);
	case VICTIM_CALL_ALL:
		call_all(shared->argument[0], &old, &new);
		return new;
	case VICTIM_START:
		for (uint64_t i = 0; i < shared->argument[0]; i++) {
			pthread_t thread;
			if (pthread_create(&thread, NULL, caller, (void *)(intptr_t)i))
				return 1;
			while (!atomic_load(&shared->tids[i]))
				sched_yield();
		}
		return 0;
	case VICTIM_HANDLER:
		set_handler();
		return 0;
	case VICTIM_SAVE:
		return (uint64_t)sigaction((int)shared->argument[0], NULL, &saved);
	case VICTIM_RESTORE:
		return (uint64_t)sigaction((int)shared->argument[0], &saved, NULL);
	case VICTIM_TRAP:
		trap();
		return 0;
	case VICTIM_ALIGNED:
		return (uint64_t)aligned(data + (shared->argument[0] ? 1 : 0));
	case VICTIM_CHROOT:
		return change_root();
	}
	return ~0ull;
}

int main(void)
{
	stack_t stack = {.ss_sp = alternate, .ss_size = sizeof(alternate)};
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED, SHARED_FD, 0);
	if (shared == MAP_FAILED || sigaltstack(&stack, NULL))
		return 1;
	prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0);
	shared->functions = (uintptr_t)functions;
	shared->pads = (uintptr_t)pads;
	shared->news = (uintptr_t)news;
	shared->aligned = (uintptr_t)aligned;
	shared->word = (uintptr_t)&word;
	atomic_store(&shared->ready, 1);
	for (uint32_t done = 0;; done++) {
		while (atomic_load(&shared->asked) == done)
			syscall(SYS_futex, &shared->asked, FUTEX_WAIT, done, NULL, NULL, 0);
		shared->result = obey();
		atomic_store(&shared->answered, done + 1);
	}
}
