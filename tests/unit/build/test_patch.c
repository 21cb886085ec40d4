// SPDX-License-Identifier: MIT
/*
 * What `usplice build` knows of a source tree before anything is compared: the list of what was saved, what may be read by
 * what was not compiled again, and what time it is.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "build/file.h"
#include "build/patch/depend.h"
#include "build/patch/epoch.h"
#include "build/patch/reach.h"
#include "build/patch/remake.h"
#include "build/patch/source_list.h"

static char directory[] = "/tmp/usplice-test-patch-XXXXXX";

static void put(const char *path, const char *text)
{
	_cleanup_free_ char *copy = strdup(path);
	for (char *slash = copy; (slash = strchr(slash + 1, '/'));) {
		*slash = 0;
		mkdir(copy, 0755);
		*slash = '/';
	}
	assert_null(file_write(path, text, strlen(text)));
}

static struct usp_error *add(enum source_what what, unsigned number, const char *path)
{
	return source_list_add("saved", &(struct source_entry){what, number, 0640, (char *)path});
}

static void begin_list(void)
{
	file_remove_tree("saved");
	assert_int_equal(mkdir("saved", 0700), 0);
}

/* ---- the list ---- */

static void test_list(void **state)
{
	(void)state;
	struct source_list list;
	begin_list();
	assert_null(source_list_read("saved", &list));
	assert_int_equal(list.n, 0);
	assert_null(add(SOURCE_PUT, 7, "a b/c.c"));
	assert_null(add(SOURCE_REMOVE, 0, "new.h"));
	assert_null(add(SOURCE_REMAKE, 0, ""));
	assert_null(source_list_read("saved", &list));
	assert_int_equal(list.n, 3);
	assert_int_equal(list.v[0].what, SOURCE_PUT);
	assert_int_equal(list.v[0].number, 7);
	assert_int_equal(list.v[0].mode, 0640);
	assert_string_equal(list.v[0].path, "a b/c.c");
	assert_int_equal(list.v[1].what, SOURCE_REMOVE);
	assert_string_equal(list.v[1].path, "new.h");
	assert_int_equal(list.v[2].what, SOURCE_REMAKE);
	source_list_deinit(&list);
}

/* Killed while it wrote a line: nothing had been done to that file. Anything else that is not a line is not guessed at. */
static void test_broken_list(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		int n; /* -1: refused */
	} rows[] = {{"", 0},
		    {"put 1 644 a.c\nput 2 6", 1},
		    {"put 1 644 a.c\nremake", 1},
		    {"remake\n", 1},
		    {"put a.c\n", -1},
		    {"put 1\n", -1},
		    {"take 1 644 a.c\n", -1},
		    {"\n", -1},
		    {"remade\n", -1},
		    {"put 1 644 a.c\nput x\n", -1}};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct source_list list;
		begin_list();
		put("saved/list", rows[i].text);
		struct usp_error *error = source_list_read("saved", &list);
		assert_int_equal(error ? -1 : (int)list.n, rows[i].n);
		usp_error_destroy(error);
		source_list_deinit(&list);
	}
}

/* ---- what may be read ---- */

static char *needed(const char *path, const char *command, const char *where)
{
	_cleanup_free_ char *there = NULL;
	char *what;
	assert_true(asprintf(&there, "%s/%s", directory, where) > 0);
	char compiled[256];
	strcpy(compiled, command);
	struct capture_object object = {.path = (char *)"x.o", .directory = there, .command = compiled};
	struct capture after = {.objects = &object, .n_objects = 1};
	struct source source = {.directory = directory, .saved = (char *)"saved"};
	begin_list();
	assert_null(add(SOURCE_PUT, 0, path));
	assert_null(remake_needed(&source, &after, &what));
	return what;
}

static void is_needed(bool wanted, const char *path, const char *command, const char *where)
{
	_cleanup_free_ char *what = needed(path, command, where);
	if (wanted != (what != NULL))
		fail_msg("%s, after \"%s\" in %s: %s", path, command, where, what ? "needed" : "not needed");
	if (what)
		assert_string_equal(what, path);
}

