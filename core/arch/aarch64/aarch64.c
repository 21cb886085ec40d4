/* SPDX-License-Identifier: MIT */
/*
 * AArch64: a four byte branch. A BTI landing pad at the entry must stay the first instruction. paciasp is a
 * landing pad as well, but it may not stay: it signs the return address, and the new function would sign it
 * again. So there the site is eight bytes, `bti c` and the branch (`bti c` does nothing where BTI is not in
 * use).
 *
 * Writing code here also takes instruction-cache maintenance over the range: the host's write operation does
 * it.
 */
#include <stdbool.h>

#include "core/arch/arch.h"
#include "core/errno.h"

#define INSTRUCTION 4
#define REACH	    UINT64_C(0x8000000) /* 128 MiB */

#define INSN_B	     0x14000000u
#define INSN_NOP     0xd503201fu
#define INSN_BTI_C   0xd503245fu
#define INSN_BTI_J   0xd503249fu
#define INSN_BTI_JC  0xd50324dfu
#define INSN_PACIASP 0xd503233fu
#define INSN_PACIBSP 0xd503237fu

static const struct arch_trap traps[] = {
	{.name = "brk", .bytes = {0x00, 0x00, 0x20, 0xd4}, .length = 4, .saved_offset = 0}, /* SIGTRAP */
	{.name = "udf", .bytes = {0x00, 0x00, 0x00, 0x00}, .length = 4, .saved_offset = 0}, /* SIGILL */
};

static uint32_t get(const uint8_t *bytes)
{
	return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
	       (uint32_t)bytes[3] << 24;
}

static void put(uint8_t *bytes, uint32_t instruction)
{
	for (int i = 0; i < INSTRUCTION; i++)
		bytes[i] = (uint8_t)(instruction >> (8 * i));
}

static int encode_jump(uint64_t at, uint64_t to, uint8_t *bytes)
{
	if (at % INSTRUCTION != 0 || to % INSTRUCTION != 0)
		return -CORE_EINVAL;
	/* Compared unsigned on each side, so that no wrap around the address space counts as near. */
	if (to < at ? at - to > REACH : to - at >= REACH)
		return -CORE_ERANGE;
	put(bytes, INSN_B | ((uint32_t)((to - at) / INSTRUCTION) & 0x03ffffffu));
	return 0;
}

static int divert(uint64_t entry, const uint8_t *code, size_t n, uint64_t size, uint64_t to,
		  struct arch_jump *jump)
{
	if (n < INSTRUCTION || size < INSTRUCTION)
		return -CORE_ENOSPC;
	uint8_t before = 0; /* bytes of the site in front of the branch */
	jump->offset = 0;
	switch (get(code)) {
	case INSN_BTI_C:
	case INSN_BTI_J:
	case INSN_BTI_JC:
		jump->offset = INSTRUCTION;
		break;
	case INSN_PACIASP:
	case INSN_PACIBSP:
		put(jump->bytes, INSN_BTI_C);
		before = INSTRUCTION;
		break;
	}
	jump->length = (uint8_t)(before + INSTRUCTION);
	if (size < (uint64_t)jump->offset + jump->length)
		return -CORE_ENOSPC;
	if (entry > UINT64_MAX - 2 * INSTRUCTION)
		return -CORE_ERANGE;
	return encode_jump(entry + jump->offset + before, to, jump->bytes + before);
}

static int encode_nops(uint8_t *bytes, size_t n)
{
	if (n == 0 || n > ARCH_SITE_MAX || n % INSTRUCTION != 0)
		return -CORE_EINVAL;
	for (size_t i = 0; i < n; i += INSTRUCTION)
		put(bytes + i, INSN_NOP);
	return 0;
}

static int check_boundaries(const uint8_t *code, size_t n, size_t offset, size_t length,
			    arch_decode_fn *decode, void *context)
{
	(void)code;
	(void)decode;
	(void)context;
	if (length == 0 || length > ARCH_SITE_MAX || offset > n || length > n - offset)
		return -CORE_EINVAL;
	return offset % INSTRUCTION == 0 && length % INSTRUCTION == 0 ? 0 : -CORE_EINVAL;
}

#if defined(__aarch64__)
#define SERIALISE serialise
static void serialise(void)
{
	__asm__ volatile("isb" : : : "memory");
}
#else
#define SERIALISE NULL
#endif

const struct arch_ops arch_aarch64 = {
	.name = "aarch64",
	.jump_length = INSTRUCTION,
	.alignment = INSTRUCTION,
	.traps = traps,
	.n_traps = sizeof(traps) / sizeof(traps[0]),
	.encode_jump = encode_jump,
	.divert = divert,
	.encode_nops = encode_nops,
	.check_boundaries = check_boundaries,
	.serialise = SERIALISE,
};
