// SPDX-License-Identifier: MIT
/* The -fipa-ra trap, in code that gcc made, and in bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "process/clobber/decode.h"

static struct module *with, *without; /* -fipa-ra */

static void pass(struct usp_error *error)
{
	if (error)
		fail_msg("%s", error->message);
}

static int open_modules(void **state)
{
	(void)state;
	const char *paths[] = {getenv("IPARA_WITH"), getenv("IPARA_WITHOUT")};
	assert_non_null(paths[0]);
	assert_non_null(paths[1]);
	pass(module_open_file(paths[0], &with));
	pass(module_open_file(paths[1], &without));
	return 0;
}

static int close_modules(void **state)
{
	(void)state;
	module_close(with);
	module_close(without);
	return 0;
}

static struct symbol find(struct module *module, const char *name)
{
	struct symbol symbol;
	pass(symbol_find(module, name, NULL, STT_FUNC, &symbol));
	return symbol;
}

static struct usp_error *check(struct module *module, const char *name, clobber_set fresh)
{
	struct symbol symbol = find(module, name);
	return clobber_check(module, symbol.address - module->bias, symbol.size, name, fresh);
}

/* Does the test itself hold: with -fipa-ra the caller saves nothing, without it does. */
static bool saves_registers(struct module *module, const char *name)
{
	struct symbol symbol = find(module, name);
	uint8_t bytes[4];
	assert_int_equal(module_read_file(module, symbol.address - module->bias, bytes, sizeof(bytes)), 0);
	return (bytes[0] & 0xf8) == 0x50 || (bytes[0] == 0x41 && (bytes[1] & 0xf8) == 0x50) ||
	       !memcmp(bytes, "\x48\x83\xec", 3);
}

static void expect_refusal(const char *name, clobber_set fresh, const char *const *says)
{
	struct usp_error *error = check(with, name, fresh);
	if (!error)
		fail_msg("%s: not refused", name);
	assert_int_equal(error->code, USP_MISMATCH);
	for (; *says; says++)
		if (!strstr(error->message, *says))
			fail_msg("\"%s\" is not in: %s", *says, error->message);
	usp_error_destroy(error);
}
#define REFUSED(name, fresh, ...) expect_refusal(name, fresh, (const char *const[]){__VA_ARGS__, NULL})

static void test_kept(void **state)
{
	(void)state;
	assert_false(saves_registers(with, "keeper"));
	assert_true(saves_registers(without, "keeper"));
	REFUSED("leaf", CLOBBER_ALL, "replacing leaf()", "its caller keeper()", "rdx, rsi",
		"replace keeper() too", "0x");
	REFUSED("leaf", CLOBBER_BIT(CLOBBER_RSI), "a value in rsi across");
	pass(check(with, "leaf", CLOBBER_BIT(CLOBBER_RAX)));
	pass(check(with, "leaf", 0));
	/* Nobody keeps anything in these. */
	pass(check(with, "leaf", CLOBBER_BIT(CLOBBER_R10) | CLOBBER_BIT(CLOBBER_R11) | CLOBBER_VECTORS));
}

static void test_not_kept(void **state)
{
	(void)state;
	static const char *const leaves[] = {"leaf",	     "inner",	    "tail_inner",   "touch_argument",
					     "touch_result", "touch_float", "touch_switch", "touch_nothing",
					     "by_pointer",   "even"};
	for (size_t i = 0; i < sizeof(leaves) / sizeof(*leaves); i++)
		pass(check(without, leaves[i], CLOBBER_ALL));
	pass(check(with, "touch_nothing", CLOBBER_ALL));
	pass(check(with, "by_pointer", CLOBBER_ALL));
}

static void test_through(void **state)
{
	(void)state;
	REFUSED("inner", CLOBBER_ALL, "its caller outer()", "rsi");
	REFUSED("tail_inner", CLOBBER_ALL, "its caller tail_outer()", "rsi");
	REFUSED("middle", CLOBBER_ALL, "its caller outer()", "rsi");
	pass(check(with, "even", CLOBBER_ALL)); /* gcc does not look through recursion */
}

