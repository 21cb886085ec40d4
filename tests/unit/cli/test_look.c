// SPDX-License-Identifier: MIT
#include "fake.h"

#include <json-c/json.h>
#include <string.h>

static struct usp_function_info functions[] = {
	{.name = "echoCommand",
	 .file = "server.c",
	 .module = "redis-server",
	 .old_address = 0x555500001000,
	 .old_size = 120,
	 .new_address = 0x555600001000,
	 .new_size = 96,
	 .site = 0x555500001004,
	 .site_length = 5},
	{.name = "blanked\033[1m",
	 .module = "redis-server",
	 .old_address = 0x555500002000,
	 .old_size = 50,
	 .site = 0x555500002008,
	 .site_length = 3},
};

static struct usp_payload_info payloads[] = {
	{.name = "fix",
	 .version = "1.2",
	 .description = "CVE-2026-1\n\xff",
	 .build_id = "abcd",
	 .module = "redis-server",
	 .module_build_id = "0123",
	 .state = USP_STATE_APPLIED,
	 .position = 1,
	 .applied_once = true,
	 .writable_data = true,
	 .last_action = "apply",
	 .base = 0xfffffffffffff000,
	 .size = 8192,
	 .unwind = USP_UNWIND_REGISTERED,
	 .functions = functions,
	 .n_functions = 2,
	 .hooks = 1u << 2 | 1u << 7},
	{.name = "other",
	 .build_id = "ef01",
	 .module = "redis-server",
	 .module_build_id = "0123",
	 .state = USP_STATE_CHECKED,
	 .last_action = "apply",
	 .last_result = USP_VETO},
};

static int setup(void **state)
{
	fake_reset(state);
	fake.processes[0].payloads = payloads;
	fake.processes[0].n_payloads = 2;
	fake.processes[0].patched = true;
	return 0;
}

/* The JSON that was printed: it must be valid, and all of it. */
static struct json_object *parsed(void)
{
	enum json_tokener_error error;
	struct json_object *o = json_tokener_parse_verbose(said_out, &error);
	if (!o)
		fail_msg("%s in: %s", json_tokener_error_desc(error), said_out);
	assert_int_equal(json_object_get_int(json_object_object_get(o, "format")), 1);
	return o;
}

static struct json_object *at(struct json_object *array, size_t i)
{
	assert_true(i < json_object_array_length(array));
	return json_object_array_get_idx(array, i);
}

static const char *string(struct json_object *o, const char *key)
{
	struct json_object *value;
	if (!json_object_object_get_ex(o, key, &value))
		fail_msg("no member \"%s\"", key);
	return value ? json_object_get_string(value) : NULL;
}

static void test_list(void **state)
{
	(void)state;
	assert_int_equal(run("list", "--pid", "900000001", NULL), USP_OK);
	assert_string_equal(said_out, "process 900000001\n"
				      "  POS  STATE    NAME   VERSION  FUNCTIONS IN\n"
				      "  1    APPLIED  fix    1.2      2 redis-server\n"
				      "  -    CHECKED  other  -        0 redis-server\n");
	assert_string_equal(said_err, "");
}

static void test_list_empty(void **state)
{
	(void)state;
	fake.processes[0].n_payloads = 0;
	assert_int_equal(run("list", "server", NULL), USP_OK);
	assert_string_equal(said_out, "process 900000001 has no payload\n");
}

static void test_list_everywhere(void **state)
{
	(void)state;
	fake.n = 4;
	fake.processes[2] = fake.processes[0];
	fake.processes[2].pid = PID_C;
	assert_int_equal(run("list", NULL), USP_OK);
	assert_contains(said_out, "900000001");
	assert_lacks(said_out, "900000002");
	assert_contains(said_out, "900000003");
	/* One is gone by the time it is looked at: said, no failure. */
	fake.processes[0].open_code = USP_NOT_FOUND;
	assert_int_equal(run("list", NULL), USP_OK);
	assert_contains(said_err, "skipped");
	/* One refuses: that is one. */
	fake.processes[0].open_code = USP_PERMISSION;
	assert_int_equal(run("list", NULL), USP_PERMISSION);
	assert_contains(said_out, "900000003");
}

