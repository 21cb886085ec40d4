// SPDX-License-Identifier: MIT
#include "fake.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"

static void test_no_command(void **state)
{
	(void)state;
	assert_int_equal(run(NULL, NULL), USP_USAGE);
	assert_string_equal(said_out, "");
	assert_contains(said_err, "load");
}

static void test_help(void **state)
{
	(void)state;
	assert_int_equal(run("help", NULL), USP_OK);
	static const char *const names[] = {"cc",     "load",	 "upload",  "check", "apply",
					    "revert", "replace", "unload",  "list",  "info",
					    "gdb",    "recover", "version", "help"};
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		char start[32];
		snprintf(start, sizeof(start), "\n  %s ", names[i]);
		assert_contains(said_out, start);
		assert_int_equal(run("help", names[i], NULL), USP_OK);
		assert_contains(said_out, "--help");
		char *first = strdup(said_out);
		assert_int_equal(run(names[i], "--help", NULL), USP_OK);
		assert_string_equal(said_out, first);
		free(first);
		assert_string_equal(said_err, "");
		run("help", NULL);
	}
	assert_int_equal(run("--help", NULL), USP_OK);
	assert_int_equal(run("-h", NULL), USP_OK);
	assert_int_equal(run("help", "nonsense", NULL), USP_USAGE);
	assert_int_equal(run("help", "load", "apply", NULL), USP_USAGE);
	assert_string_equal(fake.calls, "");
}

static void test_version(void **state)
{
	(void)state;
	assert_int_equal(run("version", NULL), USP_OK);
	assert_contains(said_out, "usplice ");
	assert_int_equal(run("--version", NULL), USP_OK);
	assert_contains(said_out, "usplice ");
}

static void test_misspelt_command(void **state)
{
	(void)state;
	assert_int_equal(run("aply", NULL), USP_USAGE);
	assert_contains(said_err, "did you mean \"apply\"?");
	assert_int_equal(run("frobnicate", NULL), USP_USAGE);
	assert_lacks(said_err, "did you mean");
	assert_int_equal(run("", NULL), USP_USAGE);
	assert_int_equal(run("a-word-much-longer-than-any-command-can-be", NULL), USP_USAGE);
	assert_int_equal(run("\033[2J", NULL), USP_USAGE);
	assert_lacks(said_err, "\033");
}

static void test_usage_errors(void **state)
{
	(void)state;
	static const char *const lines[][6] = {
		{"load"},
		{"load", "fix.usp"},
		{"load", "--pid"},
		{"load", "fix.usp", "--pid", "0"},
		{"load", "fix.usp", "--pid", "-1"},
		{"load", "fix.usp", "--pid", "12x"},
		{"load", "fix.usp", "--pid", ""},
		{"load", "fix.usp", "--pid", "4294967297"},
		{"load", "fix.usp", "--pid=99999999999999999999"},
		{"load", "fix.usp", "--process", ""},
		{"load", "fix.usp", ""},
		{"load", "fix.usp", "a", "b"},
		{"load", "fix.usp", "a", "--pid", "3"},
		{"load", "fix.usp", "--process=a", "--pid=3"},
		{"load", "fix.usp", "--all"},
		{"load", "fix.usp", "--pid=3", "--all"},
		{"load", "fix.usp", "server", "--timeout", "x"},
		{"load", "fix.usp", "server", "--timeout", "100000000"},
		{"load", "fix.usp", "server", "--try", "10001"},
		{"load", "fix.usp", "server", "--try", "1h"},
		{"load", "fix.usp", "server", "--frob"},
		{"load", "fix.usp", "server", "-x"},
		{"load", "fix.usp", "server", "-vx"},
		{"load", "fix.usp", "server", "--wait=yes"},
		{"load", "fix.usp", "server", "--json"},
		{"load", "fix.usp", "server", "--keep"},
		{"upload", "fix.usp", "server", "--nodeps"},
		{"list", "a", "b"},
		{"list", "--timeout", "1"},
		{"gdb"},
		{"gdb", "server", "--all"},
		{"recover"},
		{"recover", "server", "--dry-run"},
		{"info"},
		{"version", "x"},
		{"cc"},
		{"cc", "fix.c"},
		{"cc", "fix.c", "--target", "/bin/true", "-O3"},
		{"cc", "fix.c", "--target", "/bin/true", "--module=x"},
		{"cc", "fix.c", "--target", "/bin/true", "-ofix.c"},
	};
	for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++) {
		const char *const *w = lines[i];
		int code = run(w[0], w[1], w[2], w[3], w[4], w[5], NULL);
		if (code != USP_USAGE)
			fail_msg("line %zu (%s %s %s): exit code %d", i, w[0], w[1] ? w[1] : "",
				 w[2] ? w[2] : "", code);
		assert_string_equal(said_out, "");
		assert_int_equal(strncmp(said_err, "usplice: ", 9), 0);
		assert_string_equal(fake.calls, "");
	}
}

static void test_all_options(void **state)
{
	(void)state;
	assert_int_equal(run("load", "--wait", "fix.usp", "--pid", "900000001", "--timeout=0.25", "--try",
			     "100", "--nodeps", "--dry-run", NULL),
			 USP_OK);
	assert_string_equal(fake.calls, "load 900000001 fix.usp timeout=250 try=100 wait nodeps dry;");
	assert_contains(said_out, "nothing was changed");
}