static void test_places(void **state)
{
	(void)state;
	REFUSED("touch_argument", CLOBBER_ALL, "its caller hands_on()", "rdi");
	REFUSED("touch_result", CLOBBER_ALL, "its caller returns()", "rax");
	REFUSED("touch_float", CLOBBER_ALL, "its caller keeps_float()", "xmm0, xmm1");
	REFUSED("touch_switch", CLOBBER_ALL, "its caller switches()", "rsi");
	REFUSED("saves", CLOBBER_BIT(CLOBBER_RCX), "its caller saves_caller()", "rcx");
	/* rdi is its own parameter, and it changes it for certain. */
	pass(check(with, "saves", CLOBBER_BIT(CLOBBER_RDI)));
	REFUSED("lonely", CLOBBER_ALL, "nothing says what function");
}

static void test_replaced_too(void **state)
{
	(void)state;
	struct range_set replaced = {0};
	struct symbol leaf = find(with, "leaf"), keeper = find(with, "keeper");
	pass(function_ranges(with, keeper.address, keeper.size, &replaced));
	range_set_seal(&replaced);
	pass(clobber_check_among(with, leaf.address - with->bias, leaf.size, "leaf", CLOBBER_ALL, &replaced));
	range_set_deinit(&replaced);
}

static clobber_set of_function(const char *name)
{
	struct symbol symbol = find(with, name);
	clobber_set set;
	pass(clobber_of_function(with, symbol.address - with->bias, symbol.size, &set));
	return set;
}

static void test_of_function(void **state)
{
	(void)state;
	assert_int_equal(of_function("leaf"), CLOBBER_BIT(CLOBBER_RAX));
	assert_int_equal(of_function("middle"), CLOBBER_BIT(CLOBBER_RAX));
	assert_int_equal(of_function("tail_middle") & ~CLOBBER_BIT(CLOBBER_RDI), CLOBBER_BIT(CLOBBER_RAX));
	assert_int_equal(of_function("calls_out"), CLOBBER_REGISTERS);
	assert_int_equal(of_function("calls_pointer"), CLOBBER_REGISTERS);
	assert_int_not_equal(of_function("even"), CLOBBER_REGISTERS);
	assert_int_equal(of_function("switches"), CLOBBER_REGISTERS); /* puts() behind its table */
	/* Written and restored: "may change" errs towards more. */
	assert_int_equal(of_function("saves") & CLOBBER_BIT(CLOBBER_RCX), CLOBBER_BIT(CLOBBER_RCX));
}

#define BIT(name) CLOBBER_BIT(CLOBBER_##name)

