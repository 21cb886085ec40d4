/* SPDX-License-Identifier: MIT */
/* x86-64: a five byte jump, behind endbr64 where there is one. */
#include <stdbool.h>

#include "core/arch/arch.h"
#include "core/errno.h"

#define JUMP_LENGTH  5
#define JUMP_OPCODE  0xe9
#define ENDBR_LENGTH 4
#define LONGEST	     15 /* bytes of one instruction */
#define LONGEST_NOP  9

/* int3 reports the address behind itself; the others fault, so they report their own. */
static const struct arch_trap traps[] = {
	{.name = "int3", .bytes = {0xcc}, .length = 1, .saved_offset = 1}, /* SIGTRAP */
	{.name = "hlt", .bytes = {0xf4}, .length = 1, .saved_offset = 0},  /* SIGSEGV */
	{.name = "into", .bytes = {0xce}, .length = 1, .saved_offset = 0}, /* SIGILL: not in 64-bit mode */
	{.name = "salc", .bytes = {0xd6}, .length = 1, .saved_offset = 0}, /* SIGILL likewise */
};

/* The multi-byte forms that Intel's and AMD's manuals recommend. */
static const uint8_t nops[LONGEST_NOP][LONGEST_NOP] = {
	{0x90},
	{0x66, 0x90},
	{0x0f, 0x1f, 0x00},
	{0x0f, 0x1f, 0x40, 0x00},
	{0x0f, 0x1f, 0x44, 0x00, 0x00},
	{0x66, 0x0f, 0x1f, 0x44, 0x00, 0x00},
	{0x0f, 0x1f, 0x80, 0x00, 0x00, 0x00, 0x00},
	{0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00},
	{0x66, 0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00},
};

static int encode_jump(uint64_t at, uint64_t to, uint8_t *bytes)
{
	if (at > UINT64_MAX - JUMP_LENGTH)
		return -CORE_ERANGE;
	uint64_t next = at + JUMP_LENGTH;
	uint64_t distance = to - next; /* modulo 2^64 */
	bool backwards = to < next;
	/* Compared unsigned on each side, so that no wrap around the address space counts as near. */
	if (backwards ? next - to > UINT64_C(0x80000000) : to - next > UINT64_C(0x7fffffff))
		return -CORE_ERANGE;
	bytes[0] = JUMP_OPCODE;
	for (int i = 0; i < 4; i++)
		bytes[1 + i] = (uint8_t)(distance >> (8 * i));
	return 0;
}

static int divert(uint64_t entry, const uint8_t *code, size_t n, uint64_t size, uint64_t to,
		  struct arch_jump *jump)
{
	uint8_t offset = 0;
	if (n < ENDBR_LENGTH && n < size)
		return -CORE_ENOSPC;
	if (n >= ENDBR_LENGTH && code[0] == 0xf3 && code[1] == 0x0f && code[2] == 0x1e && code[3] == 0xfa)
		offset = ENDBR_LENGTH;
	if (size < (uint64_t)offset + JUMP_LENGTH)
		return -CORE_ENOSPC;
	if (entry > UINT64_MAX - offset)
		return -CORE_ERANGE;
	jump->offset = offset;
	jump->length = JUMP_LENGTH;
	return encode_jump(entry + offset, to, jump->bytes);
}

static int encode_nops(uint8_t *bytes, size_t n)
{
	if (n == 0 || n > ARCH_SITE_MAX)
		return -CORE_EINVAL;
	while (n > 0) {
		size_t length = n < LONGEST_NOP ? n : LONGEST_NOP;
		for (size_t i = 0; i < length; i++)
			*bytes++ = nops[length - 1][i];
		n -= length;
	}
	return 0;
}

static int check_boundaries(const uint8_t *code, size_t n, size_t offset, size_t length,
			    arch_decode_fn *decode, void *context)
{
	if (length == 0 || length > ARCH_SITE_MAX || offset > n || length > n - offset)
		return -CORE_EINVAL;
	if (!decode)
		return -CORE_ENOTSUP;
	size_t at = 0;
	bool begins = offset == 0;
	while (at < offset + length) {
		int step = decode(context, code + at, n - at);
		if (step < 0)
			return step;
		if (step == 0 || step > LONGEST || (size_t)step > n - at)
			return -CORE_EINVAL;
		at += (size_t)step;
		begins |= at == offset;
	}
	return begins && at == offset + length ? 0 : -CORE_EINVAL;
}

#if defined(__x86_64__)
#define SERIALISE serialise
static void serialise(void)
{
	uint32_t a = 0, b, c = 0, d;
	__asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d) : : "memory");
}
#else
#define SERIALISE NULL
#endif

const struct arch_ops arch_x86_64 = {
	.name = "x86_64",
	.jump_length = JUMP_LENGTH,
	.alignment = 1,
	.traps = traps,
	.n_traps = sizeof(traps) / sizeof(traps[0]),
	.encode_jump = encode_jump,
	.divert = divert,
	.encode_nops = encode_nops,
	.check_boundaries = check_boundaries,
	.serialise = SERIALISE,
};
