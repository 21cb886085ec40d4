/* SPDX-License-Identifier: MIT */
/*
 * Both architectures' tables. No test library, so that it is cross-compiled and run under emulation as it is
 * (aarch64.sh): there serialise is AArch64's own, here x86-64's. Prints TAP.
 */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "core/arch/arch.h"
#include "core/errno.h"
#include "core/site.h"

static unsigned n_checks, n_failed;
static bool test_failed;

#define CHECK(x)                                                 \
	do {                                                     \
		n_checks++;                                      \
		if (!(x)) {                                      \
			test_failed = true;                      \
			printf("# line %d: %s\n", __LINE__, #x); \
		}                                                \
	} while (0)

#define BASE UINT64_C(0x555555554000)

static uint32_t word(const uint8_t *bytes)
{
	return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
	       (uint32_t)bytes[3] << 24;
}

static void x86_64_jumps(void)
{
	const struct arch_ops *a = &arch_x86_64;
	uint8_t b[8];
	static const uint8_t self[] = {0xe9, 0xfb, 0xff, 0xff, 0xff}, next[] = {0xe9, 0, 0, 0, 0};
	CHECK(a->jump_length == 5);
	CHECK(a->encode_jump(BASE, BASE, b) == 0 && memcmp(b, self, 5) == 0);
	CHECK(a->encode_jump(BASE, BASE + 5, b) == 0 && memcmp(b, next, 5) == 0);
	CHECK(a->encode_jump(BASE, BASE + 5 + 0x7fffffff, b) == 0 && word(b + 1) == 0x7fffffff);
	CHECK(a->encode_jump(BASE, BASE + 5 + UINT64_C(0x80000000), b) == -CORE_ERANGE);
	CHECK(a->encode_jump(BASE, BASE + 5 - UINT64_C(0x80000000), b) == 0 && word(b + 1) == 0x80000000);
	CHECK(a->encode_jump(BASE, BASE + 4 - UINT64_C(0x80000000), b) == -CORE_ERANGE);
	/* Around the end of the address space is not near. */
	CHECK(a->encode_jump(UINT64_MAX - 16, 16, b) == -CORE_ERANGE);
	CHECK(a->encode_jump(16, UINT64_MAX - 16, b) == -CORE_ERANGE);
	CHECK(a->encode_jump(UINT64_MAX - 2, UINT64_MAX - 16, b) == -CORE_ERANGE);
	/* Where it goes is where it was meant to, over the whole reach. */
	for (int64_t d = -INT64_C(0x80000000); d <= 0x7fffffff; d += 0x1234567) {
		uint64_t to = BASE + 5 + (uint64_t)d;
		CHECK(a->encode_jump(BASE, to, b) == 0 &&
		      BASE + 5 + (uint64_t)(int64_t)(int32_t)word(b + 1) == to);
	}
}

static void x86_64_sites(void)
{
	const struct arch_ops *a = &arch_x86_64;
	static const uint8_t plain[] = {0x55, 0x48, 0x89, 0xe5, 0x90, 0xc3};
	static const uint8_t endbr[] = {0xf3, 0x0f, 0x1e, 0xfa, 0x55, 0x48, 0x89, 0xe5, 0xc3};
	static const uint8_t endbr32[] = {0xf3, 0x0f, 0x1e, 0xfb, 0x55, 0x48, 0x89, 0xe5, 0xc3};
	static const uint8_t ret[] = {0xc3};
	struct arch_jump j;
	CHECK(a->divert(BASE, plain, 6, 6, BASE + 100, &j) == 0);
	CHECK(j.offset == 0 && j.length == 5 && j.bytes[0] == 0xe9 && word(j.bytes + 1) == 95);
	CHECK(a->divert(BASE, plain, 5, 5, BASE + 100, &j) == 0);
	CHECK(a->divert(BASE, plain, 4, 4, BASE + 100, &j) == -CORE_ENOSPC);
	CHECK(a->divert(BASE, ret, 1, 1, BASE + 100, &j) == -CORE_ENOSPC);
	CHECK(a->divert(BASE, plain, 3, 64, BASE + 100, &j) == -CORE_ENOSPC); /* too little to tell endbr64 */
	CHECK(a->divert(BASE, plain, 0, 0, BASE + 100, &j) == -CORE_ENOSPC);
	CHECK(a->divert(BASE, endbr, 9, 9, BASE + 100, &j) == 0);
	CHECK(j.offset == 4 && j.length == 5 && word(j.bytes + 1) == 91);
	CHECK(a->divert(BASE, endbr, 8, 8, BASE + 100, &j) == -CORE_ENOSPC);
	CHECK(a->divert(BASE, endbr32, 9, 9, BASE + 100, &j) == 0 && j.offset == 0);
	CHECK(a->divert(BASE, plain, 6, 6, BASE + (UINT64_C(1) << 40), &j) == -CORE_ERANGE);
	CHECK(a->divert(UINT64_MAX - 2, endbr, 9, 9, BASE, &j) == -CORE_ERANGE);
}

/* A decoder for the bytes of the tests: the NOPs that the table itself writes, and one-byte instructions. */
static int decode_nop(void *context, const uint8_t *code, size_t n)
{
	size_t at = 0;
	(void)context;
	while (at < n && code[at] == 0x66)
		at++;
	if (at < n && code[at] == 0x90)
		return (int)at + 1;
	if (at + 2 >= n || code[at] != 0x0f || code[at + 1] != 0x1f)
		return at < n && code[at] == 0xc3 ? (int)at + 1 : -CORE_EINVAL;
	unsigned mod = code[at + 2] >> 6, rm = code[at + 2] & 7;
	size_t length = at + 3 + (rm == 4) + (mod == 1 ? 1 : mod == 2 ? 4 : 0);
	return length <= n ? (int)length : -CORE_EINVAL;
}

static int decode_lies(void *context, const uint8_t *code, size_t n)
{
	(void)code;
	(void)n;
	return *(int *)context;
}

static void x86_64_nops(void)
{
	const struct arch_ops *a = &arch_x86_64;
	uint8_t b[40];
	for (size_t n = 1; n <= 31; n++) {
		memset(b, 0xc3, sizeof(b));
		CHECK(a->encode_nops(b, n) == 0);
		CHECK(b[n] == 0xc3);
		/* As few instructions as possible, all NOPs, ending where they should. */
		size_t at = 0, count = 0;
		while (at < n) {
			int step = decode_nop(NULL, b + at, n - at);
			CHECK(step > 0 && step <= 9 && b[at] != 0xc3);
			if (step <= 0)
				break;
			at += (size_t)step;
			count++;
		}
		CHECK(at == n && count == (n + 8) / 9);
	}
	CHECK(a->encode_nops(b, 0) == -CORE_EINVAL);
	CHECK(a->encode_nops(b, 32) == -CORE_EINVAL);
}

static void x86_64_boundaries(void)
{
	const struct arch_ops *a = &arch_x86_64;
	uint8_t code[20];
	int lie;
	/* Instructions of 3, 5, 9, 3 bytes. */
	a->encode_nops(code, 3);
	a->encode_nops(code + 3, 5);
	a->encode_nops(code + 8, 9);
	a->encode_nops(code + 17, 3);
	static const size_t ends[] = {0, 3, 8, 17, 20};
	for (size_t from = 0; from <= 20; from++)
		for (size_t to = from + 1; to <= 20; to++) {
			bool begins = false, stops = false;
			for (size_t i = 0; i < 5; i++) {
				begins |= ends[i] == from;
				stops |= ends[i] == to;
			}
			CHECK(a->check_boundaries(code, 20, from, to - from, decode_nop, NULL) ==
			      (begins && stops ? 0 : -CORE_EINVAL));
		}
	CHECK(a->check_boundaries(code, 20, 0, 0, decode_nop, NULL) == -CORE_EINVAL);
	CHECK(a->check_boundaries(code, 20, 0, 21, decode_nop, NULL) == -CORE_EINVAL);
	CHECK(a->check_boundaries(code, 20, 21, 1, decode_nop, NULL) == -CORE_EINVAL);
	CHECK(a->check_boundaries(code, 20, SIZE_MAX, 3, decode_nop, NULL) == -CORE_EINVAL);
	CHECK(a->check_boundaries(code, 20, 3, SIZE_MAX, decode_nop, NULL) == -CORE_EINVAL);
	/* No decoder is no answer; nor is one that fails or lies. */
	CHECK(a->check_boundaries(code, 20, 0, 3, NULL, NULL) == -CORE_ENOTSUP);
	lie = -CORE_EIO;
	CHECK(a->check_boundaries(code, 20, 0, 3, decode_lies, &lie) == -CORE_EIO);
	lie = 0;
	CHECK(a->check_boundaries(code, 20, 0, 3, decode_lies, &lie) == -CORE_EINVAL);
	lie = 16;
	CHECK(a->check_boundaries(code, 20, 0, 16, decode_lies, &lie) == -CORE_EINVAL);
	lie = 15;
	CHECK(a->check_boundaries(code, 10, 0, 10, decode_lies, &lie) == -CORE_EINVAL);
}

static void aarch64_jumps(void)
{
	const struct arch_ops *a = &arch_aarch64;
	uint8_t b[4];
	CHECK(a->jump_length == 4 && a->alignment == 4);
	CHECK(a->encode_jump(BASE, BASE, b) == 0 && word(b) == 0x14000000);
	CHECK(a->encode_jump(BASE, BASE + 4, b) == 0 && word(b) == 0x14000001);
	CHECK(a->encode_jump(BASE, BASE - 4, b) == 0 && word(b) == 0x17ffffff);
	CHECK(a->encode_jump(BASE, BASE + 0x7fffffc, b) == 0 && word(b) == 0x15ffffff);
	CHECK(a->encode_jump(BASE, BASE + 0x8000000, b) == -CORE_ERANGE);
	CHECK(a->encode_jump(BASE, BASE - 0x8000000, b) == 0 && word(b) == 0x16000000);
	CHECK(a->encode_jump(BASE, BASE - 0x8000004, b) == -CORE_ERANGE);
	CHECK(a->encode_jump(BASE + 2, BASE, b) == -CORE_EINVAL);
	CHECK(a->encode_jump(BASE, BASE + 1, b) == -CORE_EINVAL);
	CHECK(a->encode_jump(UINT64_MAX - 3, 0, b) == -CORE_ERANGE);
	CHECK(a->encode_jump(0, UINT64_MAX - 3, b) == -CORE_ERANGE);
}

static void aarch64_sites(void)
{
	const struct arch_ops *a = &arch_aarch64;
	static const struct {
		uint32_t first;
		uint8_t offset, length;
	} cases[] = {
		{0xa9bf7bfd, 0, 4}, /* stp x29, x30, [sp, #-16]! */
		{0xd503245f, 4, 4}, /* bti c */
		{0xd50324df, 4, 4}, /* bti jc */
		{0xd503249f, 4, 4}, /* bti j */
		{0xd503233f, 0, 8}, /* paciasp */
		{0xd503237f, 0, 8}, /* pacibsp */
	};
	struct arch_jump j;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint8_t code[8] = {0};
		for (int k = 0; k < 4; k++)
			code[k] = (uint8_t)(cases[i].first >> (8 * k));
		size_t needs = cases[i].offset + (size_t)cases[i].length;
		CHECK(a->divert(BASE, code, 8, needs, BASE + 0x1000, &j) == 0);
		CHECK(j.offset == cases[i].offset && j.length == cases[i].length);
		/* The branch is the last word of the site and goes there. */
		uint64_t at = BASE + needs - 4;
		CHECK(word(j.bytes + j.length - 4) == (0x14000000 | (uint32_t)((BASE + 0x1000 - at) / 4)));
		if (j.length == 8)
			CHECK(word(j.bytes) == 0xd503245f); /* the landing pad stays, the signing goes */
		CHECK(a->divert(BASE, code, 8, needs - 1, BASE + 0x1000, &j) == -CORE_ENOSPC);
		CHECK(a->divert(BASE + 1, code, 8, 64, BASE + 0x1000, &j) == -CORE_EINVAL);
		CHECK(a->divert(BASE, code, 8, 64, BASE + 0x10000000, &j) == -CORE_ERANGE);
		CHECK(a->divert(BASE, code, 3, 64, BASE + 0x1000, &j) == -CORE_ENOSPC);
	}
	struct engine_site site;
	static const uint8_t paciasp[] = {0x3f, 0x23, 0x03, 0xd5, 0x1f, 0x20, 0x03, 0xd5};
	CHECK(site_divert(a, BASE, paciasp, 4, 64, BASE + 0x1000, &site) ==
	      -CORE_ENOSPC); /* old bytes not given */
	CHECK(site_divert(a, BASE, paciasp, 8, 64, BASE + 0x1000, &site) == 0);
	CHECK(site.address == BASE && site.length == 8 && memcmp(site.expected, paciasp, 8) == 0);
}