static void test_of_code(void **state)
{
	(void)state;
	static const struct {
		const char *what, *bytes;
		size_t size;
		clobber_set expected;
	} cases[] = {
#define CODE(bytes) bytes, sizeof(bytes) - 1
		{"nothing", CODE("\xc3"), 0},
		{"lea", CODE("\x48\x8d\x44\x7f\x01\xc3"), BIT(RAX)},
		{"byte register", CODE("\xb1\x05\xc3"), BIT(RCX)},
		{"cmov", CODE("\x48\x0f\x44\xd1\xc3"), BIT(RDX)},
		{"xchg", CODE("\x48\x87\xf7\xc3"), BIT(RSI) | BIT(RDI)},
		{"cpuid", CODE("\x0f\xa2\xc3"), BIT(RAX) | BIT(RCX) | BIT(RDX)},
		{"syscall", CODE("\x0f\x05\xc3"), BIT(RAX) | BIT(RCX) | BIT(R11)},
		{"rep movsb", CODE("\xf3\xa4\xc3"), BIT(RSI) | BIT(RDI) | BIT(RCX)},
		{"mul", CODE("\x48\xf7\xe7\xc3"), BIT(RAX) | BIT(RDX)},
		{"pop", CODE("\x41\x5a\xc3"), BIT(R10)},
		{"addsd", CODE("\xf2\x0f\x58\xd1\xc3"), CLOBBER_BIT(18)},
		{"vaddps ymm", CODE("\xc5\xf4\x58\xd9\xc3"), CLOBBER_BIT(19)},
		{"vzeroupper", CODE("\xc5\xf8\x77\xc3"), (clobber_set)0xffff << 16},
		{"vpxorq zmm17", CODE("\x62\xa1\xf5\x40\xef\xc9\xc3"), CLOBBER_BIT(33)},
		{"kmovw k3", CODE("\xc5\xf8\x92\xd9\xc3"), CLOBBER_BIT(51)},
		{"fld1", CODE("\xd9\xe8\xc3"), CLOBBER_MMX},
		{"movq mm2", CODE("\x48\x0f\x6e\xd0\xc3"), CLOBBER_BIT(58)},
		{"callee-saved only", CODE("\x48\x89\xfb\xc3"), 0},
		{"unreachable", CODE("\xc3\x31\xc9\xc3"), BIT(RCX)}, /* a switch may lead there */
		{"call within", CODE("\xe8\x01\x00\x00\x00\xc3\x31\xff\xc3"), BIT(RDI)},
		{"recursion", CODE("\x31\xd2\xe8\xf9\xff\xff\xff\xc3"), BIT(RDX)},
		{"jump out", CODE("\xe9\x00\x10\x00\x00"), CLOBBER_REGISTERS},
		{"call out", CODE("\xe8\x00\x10\x00\x00\xc3"), CLOBBER_REGISTERS},
		{"call before", CODE("\xe8\x00\xf0\xff\xff\xc3"), CLOBBER_REGISTERS},
		{"indirect call", CODE("\xff\xd0\xc3"), CLOBBER_REGISTERS},
		{"indirect jump", CODE("\xff\xe0"), CLOBBER_REGISTERS},
		{"no instruction", CODE("\x06\xc3"), CLOBBER_REGISTERS},
		{"cut off", CODE("\x48\x8d"), CLOBBER_REGISTERS},
		{"falls out of its end", CODE("\x90"), CLOBBER_REGISTERS},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		clobber_set set;
		pass(clobber_of_code((const uint8_t *)cases[i].bytes, cases[i].size, 0, cases[i].size, &set));
		if (set != cases[i].expected)
			fail_msg("%s: %016lx, expected %016lx", cases[i].what, set, cases[i].expected);
	}
	static const size_t bad[][2] = {{4, 0}, {0, 4}, {SIZE_MAX, 1}, {1, SIZE_MAX}, {2, 2}};
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		clobber_set set;
		struct usp_error *error =
			clobber_of_code((const uint8_t *)"\xc3\xc3\xc3", 3, bad[i][0], bad[i][1], &set);
		assert_non_null(error);
		assert_int_equal(error->code, USP_BAD_PAYLOAD);
		usp_error_destroy(error);
	}
}

/* Any bytes at all: an answer, and no crash. */
static void test_noise(void **state)
{
	(void)state;
	uint8_t bytes[256];
	uint64_t seed = 1;
	for (int round = 0; round < 3000; round++) {
		for (size_t i = 0; i < sizeof(bytes); i++) {
			seed = seed * 6364136223846793005u + 1442695040888963407u;
			bytes[i] = seed >> 56;
		}
		clobber_set set;
		pass(clobber_of_code(bytes, sizeof(bytes), round % 200, 40, &set));
		assert_int_equal(set & ~CLOBBER_REGISTERS, 0);
	}
}

static void test_format(void **state)
{
	(void)state;
	char text[512], small[8];
	clobber_set_format(BIT(RCX) | CLOBBER_BIT(16) | CLOBBER_BIT(33) | CLOBBER_BIT(48) | CLOBBER_BIT(63),
			   text, sizeof(text));
	assert_string_equal(text, "rcx, xmm0, zmm17, k0, mm7");
	clobber_set_format(CLOBBER_ALL, small, sizeof(small));
	assert_int_equal(strlen(small), sizeof(small) - 1);
	clobber_set_format(0, text, sizeof(text));
	assert_string_equal(text, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kept),	     cmocka_unit_test(test_not_kept),
		cmocka_unit_test(test_through),	     cmocka_unit_test(test_places),
		cmocka_unit_test(test_replaced_too), cmocka_unit_test(test_of_function),
		cmocka_unit_test(test_of_code),	     cmocka_unit_test(test_noise),
		cmocka_unit_test(test_format),
	};
	return cmocka_run_group_tests_name("clobber", tests, open_modules, close_modules);
}