static void test_list_nowhere(void **state)
{
	(void)state;
	fake.processes[0].patched = false;
	assert_int_equal(run("list", NULL), USP_OK);
	assert_string_equal(said_out, "no process has a payload\n");
	assert_int_equal(run("list", "--json", NULL), USP_OK);
	struct json_object *o = parsed();
	assert_int_equal(json_object_array_length(json_object_object_get(o, "processes")), 0);
	json_object_put(o);
	fake.find_code = USP_PERMISSION;
	assert_int_equal(run("list", NULL), USP_PERMISSION);
}

/* A registry with nothing in it is worth no line, unless something is unfinished. */
static void test_list_skips_the_empty(void **state)
{
	(void)state;
	fake.processes[0].n_payloads = 0;
	assert_int_equal(run("list", NULL), USP_OK);
	assert_string_equal(said_out, "no process has a payload\n");
	fake.processes[0].unfinished = true;
	assert_int_equal(run("list", NULL), USP_OK);
	assert_contains(said_err, "usplice recover --pid 900000001");
	assert_contains(said_out, "process 900000001 has no payload\n");
}

static void test_unfinished_is_said(void **state)
{
	(void)state;
	fake.processes[0].unfinished = true;
	assert_int_equal(run("list", "server", NULL), USP_OK);
	assert_contains(said_err, "usplice recover --pid 900000001");
}

static void test_list_json(void **state)
{
	(void)state;
	assert_int_equal(run("list", "server", "--json", NULL), USP_OK);
	assert_string_equal(said_err, "");
	struct json_object *root = parsed(), *process = at(json_object_object_get(root, "processes"), 0);
	assert_int_equal(json_object_get_int(json_object_object_get(process, "pid")), PID_A);
	assert_false(json_object_get_boolean(json_object_object_get(process, "unfinished")));
	struct json_object *list = json_object_object_get(process, "payloads"), *fix = at(list, 0),
			   *other = at(list, 1);
	assert_int_equal(json_object_array_length(list), 2);
	assert_string_equal(string(fix, "name"), "fix");
	assert_string_equal(string(fix, "state"), "applied");
	assert_string_equal(string(fix, "base"), "0xfffffffffffff000");
	assert_string_equal(string(fix, "unwind"), "registered");
	assert_string_equal(string(fix, "last_result"), "done");
	assert_string_equal(string(fix, "description"), "CVE-2026-1\\x0a\\xff");
	assert_null(string(fix, "depends"));
	assert_string_equal(json_object_get_string(at(json_object_object_get(fix, "hooks"), 1)), "revert");
	struct json_object *function = at(json_object_object_get(fix, "functions"), 1);
	assert_string_equal(string(function, "name"), "blanked\\x1b[1m");
	assert_string_equal(string(function, "new_address"), "0x0");
	assert_null(string(function, "file"));
	assert_string_equal(string(other, "last_result"), "veto");
	assert_int_equal(json_object_get_int(json_object_object_get(other, "position")), 0);
	json_object_put(root);
}

static void test_info(void **state)
{
	(void)state;
	assert_int_equal(run("info", "fix", "server", NULL), USP_OK);
	assert_contains(said_out, "fix in process 900000001\n");
	assert_contains(said_out, "APPLIED, number 1 from the bottom");
	assert_contains(said_out, "pre-apply, revert");
	assert_contains(said_out,
			"echoCommand (server.c): 0x555500001000 (120 bytes) -> 0x555600001000 (96 bytes)");
	assert_contains(said_out, "3 bytes blanked at 0x555500002008");
	assert_lacks(said_out, "\033");
	assert_lacks(said_out, "other");
	/* No process said: wherever it is. */
	assert_int_equal(run("info", "other", NULL), USP_OK);
	assert_contains(said_out, "other in process 900000001\n");
	assert_contains(said_out, "apply: veto");
}

static void test_info_not_found(void **state)
{
	(void)state;
	assert_int_equal(run("info", "nothing", "server", NULL), USP_NOT_FOUND);
	assert_contains(said_err, "no payload \"nothing\"");
	assert_int_equal(run("info", "nothing", NULL), USP_NOT_FOUND);
	assert_string_equal(said_out, "");
}

