// SPDX-License-Identifier: MIT
/* --timeline: the file. Every answer is read back by a JSON parser. */
#define _GNU_SOURCE
#include "fake.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "process/timeline.h"

static char directory[] = "/tmp/usplice-timeline.XXXXXX", path[64];

static int make_directory(void **state)
{
	(void)state;
	if (!mkdtemp(directory))
		return -1;
	snprintf(path, sizeof(path), "%s/out.json", directory);
	return 0;
}

static int remove_directory(void **state)
{
	(void)state;
	return rmdir(directory);
}

static int reset(void **state)
{
	unlink(path);
	return fake_reset(state);
}

static bool exists(void)
{
	return access(path, F_OK) == 0;
}

static void write_text(const char *text)
{
	FILE *f = fopen(path, "we");
	assert_non_null(f);
	fputs(text, f);
	assert_int_equal(fclose(f), 0);
}

/* The array of events. *root: to be put. */
static struct json_object *events_of(struct json_object **root)
{
	struct json_object *events;
	*root = json_object_from_file(path);
	if (!*root)
		fail_msg("%s", json_util_get_last_err());
	assert_true(json_object_object_get_ex(*root, "traceEvents", &events));
	return events;
}

static const char *text_of(struct json_object *o, const char *key)
{
	struct json_object *value;
	return json_object_object_get_ex(o, key, &value) ? json_object_get_string(value) : "";
}

static const char *argument_of(struct json_object *o, const char *key)
{
	struct json_object *args;
	return json_object_object_get_ex(o, "args", &args) ? text_of(args, key) : "";
}

/* The event of that name (a label's: the label), or NULL. */
static struct json_object *find(struct json_object *events, const char *name)
{
	for (size_t i = 0; i < json_object_array_length(events); i++) {
		struct json_object *o = json_object_array_get_idx(events, i);
		if (!strcmp(text_of(o, "name"), name) ||
		    (!strcmp(text_of(o, "ph"), "M") && !strcmp(argument_of(o, "name"), name)))
			return o;
	}
	return NULL;
}

static ssize_t place_of(struct json_object *events, const char *name)
{
	for (size_t i = 0; i < json_object_array_length(events); i++)
		if (!strcmp(text_of(json_object_array_get_idx(events, i), "name"), name))
			return (ssize_t)i;
	return -1;
}

static void record(struct usp_timeline *timeline)
{
	timeline_thread(timeline, 43, "early");
	timeline_thread(timeline, 42, "worker");
	timeline_thread(timeline, 43, "late");
	timeline_put(timeline, 0, 1000500, 1000600, false, "sync 1", NULL, 1);
	timeline_put(timeline, 42, 1000550, 1000580, false, "held", "val\033ue\xff", 0x1234);
	timeline_put(timeline, 42, 1000600, 0, true, "inside", "#0 a\n#1 \"b\"", 0);
	timeline_put(timeline, 0, 1000500, 1000600, false, "try", "committed", 3);
	timeline_put(timeline, 0, 1000000, 3000001, false, "action", NULL, 0);
}

static void test_not_asked_for(void **state)
{
	(void)state;
	fake.record = record;
	assert_int_equal(run("apply", "fix", "server", NULL), USP_OK);
	assert_false(fake.recorded);
}

static void test_events(void **state)
{
	(void)state;
	struct json_object *root, *o;
	fake.record = record;
	assert_int_equal(run("apply", "fix", "server", "--timeline", path, NULL), USP_OK);
	assert_true(fake.recorded);
	assert_string_equal(said_err, "");
	struct json_object *events = events_of(&root);
	o = find(events, "apply fix");
	assert_non_null(o);
	assert_string_equal(text_of(o, "ph"), "X");
	assert_string_equal(text_of(o, "ts"), "0.000");
	assert_string_equal(text_of(o, "dur"), "2000.001");
	assert_string_equal(argument_of(o, "detail"), "done");
	assert_int_equal(strtol(text_of(o, "pid"), NULL, 10), getpid());
	o = find(events, "sync 1");
	assert_string_equal(text_of(o, "ts"), "0.500");
	assert_string_equal(text_of(o, "dur"), "0.100");
	assert_string_equal(text_of(o, "cat"), "action");
	o = find(events, "try 3: committed");
	assert_string_equal(argument_of(o, "event"), "try");
	/* What a target's names are made of is never in the file. */
	o = find(events, "held: val\\x1bue\\xff");
	assert_non_null(o);
	assert_string_equal(text_of(o, "tid"), "42");
	assert_int_equal(strtol(text_of(o, "pid"), NULL, 10), PID_A);
	assert_string_equal(text_of(o, "cat"), "thread");
	assert_string_equal(argument_of(o, "number"), "4660");
	o = find(events, "inside"); /* several lines are no title */
	assert_string_equal(text_of(o, "ph"), "i");
	assert_string_equal(text_of(o, "s"), "t");
	assert_string_equal(argument_of(o, "detail"), "#0 a\n#1 \"b\"");
	json_object_put(root);
}