static void test_needed(void **state)
{
	(void)state;
	put("src/a.c", "#include \"impl.c\"\n#include <sys/part.c>\n");
	put("src/impl.c", "");
	put("src/part.c", "");
	put("src/lone.c", "/* lone.c: \"lonely.c\" */");
	put("build/x", "");
	put("src/h.h", "");
	/* Headers, and what is not known. */
	is_needed(true, "src/h.h", "gcc -c a.c", "src");
	is_needed(true, "src/table.def", "gcc -c a.c", "src");
	is_needed(true, "configure.ac", "gcc -c a.c", "src");
	is_needed(true, "Makefile", "gcc -c a.c", "src");
	is_needed(true, "src/gram.y", "gcc -c a.c", "src");
	/* Documents. */
	is_needed(false, "README", "gcc -c a.c", "src");
	is_needed(false, "README.md", "gcc -c a.c", "src");
	is_needed(false, "doc/x.1", "gcc -c a.c", "src");
	is_needed(false, "ChangeLog.old", "gcc -c a.c", "src");
	/* Compiled by its name, however that is written. */
	is_needed(false, "src/a.c", "gcc -O2 -c a.c -o a.o", "src");
	is_needed(false, "src/a.c", "gcc -c ../src/a.c", "build");
	is_needed(false, "src/a.c", "ccache gcc -c src/../src/./a.c", "");
	/* Not compiled; some file includes it, or none does. */
	is_needed(true, "src/impl.c", "gcc -c a.c", "src");
	is_needed(true, "src/part.c", "gcc -c a.c", "src");
	is_needed(false, "src/lone.c", "gcc -c a.c", "src");
	is_needed(false, "src/gone.c", "gcc -c a.c", "src");
	/* Another one of that name. */
	put("other/impl.c", "");
	is_needed(true, "src/impl.c", "gcc -c impl.c", "other");
	is_needed(false, "src/impl.c", "gcc -c impl.c", "src");
}

/* Before the build is run, of sources nothing is known. */
static void test_before(void **state)
{
	(void)state;
	static const struct {
		const char *path;
		bool needed;
	} rows[] = {{"src/h.h", true},
		    {"Makefile", true},
		    {"src/impl.c", false},
		    {"src/a.c", false},
		    {"NEWS", false}};
	struct source source = {.directory = directory, .saved = (char *)"saved"};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		_cleanup_free_ char *what = NULL;
		begin_list();
		assert_null(add(SOURCE_PUT, 0, rows[i].path));
		assert_null(remake_needed(&source, NULL, &what));
		assert_int_equal(what != NULL, rows[i].needed);
	}
}

/* What is new is read by who was changed to read it. */
static void test_new_files(void **state)
{
	(void)state;
	char *what;
	struct capture after = {0};
	struct source source = {.directory = directory, .saved = (char *)"saved"};
	begin_list();
	assert_null(add(SOURCE_REMOVE, 0, "src/new.h"));
	assert_null(remake_needed(&source, &after, &what));
	assert_null(what);
}

static struct timespec date_of(const char *path)
{
	struct stat st;
	assert_int_equal(lstat(path, &st), 0);
	return st.st_mtim;
}