static void test_info_json(void **state)
{
	(void)state;
	assert_int_equal(run("info", "other", "--json", "server", NULL), USP_OK);
	struct json_object *root = parsed();
	struct json_object *list =
		json_object_object_get(at(json_object_object_get(root, "processes"), 0), "payloads");
	assert_int_equal(json_object_array_length(list), 1);
	assert_string_equal(string(at(list, 0), "name"), "other");
	json_object_put(root);
}

static struct usp_check_line lines[] = {{.name = "echoCommand", .fits = true},
					{.name = "getCommand", .fits = false, .reason = "its bytes differ"}};
static const char *busy[] = {"4243 io: getCommand"};

static void test_check(void **state)
{
	(void)state;
	fake.processes[0].check = (struct usp_check){.name = "fix",
						     .fits = true,
						     .functions = lines,
						     .n_functions = 1,
						     .busy_threads = busy,
						     .n_busy_threads = 1};
	assert_int_equal(run("check", "fix.usp", "server", NULL), USP_OK);
	assert_contains(said_out, "fix fits process 900000001\n  ok  echoCommand\n");
	assert_contains(said_out, "inside now: 4243 io: getCommand");

	fake.processes[0].check = (struct usp_check){.name = "fix",
						     .fits = false,
						     .code = USP_MISMATCH,
						     .functions = lines,
						     .n_functions = 2,
						     .reason = "other build"};
	assert_int_equal(run("check", "fix.usp", "server", "--nodeps", NULL), USP_MISMATCH);
	assert_contains(said_out, "fix does not fit process 900000001\n  other build\n");
	assert_contains(said_out, "  no  getCommand: its bytes differ\n");
	assert_contains(fake.calls, "check 900000001 fix.usp nodeps;");
	/* "Does not fit" is no success even if the code forgot to say why. */
	fake.processes[0].check.code = USP_OK;
	assert_int_equal(run("check", "fix.usp", "server", NULL), USP_FAILED);
}

static void test_check_json(void **state)
{
	(void)state;
	fake.processes[0].check = (struct usp_check){.name = "fix",
						     .fits = false,
						     .code = USP_MISMATCH,
						     .functions = lines,
						     .n_functions = 2,
						     .reason = "other build",
						     .busy_threads = busy,
						     .n_busy_threads = 1};
	assert_int_equal(run("check", "fix.usp", "server", "--json", NULL), USP_MISMATCH);
	struct json_object *root = parsed(), *answer = at(json_object_object_get(root, "processes"), 0);
	assert_string_equal(string(answer, "payload"), "fix");
	assert_string_equal(string(answer, "result"), "mismatch");
	assert_string_equal(string(answer, "reason"), "other build");
	assert_string_equal(string(at(json_object_object_get(answer, "functions"), 1), "reason"),
			    "its bytes differ");
	assert_string_equal(json_object_get_string(at(json_object_object_get(answer, "busy_threads"), 0)),
			    busy[0]);
	json_object_put(root);
}

static void test_check_question_fails(void **state)
{
	(void)state;
	fake.processes[0].look_code = USP_BAD_PAYLOAD;
	assert_int_equal(run("check", "fix.usp", "server", NULL), USP_BAD_PAYLOAD);
	assert_contains(said_err, "usplice: check fix.usp: something about it");
}

static void test_gdb(void **state)
{
	(void)state;
	assert_int_equal(run("gdb", "900000001", NULL), USP_OK);
	assert_contains(said_out, "add-symbol-file-from-memory");
	fake.processes[0].look_code = USP_PERMISSION;
	assert_int_equal(run("gdb", "server", NULL), USP_PERMISSION);
	assert_string_equal(said_out, "");
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup(f, setup)
	const struct CMUnitTest tests[] = {
		TEST(test_list),
		TEST(test_list_empty),
		TEST(test_list_everywhere),
		TEST(test_list_nowhere),
		TEST(test_list_skips_the_empty),
		TEST(test_unfinished_is_said),
		TEST(test_list_json),
		TEST(test_info),
		TEST(test_info_not_found),
		TEST(test_info_json),
		TEST(test_check),
		TEST(test_check_json),
		TEST(test_check_question_fails),
		TEST(test_gdb),
	};
	return cmocka_run_group_tests(tests, NULL, fake_reset);
}
