// SPDX-License-Identifier: MIT
/*
 * The parts of a capture that read what others wrote: names, command lines, archives, records. Broken ones
 * are refused.
 */
#define _GNU_SOURCE
#include "capture_test.h"

#include "build/capture/archive.h"
#include "build/capture/file.h"
#include "build/capture/log.h"
#include "build/capture/tool.h"

static void test_linkers(void **state)
{
	(void)state;
	static const char *const are[] = {"ld",
					  "/usr/bin/ld.bfd",
					  "x86_64-linux-gnu-ld",
					  "x86_64-linux-gnu-ld.gold",
					  "ld.lld-14",
					  "rust-lld",
					  "gold",
					  "/opt/mold",
					  "lld"};
	static const char *const are_not[] = {"gcc",	  "ldd",      "/lib64/ld-linux-x86-64.so.2",
					      "ld.so",	  "as",	      "builder",
					      "collect2", "musl-gcc", "gcc-ldx"};
	for (size_t i = 0; i < sizeof(are) / sizeof(*are); i++)
		assert_true(capture_is_linker(are[i]));
	for (size_t i = 0; i < sizeof(are_not) / sizeof(*are_not); i++)
		assert_false(capture_is_linker(are_not[i]));
}

static void test_names(void **state)
{
	(void)state;
	static const char *const names[][2] = {
		{"a.o", "/src/sub/a.o"},
		{"./a.o", "/src/sub/a.o"},
		{"../a.o", "/src/a.o"},
		{"../../../../a.o", "/a.o"},
		{"x//y/./../a.o", "/src/sub/x/a.o"},
		{"/a/../b//c.o", "/b/c.o"},
		{"..", "/src"},
		{"/", "/"},
		{"/..", "/"},
		{"...", "/src/sub/..."},
		{"", "/src/sub"},
	};
	char directory_name[] = "/src/sub";
	struct capture_place place = {.root = -1, .directory = -1, .name = directory_name};
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		_cleanup_free_ char *name = capture_place_name(&place, names[i][0]);
		assert_string_equal(name, names[i][1]);
	}
}