static void test_forms_of_the_process(void **state)
{
	(void)state;
	assert_int_equal(run("apply", "fix", "900000001", NULL), USP_OK);
	assert_int_equal(run("apply", "fix", "-p900000001", "-t", "250ms", NULL), USP_OK);
	assert_int_equal(run("apply", "fix", "server", NULL), USP_OK);
	assert_int_equal(run("apply", "--process=server", "fix", NULL), USP_OK);
	assert_int_equal(run("apply", "--pid=900000001", "--", "-odd-name", NULL), USP_OK);
	assert_string_equal(fake.calls,
			    "apply 900000001 fix timeout=0 try=0;apply 900000001 fix timeout=250 try=0;"
			    "apply 900000001 fix timeout=0 try=0;apply 900000001 fix timeout=0 try=0;"
			    "apply 900000001 -odd-name timeout=0 try=0;");
}

static void test_cc(void **state)
{
	(void)state;
	assert_int_equal(run("cc", "a.c", "sub/b.c", "-o", "fix.usp", "--target=/bin/true", "--name", "n",
			     "--cc=gcc-12", "--keep", "--", "-O3", "-Iinc", NULL),
			 USP_OK);
	assert_string_equal(fake.calls, "cc a.c sub/b.c -o fix.usp target=/bin/true pid=0 module=- name=n "
					"cc=gcc-12 keep flags=-O3,-Iinc,");
	assert_contains(said_out, "fix.usp");
	fake.calls[0] = '\0';
	assert_int_equal(run("cc", "sub/b.c", "--target", "4242", "--module", "libx.so", NULL), USP_OK);
	assert_string_equal(fake.calls,
			    "cc sub/b.c -o b.usp target=- pid=4242 module=libx.so name=- cc=- flags=");
	fake.cc_code = USP_NOT_FOUND;
	fake.processes[0].message = "function `fo` is not in target\nnearest: foo";
	assert_int_equal(run("cc", "b.c", "--target", "4242", NULL), USP_NOT_FOUND);
	assert_string_equal(said_err, "usplice: cc: function `fo` is not in target\n  nearest: foo\n");
	assert_string_equal(said_out, "");
}

static void test_build(void **state)
{
	(void)state;
	assert_int_equal(run("build", "--target=/bin/true", "--patch", "p/one.patch", "--patch=two.patch",
			     "--source", "src", "--built=x/true", "--allow", "data=is only read later",
			     "--allow=enum=x", "--keep", "dir", "--name=n", "--", "make", "-j2",
			     "--target=all", NULL),
			 USP_OK);
	assert_string_equal(fake.calls,
			    "build /bin/true -> one.usp source=src built=x/true name=n keep=dir "
			    "patches=p/one.patch,two.patch, allow=data:is only read later,enum:x, "
			    "command=make,-j2,--target=all,");
	assert_contains(said_out, "one.usp is ready");
	fake.calls[0] = '\0';
	assert_int_equal(run("build", "--patch=a.patch", "--", "make", NULL), USP_USAGE);
	assert_contains(said_err, "--target");
	assert_int_equal(run("build", "--target=t", "--", "make", NULL), USP_USAGE);
	assert_contains(said_err, "--patch");
	assert_int_equal(run("build", "--target=t", "--patch=a.patch", NULL), USP_USAGE);
	assert_contains(said_err, "after \"--\"");
	assert_int_equal(run("build", "--target=t", "--patch=a.patch", "--allow=data", "--", "make", NULL),
			 USP_USAGE);
	assert_contains(said_err, "KIND=REASON");
	assert_int_equal(run("build", "--target=t", "--patch=a.patch", "--cc=gcc", "--", "make", NULL),
			 USP_USAGE);
	assert_int_equal(run("cc", "a.c", "--target=/bin/true", "--patch=a.patch", NULL), USP_USAGE);
	assert_string_equal(fake.calls, "");
	fake.cc_code = USP_NO_CHANGE;
	fake.processes[0].message = "changes nothing";
	assert_int_equal(run("build", "--target=t", "--patch=a.patch", "-o", "x.usp", "--", "make", NULL),
			 16);
	assert_string_equal(said_err, "usplice: build: changes nothing\n");
	assert_string_equal(said_out, "");
}

static void test_cc_target_that_is_a_file_of_digits(void **state)
{
	(void)state;
	char dir[] = "/tmp/usplice-test-XXXXXX", old[4096];
	assert_non_null(mkdtemp(dir));
	assert_non_null(getcwd(old, sizeof(old)));
	assert_int_equal(chdir(dir), 0);
	int fd = open("4242", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	close(fd);
	int code = run("cc", "b.c", "--target", "4242", NULL);
	unlink("4242");
	assert_int_equal(chdir(old), 0);
	rmdir(dir);
	assert_int_equal(code, USP_OK);
	assert_contains(fake.calls, "target=4242 pid=0");
}

static void test_unwritable_output(void **state)
{
	(void)state;
	FILE *full = fopen("/dev/full", "we");
	assert_non_null(full);
	char *err_text = NULL;
	size_t size;
	FILE *err = open_memstream(&err_text, &size);
	char *argv[] = {(char *)"usplice", (char *)"version", NULL};
	int code = cli_main(2, argv, full, err);
	fclose(full);
	fclose(err);
	assert_int_equal(code, USP_FAILED);
	assert_contains(err_text, "could not be written");
	free(err_text);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup(f, fake_reset)
	const struct CMUnitTest tests[] = {
		TEST(test_no_command),
		TEST(test_help),
		TEST(test_version),
		TEST(test_misspelt_command),
		TEST(test_usage_errors),
		TEST(test_all_options),
		TEST(test_forms_of_the_process),
		TEST(test_cc),
		TEST(test_build),
		TEST(test_cc_target_that_is_a_file_of_digits),
		TEST(test_unwritable_output),
	};
	return cmocka_run_group_tests(tests, NULL, fake_reset);
}
