// SPDX-License-Identifier: MIT
/* What is refused, what enters a site, pads that are as long as can be, and bytes that nobody compiled. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "process/displace.h"
#include "same.h"

#define ADDRESS 0x7f0000400000u
#define NEAR	(ADDRESS + 0x10000)
#define FAR	(ADDRESS + 0x180000000u)
#define B(...)	(const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__})

/* As they are in memory of just that size, for AddressSanitizer. */
static struct usp_error *make(const uint8_t *bytes, size_t n, uint64_t address, size_t length,
			      uint64_t pad_address, size_t *size, size_t *covered)
{
	_cleanup_free_ uint8_t *code = malloc(n + !n);
	_cleanup_free_ uint8_t *pad = malloc(DISPLACE_MAX);
	assert_non_null(code);
	assert_non_null(pad);
	memcpy(code, bytes, n);
	*size = *covered = 12345;
	struct usp_error *error = displace(code, n, address, length, pad_address, pad, size, covered);
	if (error) {
		assert_int_equal(*size, 12345);
		assert_int_equal(*covered, 12345);
		return error;
	}
	assert_true(*size <= DISPLACE_MAX);
	assert_true(*covered >= length);
	const char *what = same_differs(code, n, address, length, pad_address, pad, *size, *covered);
	if (what) {
		for (size_t i = 0; i < n; i++)
			print_message("%02x ", code[i]);
		fail_msg("%zu bytes at %" PRIx64 ": differs in %s", length, address, what);
	}
	return NULL;
}

static void refused(const uint8_t *code, size_t n, uint64_t address, size_t length, uint64_t pad_address,
		    enum usp_code code_wanted, const char *wanted)
{
	size_t size, covered;
	struct usp_error *error = make(code, n, address, length, pad_address, &size, &covered);
	if (!error)
		fail_msg("not refused: %s", wanted);
	if (error->code != code_wanted || !strstr(error->message, wanted))
		fail_msg("\"%s\" (%d) instead of \"%s\" (%d)", error->message, (int)error->code, wanted,
			 (int)code_wanted);
	usp_error_destroy(error);
}

static void unsupported(const uint8_t *code, size_t n, size_t length, const char *wanted)
{
	refused(code, n, ADDRESS, length, NEAR, USP_UNSUPPORTED, wanted);
}

static void made(const uint8_t *code, size_t n, size_t length, size_t size_wanted, size_t covered_wanted)
{
	size_t size, covered;
	struct usp_error *error = make(code, n, ADDRESS, length, NEAR, &size, &covered);
	if (error)
		fail_msg("%s", error->message);
	assert_int_equal(size, size_wanted);
	assert_int_equal(covered, covered_wanted);
}

static void test_usage(void **state)
{
	(void)state;
	uint8_t nops[64];
	memset(nops, 0x90, sizeof(nops));
	refused(nops, 16, ADDRESS, 0, NEAR, USP_USAGE, "0 of 16 bytes at 0x7f0000400000");
	refused(nops, 64, ADDRESS, DISPLACE_SITE_MAX + 1, NEAR, USP_USAGE, "32 of 64");
	refused(nops, 4, ADDRESS, 5, NEAR, USP_USAGE, "5 of 4");
	refused(nops, 16, UINT64_MAX - 8, 5, NEAR, USP_USAGE, "0xfffffffffffffff7");
	refused(nops, 16, ADDRESS, 5, UINT64_MAX - 8, USP_USAGE, "for 0xfffffffffffffff7");
}

static void test_not_decodable(void **state)
{
	(void)state;
	unsupported(B(0x06), 1, "no instruction can be decoded at 0x7f0000400000");
	unsupported(B(0x55, 0x06, 0x90), 2, "at 0x7f0000400001");
	unsupported(B(0x48, 0x8b, 0x05, 0, 0), 1, "at 0x7f0000400000"); /* cut off */
}

