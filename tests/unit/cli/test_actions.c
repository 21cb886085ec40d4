// SPDX-License-Identifier: MIT
#include "fake.h"

#include <string.h>
#include <unistd.h>

static void several(size_t n)
{
	fake.n = n;
}

static void test_done(void **state)
{
	(void)state;
	fake.processes[0].pid = getpid(); /* its name can be read */
	char pid[16], expected[160];
	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	assert_int_equal(run("load", "fix.usp", "--pid", pid, NULL), USP_OK);
	snprintf(
		expected, sizeof(expected),
		"fix applied to test-cli-action (%d): 1 function, 1 try, 6 threads stood still for 0.31 ms\n",
		(int)getpid());
	assert_string_equal(said_out, expected);
	assert_string_equal(said_err, "");
	assert_int_equal(run("load", "fix.usp", "--pid", pid, "--quiet", NULL), USP_OK);
	assert_string_equal(said_out, "");
}

static void test_words(void **state)
{
	(void)state;
	static const char *const words[][2] = {
		{"upload", "fix uploaded to process 900000001\n"},
		{"apply", "fix applied to process 900000001: "},
		{"revert", "fix reverted in process 900000001: "},
		{"replace", "fix applied in place of all others to process 900000001: "},
		{"unload", "fix unloaded from process 900000001\n"}};
	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
		assert_int_equal(run(words[i][0], "fix", "server", NULL), USP_OK);
		assert_int_equal(strncmp(said_out, words[i][1], strlen(words[i][1])), 0);
	}
	assert_contains(fake.calls, "upload 900000001 fix");
	assert_contains(fake.calls, "unload 900000001 fix");
}

static void test_every_code(void **state)
{
	(void)state;
	for (int code = USP_FAILED; code <= USP_AMBIGUOUS; code++) {
		fake.processes[0].action_code = (enum usp_code)code;
		assert_int_equal(run("load", "dir/fix.usp", "server", NULL), code);
		assert_string_equal(said_out, "");
		assert_int_equal(strncmp(said_err, "usplice: load fix: something about it\n", 38), 0);
		fake.processes[0].action_code = USP_OK;
		fake.processes[0].open_code = (enum usp_code)code;
		assert_int_equal(run("load", "dir/fix.usp", "server", NULL), code);
		assert_string_equal(said_out, "");
		fake.processes[0].open_code = USP_OK;
	}
}

static void test_details_and_advice(void **state)
{
	(void)state;
	fake.processes[0].action_code = USP_NOT_QUIESCENT;
	fake.processes[0].message = "thread 4243 io stayed inside \033[31mecho\n#0 0x1 echo\n#1 0x2 main\n";
	assert_int_equal(run("apply", "fix", "server", NULL), USP_NOT_QUIESCENT);
	assert_int_equal(strncmp(said_err,
				 "usplice: apply fix: thread 4243 io stayed inside \\x1b[31mecho\n"
				 "  #0 0x1 echo\n  #1 0x2 main\nNothing was changed. ",
				 110),
			 0);
	fake.processes[0].action_code = USP_BUSY;
	run("apply", "fix", "server", NULL);
	assert_contains(said_err, "--wait");
	run("apply", "fix", "server", "--wait", NULL);
	assert_lacks(said_err, "--wait");
	fake.processes[0].action_code = USP_ORDER;
	run("apply", "fix", "server", NULL);
	assert_contains(said_err, "comes off first");
	assert_lacks(said_err, "--nodeps"); /* not for every reason; where it is, the library says so */
}

/* The library may begin its message as the command does. */
static void test_words_are_said_once(void **state)
{
	(void)state;
	fake.processes[0].action_code = USP_ORDER;
	fake.processes[0].message = "apply fix: not on top";
	run("apply", "fix", "server", NULL);
	assert_int_equal(strncmp(said_err, "usplice: apply fix: not on top\n", 31), 0);
	run("revert", "fix", "server", NULL);
	assert_int_equal(strncmp(said_err, "usplice: revert fix: apply fix: not on top\n", 43), 0);
}

static void test_hostile_subject(void **state)
{
	(void)state;
	fake.processes[0].action_code = USP_NOT_FOUND;
	assert_int_equal(run("apply", "\033]0;x\a", "server", NULL), USP_NOT_FOUND);
	assert_lacks(said_err, "\033");
	fake.processes[0].action_code = USP_OK;
	strcpy(fake.processes[0].outcome.name, "a\033b");
	assert_int_equal(run("apply", "fix", "server", NULL), USP_OK);
	assert_lacks(said_out, "\033");
}

