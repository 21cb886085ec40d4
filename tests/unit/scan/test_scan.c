// SPDX-License-Identifier: MIT
/*
 * The parts of --scan all that need no target: which words count, and what smaps says.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "process/scan/maps.h"
#include "process/scan/words.h"

/* ---- words ---- */

static void test_edges(void **state)
{
	struct scan_set set = {0};
	(void)state;
	/* A function at 0x1000 as the engine gives it: from behind its entry. */
	assert_int_equal(scan_set_add(&set, 0x1001, 0x1040, false), 0);
	assert_int_equal(scan_set_add(&set, 0x2001, 0x2040, true), 0);
	assert_int_equal(scan_set_add(&set, 0x3000, 0x3000, true), 0); /* empty */
	scan_set_seal(&set);
	assert_false(scan_set_has(&set, 0x1000));
	assert_true(scan_set_has(&set, 0x1001));
	assert_true(scan_set_has(&set, 0x1004)); /* behind endbr64 */
	assert_true(scan_set_has(&set, 0x103f));
	assert_false(scan_set_has(&set, 0x1040));
	assert_true(scan_set_has(&set, 0x2040)); /* what its last instruction, a call, returns to */
	assert_false(scan_set_has(&set, 0x2041));
	assert_false(scan_set_has(&set, 0x3000));
	assert_false(scan_set_has(&set, 0));
	assert_false(scan_set_has(&set, UINT64_MAX));
	scan_set_deinit(&set);
}

/* The entry of the function behind is nobody's return address, unless the one before it ends with a call. */
static void test_neighbours(void **state)
{
	struct scan_set set = {0};
	(void)state;
	assert_int_equal(scan_set_add(&set, 0x1001, 0x1040, false), 0);
	assert_int_equal(scan_set_add(&set, 0x1041, 0x1080, true), 0);
	assert_int_equal(scan_set_add(&set, 0x1081, 0x10c0, false), 0);
	scan_set_seal(&set);
	assert_false(scan_set_has(&set, 0x1040));
	assert_true(scan_set_has(&set, 0x1080));
	scan_set_deinit(&set);
}

static void test_entries_inside(void **state)
{
	struct scan_set set = {0};
	(void)state;
	assert_int_equal(scan_set_add(&set, 0x9000, 0xa000, false), 0); /* a payload's text */
	for (unsigned i = 40; i-- > 0;)
		assert_int_equal(scan_set_add_entry(&set, 0x9000 + 0x20 * i), 0);
	scan_set_seal(&set);
	for (unsigned i = 0; i < 40; i++) {
		assert_false(scan_set_has(&set, 0x9000 + 0x20 * i));
		assert_true(scan_set_has(&set, 0x9001 + 0x20 * i));
	}
	scan_set_deinit(&set);
}

static void test_words(void **state)
{
	enum {
		N = 1000
	};
	uint64_t words[N];
	struct scan_set set = {0};
	(void)state;
	assert_int_equal(scan_set_add(&set, 0x555500001001, 0x555500001100, false), 0);
	assert_int_equal(scan_set_add(&set, 0x555500009001, 0x555500009100, false), 0);
	scan_set_seal(&set);
	/* Each place in a block, with neighbours that are near, or as far as can be. */
	const uint64_t others[] = {
		0, UINT64_MAX, 0x555500001000, 0x555500001100, 0x555500005000, 0x555500009100};
	for (size_t k = 0; k < sizeof(others) / sizeof(*others); k++)
		for (size_t at = 0; at < N; at++) {
			struct scan_hits hits = {0};
			for (size_t i = 0; i < N; i++)
				words[i] = others[k];
			scan_words(&set, words, N, 0x7f0000, &hits);
			assert_int_equal(hits.total, 0);
			words[at] = at % 2 ? 0x555500001001 : 0x5555000090ff;
			scan_words(&set, words, N, 0x7f0000, &hits);
			assert_int_equal(hits.total, 1);
			assert_int_equal(hits.n, 1);
			assert_int_equal(hits.v[0].at, 0x7f0000 + 8 * at);
			assert_int_equal(hits.v[0].word, words[at]);
		}
	scan_set_deinit(&set);
}

static void test_more_hits_than_are_kept(void **state)
{
	uint64_t words[300];
	struct scan_set set = {0};
	struct scan_hits hits = {0};
	(void)state;
	assert_int_equal(scan_set_add(&set, 0x1001, 0x1040, false), 0);
	scan_set_seal(&set);
	for (size_t i = 0; i < 300; i++)
		words[i] = 0x1010;
	scan_words(&set, words, 300, 0, &hits);
	scan_words(&set, words, 0, 0, &hits);
	assert_int_equal(hits.total, 300);
	assert_int_equal(hits.n, SCAN_HITS_MAX);
	assert_int_equal(hits.v[SCAN_HITS_MAX - 1].at, 8 * (SCAN_HITS_MAX - 1));
	scan_set_deinit(&set);
}

static void test_nothing_looked_for(void **state)
{
	uint64_t words[] = {0, 1, UINT64_MAX};
	struct scan_set set = {0};
	struct scan_hits hits = {0};
	(void)state;
	scan_set_seal(&set);
	scan_words(&set, words, 3, 0, &hits);
	assert_int_equal(hits.total, 0);
	assert_false(scan_set_has(&set, 0));
	scan_set_deinit(&set);
}

