// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include "run.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

_Static_assert(REG_R8 == 0 && REG_EFL == RUN_REGISTERS - 1, "the general registers come first");

/* In the floating-point frame: whether there is an XSAVE header behind its 512 bytes. */
#define MAGIC_AT  464
#define MAGIC	  0x46505853u
#define HEADER_AT 512

uint8_t *run_block;

static uint8_t *alternate;
static const struct run_input *wanted;
static struct run_output *result;
static greg_t home[RUN_REGISTERS];

/* The kernel puts on what this frame says when the handler returns: so begins a run. */
static void on_start(int signal, siginfo_t *info, void *frame)
{
	ucontext_t *context = frame;
	uint8_t *vectors = (uint8_t *)context->uc_mcontext.fpregs;
	uint32_t magic;
	(void)signal;
	(void)info;
	memcpy(home, context->uc_mcontext.gregs, sizeof(home));
	memcpy(context->uc_mcontext.gregs, wanted->registers, sizeof(wanted->registers));
	memcpy(context->uc_mcontext.fpregs->_xmm, wanted->xmm, sizeof(wanted->xmm));
	memcpy(&magic, vectors + MAGIC_AT, sizeof(magic));
	if (magic == MAGIC) /* without its bit, the SSE state would not be looked at */
		vectors[HEADER_AT] |= 2;
}

/* And so it ends. */
static void on_end(int signal, siginfo_t *info, void *frame)
{
	ucontext_t *context = frame;
	(void)info;
	if (!result)
		abort();
	result->signal = signal;
	memcpy(result->registers, context->uc_mcontext.gregs, sizeof(result->registers));
	memcpy(result->xmm, context->uc_mcontext.fpregs->_xmm, sizeof(result->xmm));
	memcpy(context->uc_mcontext.gregs, home, sizeof(home));
}

int run_setup(void **state)
{
	(void)state;
	size_t size = 1 << 16;
	run_block =
		mmap(NULL, RUN_BLOCK, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	alternate = malloc(size);
	if (run_block == MAP_FAILED || !alternate)
		return -1;
	stack_t stack = {.ss_sp = alternate, .ss_size = size};
	return sigaltstack(&stack, NULL);
}

int run_teardown(void **state)
{
	(void)state;
	stack_t stack = {.ss_flags = SS_DISABLE};
	sigaltstack(&stack, NULL);
	free(alternate);
	return munmap(run_block, RUN_BLOCK);
}

void run_catch(void)
{
	static const int ends[] = {SIGTRAP, SIGSEGV, SIGILL, SIGBUS, SIGFPE};
	struct sigaction action = {.sa_sigaction = on_end, .sa_flags = SA_SIGINFO | SA_ONSTACK};
	for (size_t i = 0; i < sizeof(ends) / sizeof(*ends); i++)
		if (sigaction(ends[i], &action, NULL) < 0)
			abort();
	action.sa_sigaction = on_start;
	if (sigaction(SIGUSR1, &action, NULL) < 0)
		abort();
}

void run_place(const uint8_t *bytes, size_t n)
{
	static const uint8_t callee[] = {0x48, 0x83, 0xc0, 0x05, 0xc3};
	memset(run_block + RUN_CODE, 0xcc, RUN_CODE_SIZE);
	memcpy(run_block + RUN_CALLEE, callee, sizeof(callee));
	memcpy(run_block + RUN_SITE, bytes, n);
}

void run_input(unsigned variant, struct run_input *ret)
{
	/* CF, PF, AF, ZF, SF, OF: none, each side of every condition, all. */
	static const greg_t flags[] = {0, 0x1, 0x40, 0x80, 0x804, 0x8d5};
	static const greg_t counts[] = {0, 1, 3, (greg_t)1 << 32};
	uint64_t mix = 0x9e3779b97f4a7c15u * (variant + 1);
	greg_t block = (greg_t)(uintptr_t)run_block;
	for (size_t i = 0; i < RUN_REGISTERS; i++) {
		mix = mix * 6364136223846793005u + 1442695040888963407u;
		ret->registers[i] = (greg_t)mix;
	}
	for (size_t i = 0; i < sizeof(ret->xmm); i++)
		ret->xmm[i] = (uint8_t)(i * 7 + variant);
	ret->registers[REG_RSP] = block + RUN_STACK + RUN_STACK_SIZE / 2 - (variant & 1 ? 8 : 0);
	ret->registers[REG_RBP] = ret->registers[REG_RSP] + 64;
	ret->registers[REG_RBX] = block + RUN_DATA + 0x800;
	ret->registers[REG_R12] = block + RUN_DATA + 0x400;
	ret->registers[REG_R13] = block + RUN_DATA + 0x600;
	ret->registers[REG_RDX] = 3;
	ret->registers[REG_RAX] = block + RUN_CODE + 0x123;
	ret->registers[REG_R11] = block + RUN_CODE + 0x456;
	ret->registers[REG_RCX] = counts[variant / 6 % 4];
	ret->registers[REG_EFL] = 0x202 | flags[variant % 6];
}

void run_fill(void)
{
	uint64_t trap = (uint64_t)(uintptr_t)run_block + RUN_CODE + 0x1000;
	for (size_t i = 0; i < RUN_DATA_SIZE; i += 8, trap += 3)
		memcpy(run_block + RUN_DATA + i, &trap, 8);
	for (size_t i = 0; i < RUN_STACK_SIZE; i += 8, trap += 3)
		memcpy(run_block + RUN_STACK + i, &trap, 8);
}

void run_from(const struct run_input *input, uint64_t address, struct run_output *ret)
{
	struct run_input here = *input;
	memset(ret, 0, sizeof(*ret));
	here.registers[REG_RIP] = (greg_t)address;
	wanted = &here;
	result = ret;
	syscall(SYS_tgkill, getpid(), gettid(), SIGUSR1);
	__asm__ volatile("" ::: "memory");
	result = NULL;
	wanted = NULL;
	memcpy(ret->data, run_block + RUN_DATA, RUN_DATA_SIZE);
	memcpy(ret->stack, run_block + RUN_STACK, RUN_STACK_SIZE);
}
