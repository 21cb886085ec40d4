// SPDX-License-Identifier: MIT
/*
 * Each snippet runs where it stands and through pads of every length, with the same registers and memory: all
 * must be equal afterwards. While a pad runs, traps stand in the place of the displaced bytes.
 */
#define _GNU_SOURCE
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "process/displace.h"
#include "run.h"
#include "same.h"

/*
 * Name, how many bytes of it can be displaced (0: all of it), what the processor must have ("": nothing),
 * text. 77 is where it begins; data lie at 77b + 0x18000, the callee at 77b - 0x1000, nothing but traps
 * around it.
 */
/* clang-format off */
#define SNIPPETS \
	X(endbr, 0, "", "endbr64; push %rbp; mov %rsp, %rbp; push %r15; sub $0x40, %rsp; pop %rcx") \
	X(flags, 0, "", "sbb %eax, %eax; adc %rdi, %rsi; pushf; popf; setc %dl; cmovo %r8, %r9") \
	X(red_zone, 0, "", "mov %rdi, -8(%rsp); mov %rsi, -128(%rsp); movq $7, -16(%rsp)") \
	X(lea, 0, "", "lea 77b+0x18010(%rip), %rdi; lea 77b(%rip), %r14; lea -0x10(%rip), %esi") \
	X(load, 0, "", "mov 77b+0x18008(%rip), %rax; movzbl 77b+0x18011(%rip), %ecx; xor 77b+0x18018(%rip), %r15d") \
	X(store, 0, "", "mov %rdi, 77b+0x18008(%rip); add %cl, 77b+0x18013(%rip); push 77b+0x18018(%rip); pop 77b+0x18020(%rip)") \
	X(immediate, 0, "", "movl $0x12345678, 77b+0x18008(%rip); cmpb $0x41, 77b+0x18013(%rip); addw $0x1234, 77b+0x18020(%rip)") \
	X(shift, 0, "", "shlq $5, 77b+0x18008(%rip); imul $0x1234, 77b+0x18010(%rip), %rdi; testb $1, 77b+0x18030(%rip)") \
	X(locked, 0, "", "lock incl 77b+0x18008(%rip); lock cmpxchg %rdi, 77b+0x18010(%rip); xadd %esi, 77b+0x18018(%rip)") \
	X(segment, 0, "", "mov %fs:0, %rax; .byte 0x2e; mov 77b+0x18008(%rip), %rdi; xor %fs:0x28, %rdx") \
	X(rep, 0, "", "xor %ecx, %ecx; mov $8, %cl; lea 0x100(%rbx), %rdi; mov %rbx, %rsi; rep movsb; repne scasb") \
	X(sse, 0, "", "movaps 77b+0x18010(%rip), %xmm1; movsd 77b+0x18008(%rip), %xmm9; pshufd $0x1b, 77b+0x18020(%rip), %xmm3; " \
		      "pcmpistri $0, 77b+0x18010(%rip), %xmm2") \
	X(nops, 0, "", "nop; xchg %ax, %ax; nopw %cs:0x0(%rax,%rax,1); nopl 77b+0x18000(%rip); pause") \
	X(x87, 0, "", "fldl 77b+0x18008(%rip); fstpl 77b+0x18010(%rip); flds 77b+0x18020(%rip); fstpt 77b+0x18030(%rip)") \
	X(tls_model, 0, "", ".byte 0x66; lea 77b+0x18010(%rip), %rdi; .byte 0x66, 0x66, 0x48, 0xe8; .long -0x1010") \
	X(avx, 0, "avx2", "vmovups 77b+0x18008(%rip), %ymm1; vpalignr $4, 77b+0x18020(%rip), %xmm2, %xmm3; " \
			  "vpermq $0x1b, 77b+0x18040(%rip), %ymm4; vzeroupper") \
	X(evex, 0, "avx512f", "vpaddq 77b+0x18040(%rip), %zmm2, %zmm3; vpternlogd $0x96, 77b+0x18080(%rip){1to16}, %zmm1, %zmm4; " \
			      "vmovdqu32 %zmm5, 77b+0x180c0(%rip)") \
	X(jump_short, 0, "", "jmp 77b+0x40; nop; nop; nop") \
	X(jump_near, 0, "", "jmp 77b+0x4000") \
	X(jump_back, 0, "", "test %edi, %edi; jmp 77b-0x20") \
	X(jump_slot, 0, "", "inc %esi; jmp *77b+0x18028(%rip)") \
	X(jump_register, 0, "", "dec %esi; jmp *%r11") \
	X(jump_table, 0, "", "mov %edx, %edx; .byte 0x3e; jmp *(%rbx,%rdx,8)") \
	X(jump_over, 0, "", "test %edx, %edx; jne 1f; jmp 77b+0x60; 1: lea 77b+0x18010(%rip), %rax") \
	X(jump_over_more, 0, "", "jz 1f; jmp 77b+0x60; 1: jc 2f; jmp 77b+0x70; 2: js 3f; jmp 77b-0x60; 3: inc %rdi") \
	X(jump_bound, 0, "", ".byte 0xf2; jmp 77b+0x200; nop") \
	X(conditions, 0, "", "jo 77b+0x40; jno 1f; nop; 1: jb 77b+0x42; jae 77b+0x44; jz 77b+0x46; jnz 77b+0x48; jbe 77b+0x4a; ja 77b+0x4c") \
	X(conditions_more, 0, "", "js 77b+0x40; jns 1f; nop; 1: jp 77b+0x42; jnp 77b+0x44; jl 77b+0x46; jge 77b+0x48; jle 77b+0x4a; jg 77b+0x4c") \
	X(conditions_near, 0, "", "jo 77b+0x400; jb 77b+0x420; jz 77b+0x460; js 77b+0x480; jl 77b-0x4a0") \
	X(hinted, 0, "", ".byte 0x3e; jne 77b+0x40; .byte 0x2e; jb 77b+0x42; .byte 0xf2; js 77b+0x44; .byte 0x66, 0x48; jle 77b+0x46") \
	X(rcx_zero, 0, "", "jrcxz 77b+0x40; jecxz 77b+0x44; inc %rdi") \
	X(loops, 0, "", "loop 77b+0x40; loope 77b+0x44; loopne 77b-0x20; .byte 0x67; loop 77b+0x50") \
	X(loop_inside, 0, "", "mov $5, %ecx; 1: lea 3(%rdi), %rdi; loop 1b; xor %eax, %eax") \
	X(loop_to_start, 0, "", "lea -1(%rdx), %rdx; test %rdx, %rdx; jne 77b; lea 77b+0x18010(%rip), %rdi") \
	X(loop_to_start_short, 0, "", "and $7, %ecx; inc %rdi; loop 77b; inc %rsi") \
	X(call, 0, "", "call 77b-0x1000") \
	X(call_later, 0, "", "push %rbx; lea 1(%rdi), %rsi; call 77b-0x1000") \
	X(call_middle, 6, "", "push %rbx; call 77b-0x1000; pop %rcx; add $3, %rdi") \
	X(call_trap, 0, "", "stc; call 77b+0x300") \
	X(call_next, 5, "", "call 1f; 1: pop %rsi") \
	X(call_addr32, 0, "", ".byte 0x67; call 77b-0x1000") \
	X(call_bound, 0, "", ".byte 0xf2; call 77b-0x1000") \
	X(call_slot, 0, "", "mov %rdx, %rsi; call *77b+0x18028(%rip)") \
	X(call_register, 0, "", "call *%rax") \
	X(call_high, 0, "", "call *%r11") \
	X(call_memory, 0, "", "call *8(%rbx)") \
	X(call_far_memory, 0, "", ".byte 0x3e; call *-0x180(%rbx)") \
	X(call_index, 0, "", "call *(%rbx,%rdx,8)") \
	X(call_r12, 0, "", "call *(%r12)") \
	X(call_r12_more, 0, "", "call *0x10(%r12)") \
	X(call_r13, 0, "", "call *0(%r13)") \
	X(call_rbp, 0, "", "call *-16(%rbp)") \
	X(call_stack, 0, "", "call *(%rsp)") \
	X(call_stack_up, 0, "", "sub $8, %rsp; call *24(%rsp)") \
	X(call_stack_edge, 0, "", "call *120(%rsp)") \
	X(call_stack_far, 0, "", "call *0x200(%rsp)") \
	X(call_stack_below, 0, "", "call *-16(%rsp)") \
	X(call_stack_index, 0, "", "call *8(%rsp,%rdx,8)") \
	X(ret, 0, "", "ret") \
	X(ret_repeated, 0, "", "inc %rax; .byte 0xf3; ret") \
	X(ret_amount, 0, "", "ret $0x18") \
	X(ret_early, 0, "", "test %edx, %edx; js 1f; ret; 1: jne 77b+0x40; ret") \
	X(system_call, 0, "", "mov $39, %eax; syscall; cmp $-4095, %rax; jae 77b+0x40") \
	X(undefined, 0, "", "inc %rsi; ud2") \
	X(aborted, 0, "", "lea 1(%rsi), %rsi; hlt")