static struct usp_error *touch(const char *path)
{
	struct stat before, after;
	int fd = open("mark", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	struct usp_error *error = remake_touch(path, fd);
	close(fd);
	if (error)
		return error;
	put("later", ""); /* it is younger than all of them */
	assert_int_equal(stat("tree/a.c", &before), 0);
	assert_int_equal(stat("later", &after), 0);
	assert_true(after.st_mtim.tv_sec > before.st_mtim.tv_sec ||
		    (after.st_mtim.tv_sec == before.st_mtim.tv_sec &&
		     after.st_mtim.tv_nsec > before.st_mtim.tv_nsec));
	return NULL;
}

static void test_touch(void **state)
{
	(void)state;
	static const char *const touched[] = {"tree/a.c", "tree/sub/b.CC", "tree/sub/c.S", "tree/d.cpp"};
	static const char *const left[] = {"tree/a.h", "tree/Makefile", "tree/.git/e.c", "tree/c",
					   "tree/f.c.in"};
	const struct timespec old[2] = {{1000, 0}, {1000, 0}};
	for (size_t i = 0; i < 4; i++)
		put(touched[i], "");
	for (size_t i = 0; i < 5; i++)
		put(left[i], "");
	put("outside.c", "");
	assert_int_equal(symlink("../outside.c", "tree/link.c"), 0);
	assert_int_equal(utimensat(AT_FDCWD, "outside.c", old, 0), 0);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(utimensat(AT_FDCWD, touched[i], old, 0), 0);
	for (size_t i = 0; i < 5; i++)
		assert_int_equal(utimensat(AT_FDCWD, left[i], old, 0), 0);
	assert_null(touch("tree"));
	for (size_t i = 0; i < 4; i++)
		assert_true(date_of(touched[i]).tv_sec > 1000);
	for (size_t i = 0; i < 5; i++)
		assert_int_equal(date_of(left[i]).tv_sec, 1000);
	assert_int_equal(date_of("outside.c").tv_sec, 1000);
	struct usp_error *error = touch("no-such-tree");
	assert_non_null(error);
	assert_non_null(strstr(error->message, "no-such-tree"));
	usp_error_destroy(error);
}

/* ---- what was not compiled again ---- */

static bool may_read(const char *command, const char *changed)
{
	char compiled[256];
	struct reach *reach;
	bool ret;
	strcpy(compiled, command);
	const struct capture_object object = {
		.path = (char *)"x.o", .directory = directory, .command = compiled};
	assert_null(reach_open("reach", &reach));
	assert_null(reach_may_read(reach, &object, &changed, 1, &ret));
	bool again;
	assert_null(reach_may_read(reach, &object, &changed, 1, &again));
	assert_int_equal(again, ret);
	reach_close(reach);
	return ret;
}

static void test_reach(void **state)
{
	(void)state;
	file_remove_tree("reach");
	put("reach/a.c", "#include \"a.h\"\n# include <stdio.h>\nint a;\n");
	put("reach/a.h", "#include \"sub/b.h\"\n/* no new line at the end */\n  #  include_next <c.h>");
	put("reach/sub/b.h", "#include \"../a.h\"\n");
	put("reach/c.h", "");
	put("reach/other.h", "#include \"a.h\"\n");
	put("reach/sub/a.c", "");
	assert_true(may_read("cc -c reach/a.c", "a.c"));
	assert_true(may_read("cc -c reach/a.c", "a.h"));
	assert_true(may_read("cc -c reach/a.c", "sub/b.h"));
	assert_true(may_read("cc -c reach/a.c", "include/b.h")); /* where it is looked for is not known */
	assert_true(may_read("cc -c reach/a.c", "c.h"));
	assert_false(may_read("cc -c reach/a.c", "other.h"));
	assert_false(may_read("cc -c reach/a.c", "sub/a.c"));
	assert_false(may_read("cc -c reach/sub/a.c", "a.h"));
	assert_true(may_read("cc -include other.h -c reach/sub/a.c", "other.h"));
	/* Nothing is known of what no source is named of, or one that lies elsewhere. */
	assert_true(may_read("cc -c -o x.o", "other.h"));
	assert_true(may_read("cc -c /nowhere/z.c", "other.h"));

	/* By macros: that nobody defines; as a file; as anything else. */
	put("reach/m.c", "#ifdef M\n#include M\n#endif\n");
	assert_false(may_read("cc -c reach/m.c", "other.h"));
	assert_false(may_read("cc -DMORE=\"other.h\" -c reach/m.c", "other.h"));
	assert_true(may_read("cc -DM=\"other.h\" -c reach/m.c", "other.h"));
	assert_true(may_read("cc -DM=\\\"sub/other.h\\\" -c reach/m.c", "other.h"));
	assert_false(may_read("cc -DM='\"c.h\"' -c reach/m.c", "other.h"));
	assert_true(may_read("cc -DM -c reach/m.c", "other.h"));
	put("reach/m.c", "#define M \"c.h\"\n#include M\n");
	assert_false(may_read("cc -c reach/m.c", "other.h"));
	assert_true(may_read("cc -c reach/m.c", "c.h"));
	put("reach/m.c", "#define M NAME(c)\n#include M\n");
	assert_true(may_read("cc -c reach/m.c", "other.h"));

	struct reach *reach;
	struct usp_error *error = reach_open("no-such-tree", &reach);
	assert_non_null(error);
	usp_error_destroy(error);
}

static bool is_gone(const void *context, const char *name)
{
	return strstr(name, context);
}

static void expect_content(const char *path, const char *content)
{
	_cleanup_free_ uint8_t *bytes = NULL;
	size_t size;
	assert_null(file_read(path, 4096, &bytes, &size));
	assert_int_equal(size, strlen(content));
	assert_memory_equal(bytes, content, size);
}

static void test_depend(void **state)
{
	(void)state;
	file_remove_tree("depend");
	put("depend/a.d", "a.o: a.c inc/new.h \\\n ../new.h b.h\n");
	put("depend/sub/.deps/b.Po", "b.o: b.c sub/new.h");
	put("depend/c.d", "c.o: c.c\n");
	put("depend/new.h.txt", "new.h\n");
	assert_null(depend_let_go("depend", is_gone, "new.h"));
	expect_content("depend/a.d", "a.o: a.c inc/new.h \\\n ../new.h b.h\n\ninc/new.h:\n\n../new.h:\n");
	expect_content("depend/sub/.deps/b.Po", "b.o: b.c sub/new.h\nsub/new.h:\n");
	expect_content("depend/c.d", "c.o: c.c\n");
	expect_content("depend/new.h.txt", "new.h\n");
	struct usp_error *error = depend_let_go("no-such-tree", is_gone, "new.h");
	assert_non_null(error);
	usp_error_destroy(error);
}

/* ---- the time ---- */

static void test_epoch(void **state)
{
	(void)state;
	static const struct {
		const char *changelog;
		const char *word;
	} rows[] = {
		{"p (1) u; urgency=low\n\n  * x\n\n -- N <m@x>  Thu, 01 Jan 1970 00:00:00 +0000\n",
		 "SOURCE_DATE_EPOCH=0"},
		{"p (1) u\n\n -- N <m@x>  Sat, 29 Feb 2020 23:59:59 -0130\n\np (0) u\n\n -- N <m>  Thu, 01 "
		 "Jan 1970 "
		 "00:00:00 +0000\n",
		 "SOURCE_DATE_EPOCH=1583026199"},
		/* Not to be read: the target's date. */
		{"p (1) u\n\n -- N <m@x>  yesterday\n", "SOURCE_DATE_EPOCH=1000"},
		{"p (1) u\n\n -- N <m@x>  Sat, 29 Fxx 2020 23:59:59 -0130\n", "SOURCE_DATE_EPOCH=1000"},
		{"p (1) u\n\n -- N <m@x>  Thu, 01 Jan 1900 00:00:00 +0000\n", "SOURCE_DATE_EPOCH=1000"},
		{"", "SOURCE_DATE_EPOCH=1000"},
	};
	const struct timespec old[2] = {{1000, 0}, {1000, 0}};
	char *word;
	put("prog", "");
	assert_int_equal(utimensat(AT_FDCWD, "prog", old, 0), 0);
	unsetenv("SOURCE_DATE_EPOCH");
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		put("dated/debian/changelog", rows[i].changelog);
		assert_null(epoch_word("dated", "prog", &word));
		assert_string_equal(word, rows[i].word);
		free(word);
	}
	struct usp_error *error = epoch_word("none", "no-prog", &word);
	assert_non_null(error);
	usp_error_destroy(error);
	setenv("SOURCE_DATE_EPOCH", "5", 1);
	assert_null(epoch_word("dated", "prog", &word));
	assert_null(word);
}

static int enter(void **state)
{
	(void)state;
	return !mkdtemp(directory) || chdir(directory) < 0 ? -1 : 0;
}

static int leave(void **state)
{
	(void)state;
	file_remove_tree(directory);
	return chdir("/");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_list),	  cmocka_unit_test(test_broken_list),
		cmocka_unit_test(test_needed),	  cmocka_unit_test(test_before),
		cmocka_unit_test(test_new_files), cmocka_unit_test(test_touch),
		cmocka_unit_test(test_reach),	  cmocka_unit_test(test_depend),
		cmocka_unit_test(test_epoch),
	};
	return cmocka_run_group_tests(tests, enter, leave);
}