static void test_words(void **state)
{
	(void)state;
	static const char *const cases[][4] = {
		{"a  b\n", "a", "b"},
		{"'a b' \"c d\"", "a b", "c d"},
		{"a\\ b c\\\\d", "a b", "c\\d"},
		{"x'y'z \"'\"", "xyz", "'"},
		{"'' \"a\\\"b\"", "", "a\"b"},
		{"'open end", "open end"},
		{"  \t\r\n"},
		{"back\\", "back\\"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		char **words = NULL;
		size_t n = 0, capacity = 0, expected = 0;
		const char *text = cases[i][0];
		assert_true(capture_words_split(text, text + strlen(text), &words, &n, &capacity));
		for (; cases[i][expected + 1]; expected++) {
			assert_true(expected < n);
			assert_string_equal(words[expected], cases[i][expected + 1]);
		}
		assert_int_equal(n, expected);
		for (size_t k = 0; k < n; k++)
			free(words[k]);
		free(words);
	}
}

/* ---- archives ---- */

struct seen {
	char text[4096];
	const uint8_t *begin, *end;
};

static struct usp_error *see(void *context, const struct capture_member *member)
{
	struct seen *seen = context;
	size_t n = strlen(seen->text);
	if (member->bytes) {
		assert_true(member->bytes >= seen->begin && member->bytes <= seen->end &&
			    member->size <= (size_t)(seen->end - member->bytes));
	}
	snprintf(seen->text + n, sizeof(seen->text) - n, "%s=%.*s:%zu ", member->name, (int)member->size,
		 member->bytes ? (const char *)member->bytes : "", (size_t)member->nested);
	return NULL;
}

/* In memory of just its size, so that a byte too far is noticed by the sanitizer. */
static struct usp_error *read_archive(const void *bytes, size_t size, struct seen *seen)
{
	uint8_t *copy = malloc(size ? size : 1);
	assert_non_null(copy);
	memcpy(copy, bytes, size);
	*seen = (struct seen){.begin = copy, .end = copy + size};
	struct usp_error *error = capture_archive_each("x.a", copy, size, see, seen);
	free(copy);
	return error;
}

static size_t add(char *to, size_t at, const char *name, size_t size, const char *content)
{
	return at + (size_t)sprintf(to + at, "%-16s%-12d%-6d%-6d%-8d%-10zu`\n%s", name, 0, 0, 0, 644, size,
				    content);
}

static void test_archive_forms(void **state)
{
	(void)state;
	char bytes[1024] = "!<arch>\n";
	struct seen seen;
	size_t n = 8;
	assert_null(read_archive(bytes, n, &seen));
	assert_string_equal(seen.text, "");
	n = add(bytes, n, "/", 4, "syms");
	n = add(bytes, n, "//", 20, "a_long_name_for_it/\n");
	n = add(bytes, n, "a.o/", 3, "abc\n");
	n = add(bytes, n, "/0", 2, "de");
	n = add(bytes, n, "#1/8", 10, "bsd name12");
	n = add(bytes, n, "no_slash.o", 1, "z"); /* without padding at the end */
	assert_null(read_archive(bytes, n, &seen));
	assert_string_equal(seen.text, "a.o=abc:0 a_long_name_for_it=de:0 bsd name=12:0 no_slash.o=z:0 ");

	memcpy(bytes, "!<thin>\n", 8);
	n = add(bytes, 8, "//", 18, "sub/one.o/\ntwo.a/\n");
	n = add(bytes, n, "/0", 1234, "");
	n = add(bytes, n, "/11:5678", 4321, "");
	assert_null(read_archive(bytes, n, &seen));
	assert_string_equal(seen.text, "sub/one.o=:0 two.a=:5678 ");
}

static void refuse_archive(const char *bytes, size_t size)
{
	struct seen seen;
	struct usp_error *error = read_archive(bytes, size, &seen);
	assert_non_null(error);
	assert_int_equal(error->code, USP_BAD_PAYLOAD);
	usp_error_destroy(error);
}

static void test_archive_broken(void **state)
{
	(void)state;
	char bytes[1024] = "!<arch>\n";
	refuse_archive("!<arch>", 7);
	refuse_archive("\177ELF    ", 8);
	refuse_archive(bytes, add(bytes, 8, "a.o/", 4, "abc")); /* longer than the archive */
	refuse_archive(bytes, add(bytes, 8, "a.o/", 9999999999, "abc"));
	refuse_archive(bytes, add(bytes, 8, "/7", 3, "abc"));	/* there is no table of names */
	refuse_archive(bytes, add(bytes, 8, "#1/4", 3, "abc")); /* a name longer than the member */
	refuse_archive(bytes, add(bytes, 8, "/x", 3, "abc"));
	refuse_archive(bytes,
		       add(bytes, add(bytes, 8, "//", 4, "abc\n"), "/4", 3, "abc")); /* behind the table */
	refuse_archive(bytes,
		       add(bytes, add(bytes, 8, "//", 4, "abcd"), "/0", 3, "abc")); /* no end of the name */
	refuse_archive(bytes,
		       add(bytes, add(bytes, 8, "//", 4, "abc\n"), "/0:1", 3, "abc")); /* only in thin ones */
	add(bytes, 8, "a.o/", 3, "abc");
	bytes[8 + 58] = 'x'; /* the mark at the header's end */
	refuse_archive(bytes, 8 + 60 + 3);
	refuse_archive(bytes, 8 + 59);

	struct seen seen = {.begin = (const uint8_t *)bytes, .end = (const uint8_t *)bytes + sizeof(bytes)};
	size_t n = add(bytes, 8, "a.o/", 3, "abc\n");
	static const uint64_t outside[] = {9, 9999, UINT64_MAX, UINT64_MAX - 8};
	for (size_t i = 0; i < sizeof(outside) / sizeof(*outside); i++) {
		struct usp_error *error =
			capture_archive_at("x.a", (const uint8_t *)bytes, n, outside[i], see, &seen);
		assert_non_null(error);
		usp_error_destroy(error);
	}
	assert_null(capture_archive_at("x.a", (const uint8_t *)bytes, n, 8, see, &seen));
	assert_string_equal(seen.text, "a.o=abc:0 ");
	memcpy(bytes, "!<thin>\n", 8);
	struct usp_error *error = capture_archive_at("x.a", (const uint8_t *)bytes, n, 8, see, &seen);
	assert_non_null(error);
	assert_int_equal(error->code, USP_UNSUPPORTED);
	usp_error_destroy(error);
}

/* Each end and each byte of a real one: any answer is right that stays inside. */
static void test_archive_mutated(void **state)
{
	(void)state;
	assert_int_equal(
		system("echo abc >a_rather_long_member_name.o; ar rcs x.a a_rather_long_member_name.o a.c\n"
		       "ar rcsT thin.a a_rather_long_member_name.o a.c x.a"),
		0);
	static const char *const files[] = {"x.a", "thin.a"};
	for (size_t i = 0; i < 2; i++) {
		_cleanup_free_ uint8_t *bytes = NULL;
		size_t size;
		struct seen seen;
		assert_null(file_read(files[i], 4096, &bytes, &size));
		assert_null(read_archive(bytes, size, &seen));
		assert_non_null(strstr(seen.text, "a_rather_long_member_name.o="));
		for (size_t n = 0; n < size; n++)
			usp_error_destroy(read_archive(bytes, n, &seen));
		static const uint8_t values[] = {0, ' ', '/', '9', '\n', 0xff};
		for (size_t k = 0; k < size * sizeof(values); k++) {
			uint8_t *byte = &bytes[k / sizeof(values)], kept = *byte;
			*byte = values[k % sizeof(values)];
			usp_error_destroy(read_archive(bytes, size, &seen));
			*byte = kept;
		}
	}
}

/* ---- records ---- */

static void test_records(void **state)
{
	(void)state;
	int fds[2];
	bool ended = false;
	static const uint8_t hash[PAYLOAD_HASH_SIZE] = {1, 2, 3};
	uint8_t back[PAYLOAD_HASH_SIZE];
	assert_int_equal(pipe(fds), 0);
	struct capture_record record;
	for (uint32_t i = 0; i < 3; i++) {
		assert_true(capture_record_begin(&record, CAPTURE_RECORD_LINK));
		capture_record_hash(&record, hash);
		capture_record_string(&record, "text");
		capture_record_number(&record, i);
		assert_null(capture_record_send(&record, fds[1]));
	}
	close(fds[1]);
	struct capture_reader reader = {0};
	while (!ended)
		assert_null(capture_reader_fill(&reader, fds[0], &ended));
	close(fds[0]);
	struct capture_fields fields;
	size_t taken;
	for (uint32_t i = 0; i < 3; i++) {
		assert_true(capture_reader_next(&reader, &fields, &taken));
		assert_int_equal(fields.type, CAPTURE_RECORD_LINK);
		capture_fields_hash(&fields, back);
		assert_memory_equal(back, hash, sizeof(back));
		assert_string_equal(capture_fields_string(&fields), "text");
		assert_int_equal(capture_fields_number(&fields), i);
		assert_false(fields.bad);
		/* There is no more in it. */
		assert_int_equal(capture_fields_number(&fields), 0);
		assert_true(fields.bad);
		assert_string_equal(capture_fields_string(&fields), "");
		/* A part of a record is none. */
		struct capture_reader part = {.bytes = reader.bytes, .size = taken - 1};
		assert_false(capture_reader_next(&part, &fields, &taken));
		assert_true(capture_reader_next(&reader, &fields, &taken));
		capture_reader_drop(&reader, taken);
	}
	assert_false(capture_reader_next(&reader, &fields, &taken));
	free(reader.bytes);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		CASE(test_linkers),	  CASE(test_names),	     CASE(test_words),
		CASE(test_archive_forms), CASE(test_archive_broken), CASE(test_archive_mutated),
		CASE(test_records),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