static void test_order(void **state)
{
	(void)state;
	struct json_object *root;
	fake.record = record;
	run("apply", "fix", "server", "--timeline", path, NULL);
	struct json_object *events = events_of(&root);
	assert_true(place_of(events, "apply fix") < place_of(events, "try 3: committed"));
	assert_true(place_of(events, "try 3: committed") <
		    place_of(events, "sync 1")); /* the outer one first */
	assert_true(place_of(events, "sync 1") < place_of(events, "inside"));
	json_object_put(root);
}

static void test_labels(void **state)
{
	(void)state;
	struct json_object *root;
	fake.record = record;
	run("apply", "fix", "server", "--timeline", path, NULL);
	struct json_object *events = events_of(&root);
	assert_string_equal(text_of(find(events, "worker 42"), "name"), "thread_name");
	assert_string_equal(text_of(find(events, "usplice"), "name"), "process_name");
	assert_string_equal(text_of(find(events, "process 900000001"), "name"), "process_name");
	assert_non_null(find(events, "phases"));
	assert_non_null(find(events, "late 43"));
	assert_null(find(events, "early 43")); /* the last name counts */
	json_object_put(root);
}

static void test_every_command_with_a_mode(void **state)
{
	(void)state;
	static const char *const commands[] = {"load", "apply", "revert", "replace", "unload"};
	fake.record = record;
	for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++) {
		struct json_object *root;
		char title[32];
		unlink(path);
		assert_int_equal(run(commands[i], "fix", "server", "--timeline", path, NULL), USP_OK);
		snprintf(title, sizeof(title), "%s fix", commands[i]);
		assert_non_null(find(events_of(&root), title));
		json_object_put(root);
	}
	unlink(path);
	assert_int_equal(run("upload", "fix", "server", "--timeline", path, NULL), USP_USAGE);
	assert_int_equal(run("list", "server", "--timeline", path, NULL), USP_USAGE);
	assert_int_equal(run("apply", "fix", "server", "--timeline", "", NULL), USP_USAGE);
	assert_contains(said_err, "--timeline wants FILE");
	assert_false(exists());
}

static void test_of_a_failed_action(void **state)
{
	(void)state;
	struct json_object *root;
	fake.record = record;
	fake.processes[0].action_code = USP_NOT_QUIESCENT;
	assert_int_equal(run("apply", "fix", "server", "--timeline", path, NULL), USP_NOT_QUIESCENT);
	struct json_object *events = events_of(&root);
	assert_string_equal(argument_of(find(events, "apply fix"), "detail"), "not-quiescent");
	json_object_put(root);
}

static void test_several_processes_in_one_file(void **state)
{
	(void)state;
	struct json_object *root, *other, *processes;
	fake.n = 3;
	fake.record = record;
	fake.processes[1].action_code = USP_MISMATCH;
	fake.processes[2].open_code = USP_GONE;
	assert_int_equal(run("apply", "fix", "--process", "server", "--all", "--timeline", path, NULL),
			 USP_MISMATCH);
	struct json_object *events = events_of(&root);
	assert_non_null(find(events, "process 900000001"));
	assert_non_null(find(events, "process 900000002"));
	assert_null(find(events, "process 900000003"));
	assert_true(json_object_object_get_ex(root, "otherData", &other));
	assert_true(json_object_object_get_ex(other, "processes", &processes));
	assert_int_equal(json_object_array_length(processes), 2);
	assert_string_equal(text_of(json_object_array_get_idx(processes, 0), "result"), "done");
	assert_string_equal(text_of(json_object_array_get_idx(processes, 1), "result"), "mismatch");
	json_object_put(root);
}