static void test_calls(void **state)
{
	static const struct {
		uint8_t bytes[SCAN_CALL_MAX];
		bool call;
	} cases[] = {
		{{0x90, 0x90, 0xe8, 1, 2, 3, 4}, true},		     /* call rel32 */
		{{0x90, 0x90, 0x90, 0x90, 0x90, 0xff, 0xd0}, true},  /* call *%rax */
		{{0x90, 0x90, 0x90, 0x90, 0x41, 0xff, 0xd4}, true},  /* call *%r12 */
		{{0x90, 0x90, 0x90, 0x90, 0xff, 0x50, 8}, true},     /* call *8(%rax) */
		{{0x90, 0x90, 0x90, 0xff, 0x54, 0x24, 8}, true},     /* call *8(%rsp) */
		{{0x90, 0xff, 0x15, 1, 2, 3, 4}, true},		     /* call *x(%rip) */
		{{0xff, 0x94, 0x24, 1, 2, 3, 4}, true},		     /* call *x(%rsp) */
		{{0x90, 0x90, 0xe9, 1, 2, 3, 4}, false},	     /* jmp */
		{{0x90, 0xff, 0x25, 1, 2, 3, 4}, false},	     /* jmp *x(%rip) */
		{{0x90, 0x90, 0x90, 0x90, 0x90, 0xff, 0xe0}, false}, /* jmp *%rax */
		{{0x90, 0x90, 0x90, 0x90, 0x5b, 0x5d, 0xc3}, false},
		{{0x66, 0x0f, 0x1f, 0x44, 0, 0, 0}, false},
		{{0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0xff}, false},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		assert_int_equal(scan_call_ends(cases[i].bytes, SCAN_CALL_MAX), cases[i].call);
	assert_true(scan_call_ends(NULL, 0)); /* not known */
	assert_true(scan_call_ends(cases[1].bytes + 5, 2));
	assert_false(scan_call_ends(cases[1].bytes + 6, 1));
}

/* ---- smaps ---- */

#define HEAD_HEAP "55e0a0000000-55e0a0021000 rw-p 00000000 00:00 0                          [heap]\n"
#define HEAD_GPU  "7f0000000000-7f0000001000 rw-s 00000000 00:06 321                        /dev/dri/card0\n"
#define HEAD_ODD                                                                                   \
	"7f1000000000-7f1000200000 rw-p 00000000 00:0f 77                         /anon_hugepage " \
	"(deleted)\n"
#define SIZE "Size:                132 kB\nRss:                   8 kB\n"

static void test_smaps(void **state)
{
	static const char text[] =
		HEAD_HEAP SIZE "VmFlags: rd wr mr mw me ac sd \n" HEAD_GPU SIZE
			       "THPeligible:           0\nVmFlags: rd wr sh mr mw me ms io pf\n" HEAD_ODD
			       "VmFlags: rd wr mr mw me de ht um \n";
	struct scan_maps maps;
	(void)state;
	assert_int_equal(scan_maps_parse(text, sizeof(text) - 1, &maps), 0);
	assert_int_equal(maps.maps.n, 3);
	assert_string_equal(maps.maps.v[0].name, "[heap]");
	assert_int_equal(maps.flags[0], 0);
	assert_int_equal(maps.flags[1], SCAN_FLAG_DEVICE);
	assert_int_equal(maps.flags[2], SCAN_FLAG_HUGE | SCAN_FLAG_USERFAULT);
	assert_true(scan_maps_starts_empty(&maps, 0));
	assert_false(scan_maps_starts_empty(&maps, 1));
	assert_true(scan_maps_starts_empty(&maps, 2));
	scan_maps_deinit(&maps);
}

/* Without its flags a mapping may be anything. */
static void test_smaps_refused(void **state)
{
	static const char *const bad[] = {
		HEAD_HEAP,
		HEAD_HEAP SIZE,
		HEAD_HEAP SIZE HEAD_GPU SIZE "VmFlags: rd\n",
		HEAD_HEAP "VmFlags: rd\nVmFlags: io\n",
		"VmFlags: rd\n" HEAD_HEAP,
		"VmFlags: rd\n",
		HEAD_HEAP "VmFlags: rd\n" HEAD_HEAP "VmFlags: rd\n", /* twice the same */
		"no mapping\nVmFlags: rd\n",
		"55e0a0000000-55e0a0021000 rw-p",
	};
	struct scan_maps maps;
	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_int_equal(scan_maps_parse(bad[i], strlen(bad[i]), &maps), -EBADMSG);
	assert_int_equal(scan_maps_parse("", 0, &maps), 0);
	assert_int_equal(maps.maps.n, 0);
	scan_maps_deinit(&maps);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_edges),
		cmocka_unit_test(test_neighbours),
		cmocka_unit_test(test_entries_inside),
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_more_hits_than_are_kept),
		cmocka_unit_test(test_nothing_looked_for),
		cmocka_unit_test(test_calls),
		cmocka_unit_test(test_smaps),
		cmocka_unit_test(test_smaps_refused),
	};
	return cmocka_run_group_tests_name("scan", tests, NULL, NULL);
}