/* clang-format on */

#define X(name, limit, needs, text)                                                                   \
	__asm__(".pushsection .rodata\n77:\n" #name "_start: " text "\n" #name "_end:\n.popsection"); \
	extern const uint8_t name##_start[] __attribute__((visibility("hidden")));                    \
	extern const uint8_t name##_end[] __attribute__((visibility("hidden")));
SNIPPETS
#undef X

static const struct snippet {
	const char *name;
	size_t limit;
	const char *needs;
	const uint8_t *start, *end;
} snippets[] = {
#define X(name, limit, needs, text) {#name, limit, needs, name##_start, name##_end},
	SNIPPETS
#undef X
};

static bool has(const char *needs)
{
	if (!strcmp(needs, "avx2"))
		return __builtin_cpu_supports("avx2");
	if (!strcmp(needs, "avx512f"))
		return __builtin_cpu_supports("avx512f");
	return !*needs;
}

static uint64_t site(void)
{
	return (uint64_t)(uintptr_t)run_block + RUN_SITE;
}

/* Whether a branch that stays where it is goes into the displaced bytes: no pad helps then. */
static bool is_entered(const struct snippet *snippet, size_t length, size_t covered)
{
	size_t n = (size_t)(snippet->end - snippet->start);
	struct decoded d;
	for (size_t offset = covered; offset < n; offset += d.insn.length) {
		assert_true(decoded_at(snippet->start + offset, n - offset, site() + offset, &d));
		if (d.is_relative && d.target > site() && d.target < site() + length)
			return true;
	}
	return false;
}

/* A thread that comes by the site's start again hits the gate again. */
static void run_pad(const struct run_input *input, uint64_t pad, struct run_output *ret)
{
	struct run_input again = *input;
	run_fill();
	for (unsigned passes = 0; passes < 100; passes++) {
		run_from(&again, pad, ret);
		if (ret->signal != SIGTRAP || (uint64_t)ret->registers[REG_RIP] != site() + 1)
			return;
		memcpy(again.registers, ret->registers, sizeof(again.registers));
		memcpy(again.xmm, ret->xmm, sizeof(again.xmm));
	}
	fail_msg("it passes the gate for ever");
}

static void compare(const struct snippet *snippet, size_t length, const struct run_output *a,
		    struct run_output *b)
{
	/* A fault tells where it happened. */
	if (a->signal != SIGTRAP)
		b->registers[REG_RIP] = a->registers[REG_RIP];
	for (size_t i = 0; i < RUN_REGISTERS; i++)
		if (a->registers[i] != b->registers[i])
			fail_msg("%s, %zu bytes: register %zu is %llx, in the pad %llx", snippet->name,
				 length, i, a->registers[i], b->registers[i]);
	if (a->signal != b->signal)
		fail_msg("%s, %zu bytes: ends with signal %d, in the pad %d", snippet->name, length,
			 a->signal, b->signal);
	if (memcmp(a->xmm, b->xmm, sizeof(a->xmm)) || memcmp(a->data, b->data, sizeof(a->data)))
		fail_msg("%s, %zu bytes: vector registers or data differ", snippet->name, length);
	if (memcmp(a->stack, b->stack, sizeof(a->stack)))
		fail_msg("%s, %zu bytes: the stack differs", snippet->name, length);
}

/* Returns how many runs were compared. */
static unsigned check(const struct snippet *snippet, size_t length, size_t place)
{
	static struct run_output expected, got;
	const uint8_t *code = run_block + RUN_SITE;
	uint8_t *pad = run_block + place, covered_bytes[DISPLACE_SITE_MAX];
	uint64_t pad_address = (uint64_t)(uintptr_t)pad;
	size_t n = (size_t)(snippet->end - snippet->start), size = 0, covered = 0;
	run_place(snippet->start, n);
	memset(pad, 0xcc, DISPLACE_MAX);
	struct usp_error *error =
		displace(code, n + DISPLACE_LOOK_AHEAD, site(), length, pad_address, pad, &size, &covered);
	if (snippet->limit && length > snippet->limit) {
		assert_non_null(error);
		assert_int_equal(error->code, USP_UNSUPPORTED);
		usp_error_destroy(error);
		return 0;
	}
	if (error)
		fail_msg("%s, %zu bytes: %s", snippet->name, length, error->message);
	const char *what =
		same_differs(code, n + DISPLACE_LOOK_AHEAD, site(), length, pad_address, pad, size, covered);
	if (what)
		fail_msg("%s, %zu bytes: differs in %s", snippet->name, length, what);
	if (is_entered(snippet, length, covered)) {
		assert_true(displace_enters_site(code, n, site(), site(), length));
		return 0;
	}
	if (!has(snippet->needs))
		return 0;
	for (unsigned variant = 0; variant < RUN_VARIANTS; variant++) {
		struct run_input input;
		run_input(variant, &input);
		run_fill();
		run_from(&input, site(), &expected);
		memcpy(covered_bytes, run_block + RUN_SITE, length);
		memset(run_block + RUN_SITE, 0xcc, length);
		run_pad(&input, pad_address, &got);
		memcpy(run_block + RUN_SITE, covered_bytes, length);
		compare(snippet, length, &expected, &got);
	}
	return RUN_VARIANTS;
}

static void test_run(void **state)
{
	(void)state;
	unsigned runs = 0, pads = 0;
	run_catch();
	for (size_t i = 0; i < sizeof(snippets) / sizeof(*snippets); i++) {
		size_t n = (size_t)(snippets[i].end - snippets[i].start);
		unsigned of_this = 0;
		for (size_t length = 1; length <= n && length <= DISPLACE_SITE_MAX; length++, pads += 2)
			of_this += check(&snippets[i], length, RUN_PAD_BELOW) +
				   check(&snippets[i], length, RUN_PAD_ABOVE);
		if (!has(snippets[i].needs))
			print_message("# %s: compared by decoding alone, this processor has no %s\n",
				      snippets[i].name, snippets[i].needs);
		else
			assert_true(of_this);
		runs += of_this;
	}
	print_message("# %zu snippets, %u pads, %u runs compared\n", sizeof(snippets) / sizeof(*snippets),
		      pads, runs);
}

/* Were the runs blind, everything would be equal: one changed byte of a pad must be seen. */
static void test_sees(void **state)
{
	(void)state;
	static struct run_output a, b;
	static const uint8_t code[] = {0x48, 0x8d, 0x47, 0x01}; /* lea 1(%rdi),%rax */
	struct run_input input;
	run_catch();
	run_input(0, &input);
	run_place(code, sizeof(code));
	run_fill();
	run_from(&input, site(), &a);
	assert_int_equal(a.signal, SIGTRAP);
	assert_int_equal(a.registers[REG_RIP], site() + sizeof(code) + 1);
	assert_int_equal(a.registers[REG_RAX], input.registers[REG_RDI] + 1);
	assert_int_equal(a.registers[REG_RSP], input.registers[REG_RSP]);
	assert_int_equal(a.registers[REG_EFL] & 0x8d5, input.registers[REG_EFL] & 0x8d5);
	assert_memory_equal(a.xmm, input.xmm, sizeof(a.xmm));
	run_block[RUN_SITE + 3] = 2;
	run_fill();
	run_from(&input, site(), &b);
	assert_int_equal(b.registers[REG_RAX], a.registers[REG_RAX] + 1);
	static const uint8_t push[] = {0x57}; /* push %rdi */
	run_place(push, sizeof(push));
	run_fill();
	run_from(&input, site(), &b);
	assert_memory_not_equal(a.stack, b.stack, sizeof(a.stack));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sees),
		cmocka_unit_test(test_run),
	};
	return cmocka_run_group_tests(tests, run_setup, run_teardown);
}