static void record_too_many(struct usp_timeline *timeline)
{
	timeline_limit(timeline, 2);
	record(timeline);
}

static void test_dropped_are_told(void **state)
{
	(void)state;
	struct json_object *root, *other, *processes;
	fake.record = record_too_many;
	assert_int_equal(run("apply", "fix", "server", "--timeline", path, NULL), USP_OK);
	assert_contains(said_err, "4 events of the timeline were not kept"); /* one of them a name */
	events_of(&root);
	assert_true(json_object_object_get_ex(root, "otherData", &other));
	assert_true(json_object_object_get_ex(other, "processes", &processes));
	assert_string_equal(text_of(json_object_array_get_idx(processes, 0), "dropped"), "4");
	json_object_put(root);
}

static void test_an_old_file_is_replaced(void **state)
{
	(void)state;
	struct json_object *root;
	char text[4096];
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	write_text(text);
	fake.record = NULL;
	assert_int_equal(run("apply", "fix", "server", "--timeline", path, NULL), USP_OK);
	events_of(&root);
	json_object_put(root);
}

/* And it is kept where there was no action. */
static void test_a_file_for_nothing(void **state)
{
	(void)state;
	char text[16] = "";
	fake.processes[0].open_code = USP_PERMISSION;
	assert_int_equal(run("apply", "fix", "server", "--timeline", path, NULL), USP_PERMISSION);
	assert_false(exists());
	write_text("precious");
	assert_int_equal(run("apply", "fix", "server", "--timeline", path, NULL), USP_PERMISSION);
	FILE *f = fopen(path, "re");
	assert_non_null(f);
	assert_non_null(fgets(text, sizeof(text), f));
	fclose(f);
	assert_string_equal(text, "precious");
}

static void test_refused_before_anything_is_done(void **state)
{
	(void)state;
	char nowhere[96];
	snprintf(nowhere, sizeof(nowhere), "%s/none/out.json", directory);
	assert_int_equal(run("apply", "fix", "server", "--timeline", nowhere, NULL), USP_FAILED);
	assert_contains(said_err, nowhere);
	assert_contains(said_err, strerror(ENOENT));
	assert_string_equal(fake.calls, "");
	assert_int_equal(run("apply", "fix", "server", "--timeline", directory, NULL), USP_FAILED);
	assert_contains(said_err, strerror(EISDIR));
	assert_string_equal(fake.calls, "");
}

static void test_a_full_disk(void **state)
{
	(void)state;
	fake.record = record;
	if (access("/dev/full", W_OK) < 0)
		skip();
	assert_int_equal(run("apply", "fix", "server", "--timeline", "/dev/full", NULL), USP_FAILED);
	assert_contains(said_out, "fix applied to"); /* it was */
	assert_contains(said_err, strerror(ENOSPC));
	/* The action's own failure is the one that counts. */
	fake.processes[0].action_code = USP_VETO;
	assert_int_equal(run("apply", "fix", "server", "--timeline", "/dev/full", NULL), USP_VETO);
	assert_contains(said_err, strerror(ENOSPC));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_not_asked_for, reset, reset),
		cmocka_unit_test_setup_teardown(test_events, reset, reset),
		cmocka_unit_test_setup_teardown(test_order, reset, reset),
		cmocka_unit_test_setup_teardown(test_labels, reset, reset),
		cmocka_unit_test_setup_teardown(test_every_command_with_a_mode, reset, reset),
		cmocka_unit_test_setup_teardown(test_of_a_failed_action, reset, reset),
		cmocka_unit_test_setup_teardown(test_several_processes_in_one_file, reset, reset),
		cmocka_unit_test_setup_teardown(test_dropped_are_told, reset, reset),
		cmocka_unit_test_setup_teardown(test_an_old_file_is_replaced, reset, reset),
		cmocka_unit_test_setup_teardown(test_a_file_for_nothing, reset, reset),
		cmocka_unit_test_setup_teardown(test_refused_before_anything_is_done, reset, reset),
		cmocka_unit_test_setup_teardown(test_a_full_disk, reset, reset),
	};
	return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
