// SPDX-License-Identifier: MIT
/* Pads over a process that is there: which of a function's ranges the site lies in. AddressSanitizer sees what is written. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "process/pads.h"

#define SITE 64 /* in code[] */

/* nop, and ret at the end of each 16 bytes; "jmp -16" of a loop into the site if one is wanted. */
static uint8_t code[160];
static struct target *target;
static pid_t child;

static uint64_t at(size_t offset)
{
	return (uint64_t)(uintptr_t)code + offset;
}

static int prepare(void **state)
{
	(void)state;
	memset(code, 0x90, sizeof(code));
	for (size_t i = 15; i < sizeof(code); i += 16)
		code[i] = 0xc3;
	/* In the range before and in the one behind: a jump to the site's second byte. */
	memcpy(code + 40, (const uint8_t[]){0xeb, SITE + 1 - 42}, 2);
	memcpy(code + 120, (const uint8_t[]){0xeb, (uint8_t)(SITE + 1 - 122)}, 2);
	child = fork();
	if (!child)
		for (;;)
			pause();
	return child < 0 || target_open(child, &target) ? -1 : 0;
}

static int end(void **state)
{
	(void)state;
	target_close(target);
	kill(child, SIGKILL);
	return waitpid(child, NULL, 0) == child ? 0 : -1;
}

static bool enterable(const struct range *ranges, size_t n)
{
	struct record_function function = {.name = "f",
					   .old_address = at(SITE),
					   .site = at(SITE),
					   .site_length = 5,
					   .ranges = (struct range *)ranges,
					   .n_ranges = n};
	memset(function.original, 0x90, 5);
	struct record record = {.functions = &function, .n_functions = 1, .image_base = at(0) & ~4095ull};
	struct pads pads;
	assert_null(pads_make(target, &record, &pads));
	assert_int_equal(pads.size, 4096);
	assert_int_equal(function.pad, record.image_base);
	pads_deinit(&pads);
	return function.enterable;
}

static void test_ranges(void **state)
{
	(void)state;
	const struct range whole = {at(SITE), at(SITE + 32)}, below = {at(16), at(32)},
			   touching = {at(48), at(SITE)}, above = {at(SITE + 32), at(SITE + 48)},
			   short_ = {at(SITE), at(SITE + 3)}, jumps_below = {at(32), at(48)},
			   jumps_above = {at(112), at(128)};
	const struct range apart[] = {below, touching, whole, above};
	assert_false(enterable(&whole, 1));
	/* A .cold part lies far below, as a rule: the site's bytes are none of its. */
	assert_false(enterable(&below, 1));
	assert_false(enterable(&touching, 1));
	assert_false(enterable(&above, 1));
	assert_false(enterable(&short_, 1));
	assert_false(enterable(apart, 4));
	assert_true(enterable(&jumps_below, 1));
	assert_true(enterable(&jumps_above, 1));
	const struct range unreadable = {0x1000, 0x1010};
	assert_true(enterable(&unreadable, 1)); /* not found out: it may */
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_ranges)};
	return cmocka_run_group_tests(tests, prepare, end);
}
