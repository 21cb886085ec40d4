// SPDX-License-Identifier: MIT
#include "fake.h"

#include <string.h>

#include "cli/duration.h"
#include "cli/text.h"

static void printable_is(const char *text, bool lines, const char *expected)
{
	char *printable = text_printable(text, lines);
	assert_string_equal(printable, expected);
	text_free(printable);
}

static void test_printable(void **state)
{
	(void)state;
	printable_is("redis-server", false, "redis-server");
	printable_is("caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x90\x9f", false,
		     "caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x90\x9f");
	printable_is("\033[31mred\a\r\t\x7f", false, "\\x1b[31mred\\x07\\x0d\\x09\\x7f");
	printable_is("a\nb", false, "a\\x0ab");
	printable_is("a\nb", true, "a\nb");
	/* C1 controls as UTF-8 and as bare bytes; a terminal may obey either. */
	printable_is("\xc2\x9b"
		     "31m",
		     false, "\\u{009b}31m");
	printable_is("\x9b"
		     "31m",
		     false, "\\x9b31m");
	/* Right-to-left override, zero width space. */
	printable_is("a\xe2\x80\xae"
		     "b\xe2\x80\x8b",
		     false, "a\\u{202e}b\\u{200b}");
}

static void test_printable_not_utf8(void **state)
{
	(void)state;
	printable_is("\xc3", false, "\\xc3");	       /* cut */
	printable_is("\xe2\x82", false, "\\xe2\\x82"); /* cut */
	printable_is("\xc0\xaf", false, "\\xc0\\xaf"); /* overlong */
	printable_is("\xe0\x80\xaf", false, "\\xe0\\x80\\xaf");
	printable_is("\xed\xa0\x80", false, "\\xed\\xa0\\x80"); /* surrogate */
	printable_is("\xf4\x90\x80\x80", false, "\\xf4\\x90\\x80\\x80");
	printable_is("\xf5\xff", false, "\\xf5\\xff");
}

static void test_count(void **state)
{
	(void)state;
	char buf[48];
	assert_string_equal(text_count(1, "function", buf), "1 function");
	assert_string_equal(text_count(0, "function", buf), "0 functions");
	assert_string_equal(text_count(2, "try", buf), "2 tries");
	assert_string_equal(text_count(1, "try", buf), "1 try");
	assert_string_equal(text_count(2, "process", buf), "2 processes");
	assert_string_equal(text_count(UINT64_MAX, "day", buf), "18446744073709551615 days");
}

static void test_duration_parse(void **state)
{
	(void)state;
	static const struct {
		const char *word;
		uint32_t unit, expected;
	} good[] = {{"2", 1000, 2000},
		    {"0.25", 1000, 250},
		    {".5", 1000, 500},
		    {"250ms", 1000, 250},
		    {"2s", 1, 2000},
		    {"30", 1, 30},
		    {"0", 1000, 0},
		    {"0.001", 1000, 1},
		    {"1.9999", 1000, 2000},
		    {"5.", 1000, 5000},
		    {"1.5ms", 1, 2},
		    {"0.000000000000000000001", 1000, 0},
		    {"4294967295", 1, 4294967295u},
		    {"4294967.295", 1000, 4294967295u}};
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
		uint32_t ms = 77;
		if (!duration_parse(good[i].word, good[i].unit, &ms) || ms != good[i].expected)
			fail_msg("%s: %u", good[i].word, ms);
	}
	static const char *const bad[] = {
		"",	".",   "-1",	  "+1",	 " 1",	"1 ",  "1m",	     "1e3",
		"0x10", "1,5", "1.2.3",	  "ms",	 "nan", "inf", "4294967296", "99999999999999999999999999",
		"0.5",	"0.1", "0.0009s", "1msx"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		uint32_t ms;
		if (duration_parse(bad[i], 1, &ms))
			fail_msg("\"%s\" was taken as %u ms", bad[i], ms);
	}
}

static void test_duration_format(void **state)
{
	(void)state;
	char buf[16];
	assert_string_equal(duration_format(310000, buf), "0.31 ms");
	assert_string_equal(duration_format(12345678, buf), "12.3 ms");
	assert_string_equal(duration_format(250000000, buf), "0.25 s");
	assert_string_equal(duration_format(12000, buf), "12.0 us");
	assert_string_equal(duration_format(0, buf), "0.00 us");
	assert_string_equal(duration_format(5000000000, buf), "5.00 s");
	assert_true(strlen(duration_format(UINT64_MAX, buf)) < sizeof(buf));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_printable),	cmocka_unit_test(test_printable_not_utf8),
		cmocka_unit_test(test_count),		cmocka_unit_test(test_duration_parse),
		cmocka_unit_test(test_duration_format),
	};
	return cmocka_run_group_tests(tests, fake_reset, fake_reset);
}