static void test_too_far(void **state)
{
	(void)state;
	static const struct {
		uint8_t code[12];
		size_t n;
		const char *name;
	} cases[] = {
		{{0x55}, 1, "\"push %rbp\" at 0x7f0000400000"}, /* the jump behind it */
		{{0x48, 0x8b, 0x05, 0, 1, 0, 0}, 7, "\"mov 0x00007F0000400107, %rax\""},
		{{0x48, 0x8d, 0x05, 0, 1, 0, 0}, 7, "lea"},
		{{0xe9, 0, 1, 0, 0}, 5, "jmp"},
		{{0xeb, 0x40}, 2, "jmp"},
		{{0x74, 0x40}, 2, "jz"},
		{{0x0f, 0x84, 0, 1, 0, 0}, 6, "jz"},
		{{0xe3, 0x40}, 2, "jrcxz"},
		{{0xe8, 0, 1, 0, 0}, 5, "call"},
		{{0xff, 0x15, 0, 1, 0, 0}, 6, "call"},
		{{0xff, 0x25, 0, 1, 0, 0}, 6, "jmp"},
		{{0x0f, 0x05}, 2, "syscall"},
		{{0xc7, 0xf8, 0, 1, 0, 0}, 6, "xbegin"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		refused(cases[i].code, cases[i].n, ADDRESS, 1, FAR, USP_UNSUPPORTED, cases[i].name);
		refused(cases[i].code, cases[i].n, ADDRESS, 1, FAR, USP_UNSUPPORTED,
			"more than 2 GiB away from the pad at 0x7f0180400000");
		refused(cases[i].code, cases[i].n, FAR, 1, ADDRESS, USP_UNSUPPORTED, "more than 2 GiB away");
	}
	/* What needs nothing of where it was may be as far as it likes. */
	size_t size, covered;
	assert_null(make(B(0xc3), ADDRESS, 1, FAR, &size, &covered));
	assert_null(make(B(0xff, 0xe0), ADDRESS, 1, FAR, &size, &covered));
	assert_null(make(B(0xff, 0xd0), ADDRESS, 1, FAR, &size, &covered));
	/* The last that is reached: from the pad's end, not from its beginning. */
	const uint8_t nop = 0x90;
	assert_null(make(&nop, 1, ADDRESS, 1, ADDRESS + 1 + 0x80000000u - 6, &size, &covered));
	refused(&nop, 1, ADDRESS, 1, ADDRESS + 1 + 0x80000000u - 5, USP_UNSUPPORTED, "more than 2 GiB away");
	assert_null(make(&nop, 1, ADDRESS, 1, ADDRESS + 1 - 0x7fffffffu - 6, &size, &covered));
	refused(&nop, 1, ADDRESS, 1, ADDRESS + 1 - 0x7fffffffu - 7, USP_UNSUPPORTED, "more than 2 GiB away");
}

static void test_prefixes(void **state)
{
	(void)state;
	unsupported(B(0x67, 0x48, 0x8b, 0x05, 0, 1, 0, 0), 1, "lower half of the instruction pointer");
	unsupported(B(0x67, 0x8d, 0x05, 0, 1, 0, 0), 1, "lower half of the instruction pointer");
	unsupported(B(0x66, 0xe9, 0, 1, 0, 0, 0, 0), 1, "processors disagree");
	unsupported(B(0x66, 0xe8, 0, 1, 0, 0, 0, 0), 1, "processors disagree");
	unsupported(B(0x66, 0x74, 0x10, 0, 0, 0), 1, "processors disagree");
	unsupported(B(0x66, 0xff, 0xd0), 1, "processors disagree");
	/* jknzd of a forgotten coprocessor: looks like jnz in all but its prefix */
	unsupported(B(0xc5, 0xe8, 0x85, 0, 1, 0, 0), 1, "not known here");
	made(B(0x66, 0x48, 0xe9, 0, 1, 0, 0), 1, 5, 7);
	unsupported(B(0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0xff, 0x54, 0x24, 0x10), 1,
		    "too many prefixes");
}

static void test_calls(void **state)
{
	(void)state;
	unsupported(B(0xe8, 0, 1, 0, 0, 0x90), 6, "it would return into the bytes that are being rewritten");
	unsupported(B(0x55, 0xff, 0xd0, 0x90, 0x90), 5, "\"call %rax\" at 0x7f0000400001");
	unsupported(B(0xff, 0x50, 0x10, 0x90, 0x90), 5, "it would return into");
	unsupported(B(0xff, 0x15, 0, 1, 0, 0, 0x90), 7, "it would return into");
	made(B(0xe8, 0, 1, 0, 0, 0x90), 5, 6 + 5 + 8, 5);
	made(B(0xff, 0xd0, 0x90, 0x90, 0x90), 2, 6 + 2 + 8, 2);
	/* The displacement from rsp takes 32 bits. */
	made(B(0xff, 0x14, 0x24), 1, 6 + 7 + 8, 3);
	unsupported(B(0xff, 0xd4), 1, "it calls the stack pointer");
	unsupported(B(0xff, 0x54, 0x24, 0xf8), 1, "its operand lies where it pushes");
	unsupported(B(0xff, 0x54, 0x24, 0xf1), 1, "its operand lies where it pushes");
	unsupported(B(0xff, 0x54, 0x24, 0xff), 1, "its operand lies where it pushes");
	made(B(0xff, 0x54, 0x24, 0xf0), 1, 6 + 7 + 8, 4);
	unsupported(B(0xff, 0x94, 0x24, 0xf8, 0xff, 0xff, 0x7f), 1, "displacement cannot grow");
	made(B(0xff, 0x94, 0x24, 0xf7, 0xff, 0xff, 0x7f), 1, 6 + 7 + 8, 7);
	unsupported(B(0xff, 0x1d, 0, 1, 0, 0), 1, "far call");
	unsupported(B(0x48, 0xff, 0x18), 1, "far call");
	/* A call of the site itself is recursion, not a loop: by the entry. */
	made(B(0xe8, 0xfb, 0xff, 0xff, 0xff), 5, 6 + 5 + 8, 5);
	/* One that nothing reaches is not there. */
	made(B(0xeb, 0x40, 0xff, 0xd0, 0x90), 5, 5, 5);
}

static void test_inside(void **state)
{
	(void)state;
	unsupported(B(0x74, 0x01, 0xb8, 0, 0, 0, 0), 5, "\"jz 0x00007F0000400003\" at 0x7f0000400000");
	unsupported(B(0x74, 0x01, 0xb8, 0, 0, 0, 0), 5, "into the middle of another");
	unsupported(B(0xeb, 0xff, 0xc0, 0x90), 2, "into the middle of another");
	unsupported(B(0xe8, 0xfc, 0xff, 0xff, 0xff), 5, "into the middle of another");
	/* Beyond the site its last instruction's bytes are still there. */
	made(B(0x74, 0x01, 0xb8, 0, 0, 0, 0), 3, 6 + 5 + 5, 7);
	made(B(0x74, 0x03, 0xe9, 0, 1, 0, 0x90), 5, 6 + 5, 7);
	/* Junk behind a jump is not looked at, unless something goes there. */
	made(B(0xeb, 0x40, 0x06, 0x06, 0x06), 5, 5, 5);
	made(B(0xc3, 0x06, 0x06, 0x06, 0x06), 5, 1, 5);
	unsupported(B(0x74, 0x02, 0xeb, 0x40, 0x06), 5, "no instruction can be decoded at 0x7f0000400004");
	/* xabort is no jump: outside a transaction it goes on. */
	made(B(0xc6, 0xf8, 0x07, 0x90), 4, 4 + 5, 4);
	made(B(0xc7, 0xf8, 0, 1, 0, 0), 1, 6 + 5, 6);
	made(B(0xc7, 0xf8, 0, 0, 0, 0, 0x90), 7, 6 + 1 + 5, 7);
}

static void test_operand_inside(void **state)
{
	(void)state;
	/* mov s(%rip), %rax: its last byte in the site, its first, beside it on either side */
	static const int displacements[] = {-7 - 8, -7 - 7, -7 + 4, -7 + 5};
	for (size_t i = 0; i < 4; i++) {
		uint8_t code[] = {0x48, 0x8b, 0x05, 0, 0, 0, 0};
		memcpy(code + 3, &displacements[i], 4);
		if (i == 0 || i == 3)
			made(code, sizeof(code), 5, 7 + 5, 7);
		else
			unsupported(code, sizeof(code), 5,
				    "its operand lies in the bytes that are being rewritten");
		code[1] = 0x8d; /* lea does not look */
		made(code, sizeof(code), 5, 7 + 5, 7);
	}
	unsupported(B(0xff, 0x15, 0xfa, 0xff, 0xff, 0xff), 5, "its operand lies in the bytes");
	unsupported(B(0xff, 0x25, 0xfa, 0xff, 0xff, 0xff), 5, "its operand lies in the bytes");
	made(B(0x64, 0x8b, 0x05, 0xfa, 0xff, 0xff, 0xff), 5, 7 + 5, 7); /* somewhere else, beyond %fs */
}

static void test_longest(void **state)
{
	(void)state;
	uint8_t code[DISPLACE_SITE_MAX + DISPLACE_LOOK_AHEAD];
	size_t size, covered, n = sizeof(code);
	static const uint8_t pairs[][2] = {{0x0f, 0x05}, {0xe3, 0x40}, {0x74, 0x40}, {0x74, 0x00}};
	for (size_t i = 0; i < 4; i++) {
		for (size_t at = 0; at < n; at++)
			code[at] = pairs[i][at % 2];
		assert_null(make(code, n, ADDRESS, DISPLACE_SITE_MAX, NEAR, &size, &covered));
		assert_int_equal(covered, 32);
		/* The longest that ends a pad: a call with many prefixes. */
		memset(code + 30, 0x2e, 8);
		memcpy(code + 38, (const uint8_t[]){0xff, 0x94, 0x24, 0, 1, 0, 0}, 7);
		assert_null(make(code, n, ADDRESS, DISPLACE_SITE_MAX, NEAR, &size, &covered));
		assert_int_equal(covered, 45);
	}
	memset(code, 0x2e, 14);
	code[14] = 0x90;
	assert_null(make(code, 15, ADDRESS, 1, NEAR, &size, &covered));
	assert_int_equal(size, 20);
}

/* Whatever can be decoded is either refused or the same. */
static void test_random(void **state)
{
	(void)state;
	uint64_t mix = 1;
	unsigned n_made = 0, n_refused = 0;
	for (unsigned round = 0; round < 300000; round++) {
		/* Every other time, begin with what is rewritten: branches, calls, RIP-relative operands. */
		static const uint8_t likely[] = {0x70, 0x74, 0x7f, 0xe0, 0xe3, 0xe8, 0xe9,
						 0xeb, 0xff, 0x0f, 0x8b, 0x81, 0x48, 0x66,
						 0x67, 0xc5, 0xc4, 0x62, 0xc7, 0xf2, 0xf3};
		uint8_t code[DISPLACE_SITE_MAX + DISPLACE_LOOK_AHEAD];
		size_t size, covered, length = 1 + round % DISPLACE_SITE_MAX;
		for (size_t i = 0; i < sizeof(code); i++) {
			mix = mix * 6364136223846793005u + 1442695040888963407u;
			code[i] = (uint8_t)(mix >> 33);
			if (round & 1 && mix >> 60 < 5)
				code[i] = likely[(mix >> 41) % sizeof(likely)];
			if (round & 1 && mix >> 60 == 5)
				code[i] = (uint8_t)(mix >> 41 & 31); /* near targets; ModRM with rip */
		}
		size_t n = mix >> 62 ? sizeof(code) : length;
		struct usp_error *error = make(code, n, ADDRESS, length, NEAR, &size, &covered);
		n_made += !error;
		n_refused += !!error;
		if (error)
			assert_int_equal(error->code, USP_UNSUPPORTED);
		usp_error_destroy(error);
		displace_enters_site(code, n, ADDRESS, ADDRESS + round % 7, length);
	}
	print_message("# %u pads made, %u refused\n", n_made, n_refused);
	assert_true(n_made > 10000);
	assert_true(n_refused > 10000);
}

static bool enters(const uint8_t *code, size_t n, size_t site, size_t length)
{
	_cleanup_free_ uint8_t *copy = malloc(n + !n);
	assert_non_null(copy);
	memcpy(copy, code, n);
	return displace_enters_site(copy, n, ADDRESS, ADDRESS + site, length);
}

static void test_enters_direct(void **state)
{
	(void)state;
	/* push %rbp; mov %rsp,%rbp; test %eax,%eax; jne to each of them; ret */
	for (int to = 0; to < 8; to++) {
		uint8_t code[] = {0x55, 0x48, 0x89, 0xe5, 0x85, 0xc0, 0x75, 0, 0xc3};
		code[7] = (uint8_t)(to - 8);
		for (size_t length = 1; length < 8; length++)
			assert_int_equal(enters(code, sizeof(code), 0, length),
					 to > 0 && (size_t)to < length);
	}
	/* each kind that has a target, to 2: xbegin, loop, jrcxz, call, jmp */
	assert_true(enters(B(0x90, 0x90, 0x90, 0xc7, 0xf8, 0xf9, 0xff, 0xff, 0xff), 0, 5));
	assert_true(enters(B(0x90, 0x90, 0x90, 0x90, 0x90, 0xe2, 0xfb), 0, 5));
	assert_true(enters(B(0x90, 0x90, 0x90, 0x90, 0x90, 0xe3, 0xfb), 0, 5));
	assert_true(enters(B(0x90, 0x90, 0x90, 0x90, 0x90, 0xe8, 0xf8, 0xff, 0xff, 0xff), 0, 5));
	assert_true(enters(B(0x90, 0x90, 0x90, 0x90, 0x90, 0xe9, 0xf8, 0xff, 0xff, 0xff), 0, 5));
	/* to 0 and 5: beside it */
	assert_false(enters(B(0x90, 0x90, 0x90, 0x90, 0x90, 0xe9, 0xf6, 0xff, 0xff, 0xff), 0, 5));
	assert_false(enters(B(0x90, 0x90, 0x90, 0x90, 0x90, 0xe9, 0xfb, 0xff, 0xff, 0xff), 0, 5));
	/* a site behind the function's landmark */
	assert_true(enters(B(0xf3, 0x0f, 0x1e, 0xfa, 0x55, 0x55, 0x55, 0x55, 0x55, 0xeb, 0xfa), 4, 5));
	assert_false(enters(B(0xf3, 0x0f, 0x1e, 0xfa, 0x55, 0x55, 0x55, 0x55, 0x55, 0xeb, 0xf9), 4, 5));
	/* another piece of the function, far from its site */
	assert_true(displace_enters_site((const uint8_t[]){0xe9, 0x00, 0x00, 0xff, 0xff}, 5, ADDRESS + 0xfffc,
					 ADDRESS - 1, 5));
	assert_false(displace_enters_site((const uint8_t[]){0xe9, 0x03, 0x00, 0xff, 0xff}, 5,
					  ADDRESS + 0xfffc, ADDRESS - 1, 5));
	/* a call that returns into it */
	assert_true(enters(B(0xff, 0xd0, 0x90, 0x90, 0x90, 0xc3), 0, 5));
	assert_false(enters(B(0x90, 0x90, 0x90, 0xff, 0xd0, 0xc3), 0, 5));
	/* its address taken: lea, and as a number */
	assert_true(enters(B(0x90, 0x90, 0x90, 0x48, 0x8d, 0x05, 0xf7, 0xff, 0xff, 0xff, 0xc3), 0, 5));
	assert_false(enters(B(0x90, 0x90, 0x90, 0x48, 0x8d, 0x05, 0xf6, 0xff, 0xff, 0xff, 0xc3), 0, 5));
	assert_true(enters(B(0x48, 0xb8, 0x01, 0x00, 0x40, 0x00, 0x00, 0x7f, 0x00, 0x00, 0xc3), 0, 5));
	/* a jump with an operand-size prefix goes nobody knows where */
	assert_true(enters(B(0x90, 0x66, 0xe9, 0, 0, 0, 0, 0xc3), 0, 5));
	assert_false(displace_enters_site((const uint8_t *)"", 0, ADDRESS, ADDRESS, 5));
}

static void test_enters_indirect(void **state)
{
	(void)state;
	/* jmp *%rax; jmp *(,%rax,8): could go anywhere where an instruction begins */
	assert_true(enters(B(0x90, 0x90, 0x90, 0x90, 0x90, 0xff, 0xe0), 0, 5));
	assert_true(enters(B(0x90, 0x90, 0x90, 0x90, 0x90, 0x3e, 0xff, 0x24, 0xc5, 0, 0, 0, 0), 0, 5));
	/* one instruction over all of the site */
	assert_false(enters(B(0xb8, 0, 0, 0, 0, 0xff, 0xe0), 0, 5));
	assert_true(enters(B(0xb8, 0, 0, 0, 0, 0xff, 0xe0), 0, 6));
	/* a site that is not there as a whole, or does not begin with an instruction */
	assert_true(enters(B(0x90, 0x90, 0x90, 0x90, 0xff, 0xe0), 4, 5));
	assert_true(enters(B(0xb8, 0, 0, 0, 0, 0x90, 0xff, 0xe0), 1, 3));
	assert_true(displace_enters_site((const uint8_t[]){0xff, 0xe0}, 2, ADDRESS, ADDRESS + 0x1000, 5));
	/* jmp *slot(%rip) leaves the module */
	assert_false(enters(B(0x90, 0x90, 0x90, 0x90, 0x90, 0xff, 0x25, 0, 1, 0, 0), 0, 5));
	/* call *%rax comes back where it came from */
	assert_false(enters(B(0x90, 0x90, 0x90, 0x90, 0x90, 0xff, 0xd0, 0xc3), 0, 5));
}

static void test_enters_unknown(void **state)
{
	(void)state;
	assert_true(enters(B(0x90, 0x90, 0x90, 0x90, 0x90, 0xc3, 0x06), 0, 5));
	assert_true(enters(B(0x90, 0x90, 0x90, 0x90, 0x90, 0xe9, 0, 0), 0, 5)); /* cut off */
	/* One byte has no inside, whatever the rest may be. */
	assert_false(enters(B(0x90, 0x90, 0xff, 0xe0, 0x06), 0, 1));
	assert_false(enters(B(0x90, 0xff, 0xe0), 0, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_usage),		cmocka_unit_test(test_not_decodable),
		cmocka_unit_test(test_too_far),		cmocka_unit_test(test_prefixes),
		cmocka_unit_test(test_calls),		cmocka_unit_test(test_inside),
		cmocka_unit_test(test_operand_inside),	cmocka_unit_test(test_longest),
		cmocka_unit_test(test_random),		cmocka_unit_test(test_enters_direct),
		cmocka_unit_test(test_enters_indirect), cmocka_unit_test(test_enters_unknown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