static void aarch64_nops_and_boundaries(void)
{
	const struct arch_ops *a = &arch_aarch64;
	uint8_t b[32];
	struct engine_site site;
	for (size_t n = 0; n <= 33; n++) {
		bool may = n > 0 && n <= 31 && n % 4 == 0;
		CHECK(a->encode_nops(b, n) == (may ? 0 : -CORE_EINVAL));
		for (size_t i = 0; may && i < n; i += 4)
			CHECK(word(b + i) == 0xd503201f);
	}
	for (size_t from = 0; from <= 12; from++)
		for (size_t n = 0; n <= 13; n++) {
			bool may = n > 0 && from % 4 == 0 && n % 4 == 0 && from + n <= 12;
			CHECK(a->check_boundaries(b, 12, from, n, NULL, NULL) == (may ? 0 : -CORE_EINVAL));
		}
	CHECK(a->check_boundaries(b, 12, SIZE_MAX - 3, 4, NULL, NULL) == -CORE_EINVAL);
	CHECK(site_blank(a, BASE, b, 12, 4, 8, NULL, NULL, &site) == 0);
	CHECK(site.address == BASE + 4 && site.length == 8 && word(site.new_bytes + 4) == 0xd503201f);
	CHECK(memcmp(site.expected, b + 4, 8) == 0);
	CHECK(site_blank(a, UINT64_MAX - 4, b, 12, 0, 4, NULL, NULL, &site) == -CORE_EINVAL);
}