static void test_log(void **state)
{
	(void)state;
	fake.log_line = "fix: a\rline";
	run("apply", "fix", "server", NULL);
	assert_string_equal(said_err, "usplice: warning: fix: a\\x0dline\n");
	run("apply", "fix", "server", "-q", NULL);
	assert_string_equal(said_err, "");
	run("apply", "fix", "server", "-v", NULL);
	assert_contains(said_err, "usplice: fix: a\\x0dline\nusplice: fix took");
	run("apply", "fix", "server", "-vv", NULL);
	assert_contains(said_err, "usplice: fix: a\\x0dline\nusplice: fix: a\\x0dline\nusplice: fix took");
}

static void test_recovered_is_said(void **state)
{
	(void)state;
	fake.processes[0].outcome.recovered = true;
	assert_int_equal(run("apply", "fix", "server", NULL), USP_OK);
	assert_contains(said_err, "killed usplice");
}

static void test_no_such_process(void **state)
{
	(void)state;
	assert_int_equal(run("apply", "fix", "nobody", NULL), USP_NOT_FOUND);
	assert_contains(said_err, "no process is named \"nobody\"");
	assert_int_equal(run("apply", "fix", "nobody", "--all", NULL), USP_NOT_FOUND);
	assert_int_equal(run("apply", "fix", "--pid", "900000009", NULL), USP_NOT_FOUND);
	fake.find_code = USP_FAILED;
	assert_int_equal(run("apply", "fix", "server", NULL), USP_FAILED);
	assert_contains(said_err, "/proc is not mounted");
}

static void test_ambiguous_name(void **state)
{
	(void)state;
	several(2);
	assert_int_equal(run("apply", "fix", "server", NULL), USP_AMBIGUOUS);
	assert_contains(said_err, "900000001, 900000002");
	assert_contains(said_err, "--all");
	assert_string_equal(fake.calls, "");
	assert_int_equal(run("gdb", "server", NULL), USP_AMBIGUOUS);
	assert_lacks(said_err, "--all");
}

static void test_all_done(void **state)
{
	(void)state;
	several(3);
	assert_int_equal(run("apply", "fix", "server", "--all", NULL), USP_OK);
	assert_contains(said_out, "process 900000003");
	assert_contains(said_out, "3 done, 0 skipped, 0 failed\n");
}

static void test_all_one_vanishes(void **state)
{
	(void)state;
	several(4);
	fake.processes[0].open_code = USP_NOT_FOUND;
	fake.processes[1].open_code = USP_GONE;
	fake.processes[2].action_code = USP_GONE;
	assert_int_equal(run("apply", "fix", "server", "--all", NULL), USP_OK);
	assert_contains(said_err, "process 900000001: skipped: it exited");
	assert_contains(said_err, "process 900000002: skipped: it exited");
	assert_contains(said_err, "process 900000003: skipped: it exited");
	assert_contains(said_out, "1 done, 3 skipped, 0 failed\n");
	/* Nothing was done anywhere: that is not exit code 0. */
	fake.processes[3].action_code = USP_GONE;
	assert_int_equal(run("apply", "fix", "server", "--all", NULL), USP_GONE);
}

static void test_one_that_vanishes_is_a_failure(void **state)
{
	(void)state;
	fake.processes[0].action_code = USP_GONE;
	assert_int_equal(run("apply", "fix", "server", NULL), USP_GONE);
	assert_contains(said_err, "usplice: apply fix: something about it");
}

static void test_all_worst_code(void **state)
{
	(void)state;
	several(4);
	fake.processes[0].action_code = USP_BUSY;
	fake.processes[1].action_code = USP_MISMATCH;
	fake.processes[2].action_code = USP_NOT_QUIESCENT;
	assert_int_equal(run("apply", "fix", "server", "--all", NULL), USP_MISMATCH);
	assert_contains(said_out, "1 done, 0 skipped, 3 failed\n");
	assert_contains(said_err, "usplice: apply fix: process 900000002: something about it\n");
}

static struct usp_payload_info info_of(const char *build_id, enum usp_state state)
{
	return (struct usp_payload_info){.name = "fix", .build_id = build_id, .state = state};
}

