// SPDX-License-Identifier: MIT
/*
 * Records: what is packed comes back the same; what was damaged in the target's memory is refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "process/record.h"

static struct range ranges[3] = {{0x1000, 0x1100}, {0x5000, 0x5010}, {0x2000, 0x2040}};
static struct record_function functions[2] = {
	{.name = "serve",
	 .file = "a.c",
	 .old_address = 0x1000,
	 .old_size = 0x100,
	 .new_address = 0x9000,
	 .new_size = 64,
	 .site = 0x1004,
	 .site_length = 5,
	 .original = {1, 2, 3, 4, 5},
	 .patched = {0xe9, 6, 7, 8, 9},
	 .ranges = ranges,
	 .n_ranges = 2},
	{.name = "log",
	 .old_address = 0x2000,
	 .old_size = 0x40,
	 .site = 0x2010,
	 .site_length = 31,
	 .ranges = ranges + 2,
	 .n_ranges = 1},
};
static struct record_hook hooks[2] = {{2, 0x9100}, {3, 0x9200}};
static const char *symbols[1] = {"fixed_serve"};
static struct record_code code[1] = {{"helping", 0x9040, 16}};
static struct record_state states[] = {{"ocsp", 1}, {"more", UINT32_MAX}};
static const struct record sample = {
	.name = "fix",
	.description = "CVE-2026-1",
	.module = "server",
	.build_id = {1, 2, 3},
	.build_id_size = 20,
	.module_build_id = {4},
	.module_build_id_size = 20,
	.writable_data = true,
	.image_base = 0x8000,
	.image_size = 0x3000,
	.text_start = 0x9000,
	.text_end = 0x9300,
	.functions = functions,
	.n_functions = 2,
	.hooks = hooks,
	.n_hooks = 2,
	.code = code,
	.n_code = 1,
	.symbols = symbols,
	.n_symbols = 1,
	.states = states,
	.n_states = 2,
};

static uint8_t *pack(size_t *size)
{
	uint8_t *bytes;
	assert_null(record_pack(&sample, &bytes, size));
	return bytes;
}

static void comes_back_the_same(void **state)
{
	(void)state;
	size_t size;
	uint8_t *bytes = pack(&size);
	struct record *record;
	assert_null(record_unpack(bytes, size, &record));
	memset(bytes, 0, size); /* the record must not point into what it was read from */
	assert_string_equal(record->name, "fix");
	assert_null(record->version);
	assert_string_equal(record->description, "CVE-2026-1");
	assert_int_equal(record->n_functions, 2);
	assert_string_equal(record->functions[0].file, "a.c");
	assert_null(record->functions[1].file);
	assert_int_equal(record->functions[0].n_ranges, 2);
	assert_int_equal(record->functions[0].ranges[1].start, 0x5000);
	assert_int_equal(record->functions[1].ranges[0].end, 0x2040);
	assert_memory_equal(record->functions[0].patched, functions[0].patched, 5);
	assert_int_equal(record->hooks[1].address, 0x9200);
	assert_int_equal(record->n_code, 1);
	assert_string_equal(record->code[0].name, "helping");
	assert_int_equal(record->code[0].address, 0x9040);
	assert_int_equal(record->n_symbols, 1);
	assert_string_equal(record->symbols[0], "fixed_serve");
	assert_int_equal(record->n_states, 2);
	assert_string_equal(record->states[1].name, "more");
	assert_int_equal(record->states[1].version, UINT32_MAX);
	assert_true(record->writable_data);
	record_destroy(record);
	free(bytes);
}

/* Any cut is refused: the sizes must agree. */
static void a_cut_one_is_refused(void **state)
{
	(void)state;
	size_t size;
	uint8_t *bytes = pack(&size);
	for (size_t n = 0; n < size; n++) {
		struct record *record;
		struct usp_error *error = record_unpack(bytes, n, &record);
		assert_non_null(error);
		usp_error_destroy(error);
	}
	free(bytes);
}

/* Any byte may be anything: refused or read, never a fault (the sanitizers watch). */
static void any_damage_is_survived(void **state)
{
	(void)state;
	size_t size, refused = 0;
	uint8_t *bytes = pack(&size);
	for (size_t i = 0; i < size; i++)
		for (int bit = 0; bit < 8; bit++) {
			bytes[i] ^= (uint8_t)(1 << bit);
			struct record *record;
			struct usp_error *error = record_unpack(bytes, size, &record);
			refused += error != NULL;
			if (error)
				usp_error_destroy(error);
			else
				record_destroy(record);
			bytes[i] ^= (uint8_t)(1 << bit);
		}
	assert_true(refused > 100);
	free(bytes);
}

static void counts_that_do_not_fit_are_refused(void **state)
{
	(void)state;
	size_t size;
	uint8_t *bytes = pack(&size);
	/* n_functions, n_ranges, n_hooks, n_symbols, n_code, n_states, strings_size */
	for (size_t at = 16; at < 44; at += 4) {
		uint32_t was, huge = 0xffffffff;
		memcpy(&was, bytes + at, 4);
		memcpy(bytes + at, &huge, 4);
		struct record *record;
		struct usp_error *error = record_unpack(bytes, size, &record);
		assert_non_null(error);
		assert_non_null(strstr(error->message, "damaged"));
		usp_error_destroy(error);
		memcpy(bytes + at, &was, 4);
	}
	free(bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(comes_back_the_same),
		cmocka_unit_test(a_cut_one_is_refused),
		cmocka_unit_test(any_damage_is_survived),
		cmocka_unit_test(counts_that_do_not_fit_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