static void blanked_on_x86_64(void)
{
	uint8_t code[20];
	struct engine_site site;
	memset(code, 0x90, sizeof(code));
	arch_x86_64.encode_nops(code + 2, 9);
	CHECK(site_blank(&arch_x86_64, BASE, code, 20, 2, 9, decode_nop, NULL, &site) == 0);
	CHECK(site.address == BASE + 2 && site.length == 9 && site.has_expected);
	CHECK(site_blank(&arch_x86_64, BASE, code, 20, 3, 8, decode_nop, NULL, &site) ==
	      -CORE_EINVAL); /* cut */
	CHECK(site_blank(&arch_x86_64, BASE, code, 20, 2, 8, decode_nop, NULL, &site) == -CORE_EINVAL);
	CHECK(site_blank(&arch_x86_64, BASE, code, 20, 0, 20, NULL, NULL, &site) == -CORE_ENOTSUP);
}

static void traps(void)
{
	CHECK(arch_x86_64.n_traps == 4 && arch_aarch64.n_traps == 2);
	CHECK(arch_x86_64.traps[0].bytes[0] == 0xcc && arch_x86_64.traps[0].saved_offset == 1);
	for (size_t i = 0; i < arch_x86_64.n_traps; i++)
		CHECK(arch_x86_64.traps[i].length == 1 && arch_x86_64.traps[i].saved_offset == (i == 0));
	for (size_t i = 0; i < arch_aarch64.n_traps; i++)
		CHECK(arch_aarch64.traps[i].length == 4 && arch_aarch64.traps[i].saved_offset == 0);
	CHECK(word(arch_aarch64.traps[0].bytes) == 0xd4200000);
}