static void test_all_already_applied(void **state)
{
	(void)state;
	struct usp_payload_info payload = info_of("abcd", USP_STATE_APPLIED);
	several(2);
	fake.processes[0].action_code = USP_EXISTS;
	strcpy(fake.processes[0].outcome.build_id, "abcd");
	fake.processes[0].payloads = &payload;
	fake.processes[0].n_payloads = 1;
	assert_int_equal(run("load", "fix.usp", "server", "--all", NULL), USP_OK);
	assert_contains(said_err, "skipped: it is applied already");
	assert_contains(said_out, "1 done, 1 skipped, 0 failed\n");
	/* Without --all the refusal stays one. */
	several(1);
	assert_int_equal(run("load", "fix.usp", "server", NULL), USP_EXISTS);
}

/* What looks like "already there" and is not, has failed. */
static void test_all_not_the_same(void **state)
{
	(void)state;
	struct usp_payload_info payload = info_of("abcd", USP_STATE_APPLIED);
	several(2);
	struct fake_process *p = &fake.processes[0];
	p->action_code = USP_EXISTS;
	p->payloads = &payload;
	p->n_payloads = 1;

	strcpy(p->outcome.build_id, "ef01"); /* another build of the same name */
	assert_int_equal(run("load", "fix.usp", "server", "--all", NULL), USP_EXISTS);
	p->outcome.build_id[0] = '\0'; /* not known which */
	assert_int_equal(run("load", "fix.usp", "server", "--all", NULL), USP_EXISTS);
	strcpy(p->outcome.build_id, "abcd");
	payload.state = USP_STATE_CHECKED; /* uploaded, not applied */
	assert_int_equal(run("load", "fix.usp", "server", "--all", NULL), USP_EXISTS);
	payload.state = USP_STATE_APPLIED;
	p->look_code = USP_FAILED; /* cannot be found out */
	assert_int_equal(run("load", "fix.usp", "server", "--all", NULL), USP_EXISTS);
	p->look_code = USP_OK;
	/* replace is about the whole stack: being applied is not enough. */
	p->action_code = USP_WRONG_STATE;
	assert_int_equal(run("replace", "fix", "server", "--all", NULL), USP_WRONG_STATE);
}

static void test_all_not_there(void **state)
{
	(void)state;
	several(2);
	fake.processes[0].action_code = USP_NOT_FOUND;
	fake.processes[0].outcome.name[0] = '\0';
	assert_int_equal(run("revert", "fix", "server", "--all", NULL), USP_OK);
	assert_contains(said_err, "skipped: it is not applied there");
	/* A file that is not there is a failure, in each process. */
	assert_int_equal(run("revert", "fix.usp", "server", "--all", NULL), USP_NOT_FOUND);
	/* Nowhere: a misspelt name must not look like success. */
	fake.processes[1].action_code = USP_NOT_FOUND;
	fake.processes[1].outcome.name[0] = '\0';
	assert_int_equal(run("revert", "fix", "server", "--all", NULL), USP_NOT_FOUND);
	assert_contains(said_out, "0 done, 2 skipped, 0 failed\n");
	/* apply of what is not there never counts as done. */
	assert_int_equal(run("apply", "fix", "server", "--all", NULL), USP_NOT_FOUND);
	assert_contains(said_out, "0 done, 0 skipped, 2 failed\n");
}

static void test_recover(void **state)
{
	(void)state;
	several(2);
	fake.processes[0].recovered = true;
	assert_int_equal(run("recover", "server", "--all", NULL), USP_OK);
	assert_string_equal(said_out, "process 900000001: the unfinished action was finished or undone\n"
				      "process 900000002: there was nothing to recover\n");
	fake.processes[1].action_code = USP_FAILED;
	assert_int_equal(run("recover", "server", "--all", NULL), USP_FAILED);
	assert_int_equal(run("recover", "900000002", NULL), USP_FAILED);
	assert_contains(said_err, "usplice: recover: something about it");
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup(f, fake_reset)
	const struct CMUnitTest tests[] = {
		TEST(test_done),
		TEST(test_words),
		TEST(test_every_code),
		TEST(test_details_and_advice),
		TEST(test_words_are_said_once),
		TEST(test_hostile_subject),
		TEST(test_log),
		TEST(test_recovered_is_said),
		TEST(test_no_such_process),
		TEST(test_ambiguous_name),
		TEST(test_all_done),
		TEST(test_all_one_vanishes),
		TEST(test_one_that_vanishes_is_a_failure),
		TEST(test_all_worst_code),
		TEST(test_all_already_applied),
		TEST(test_all_not_the_same),
		TEST(test_all_not_there),
		TEST(test_recover),
	};
	return cmocka_run_group_tests(tests, NULL, fake_reset);
}