static void native(void)
{
	const struct arch_ops *a = arch_native();
#if defined(__x86_64__)
	CHECK(a == &arch_x86_64 && !arch_aarch64.serialise);
#elif defined(__aarch64__)
	CHECK(a == &arch_aarch64 && !arch_x86_64.serialise);
#endif
	CHECK(a && a->serialise);
	if (a && a->serialise)
		a->serialise(); /* comes back */
}

int main(void)
{
	static const struct {
		const char *name;
		void (*run)(void);
	} tests[] = {
		{"x86_64_jumps", x86_64_jumps},
		{"x86_64_sites", x86_64_sites},
		{"x86_64_nops", x86_64_nops},
		{"x86_64_boundaries", x86_64_boundaries},
		{"aarch64_jumps", aarch64_jumps},
		{"aarch64_sites", aarch64_sites},
		{"aarch64_nops_and_boundaries", aarch64_nops_and_boundaries},
		{"blanked_on_x86_64", blanked_on_x86_64},
		{"traps", traps},
		{"native", native},
	};
	size_t n = sizeof(tests) / sizeof(tests[0]);
	printf("1..%zu\n", n);
	for (size_t i = 0; i < n; i++) {
		test_failed = false;
		tests[i].run();
		n_failed += test_failed;
		printf("%s %zu - %s\n", test_failed ? "not ok" : "ok", i + 1, tests[i].name);
	}
	printf("# %u checks, %s\n", n_checks, arch_native() ? arch_native()->name : "?");
	return n_failed > 0;
}
