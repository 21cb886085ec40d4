// SPDX-License-Identifier: MIT
/* The timeline in memory: what is kept, what is dropped, and that nothing happens without one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "process/timeline.h"

static int create(void **state)
{
	struct usp_timeline *timeline;
	assert_null(usp_timeline_create(&timeline));
	*state = timeline;
	return 0;
}

static int destroy(void **state)
{
	usp_timeline_destroy(*state);
	return 0;
}

static void test_none(void **state)
{
	(void)state;
	assert_int_equal(timeline_now(NULL), 0); /* not even the clock is read */
	timeline_span(NULL, 1, 0, "span", "detail", 2);
	timeline_moment(NULL, 1, "moment", NULL, 0);
	timeline_thread(NULL, 1, "name");
	timeline_blocker(NULL, 1, "name", "why");
	usp_timeline_destroy(NULL);
}

static void test_empty(void **state)
{
	size_t n = 1, threads = 1;
	usp_timeline_events(*state, &n);
	usp_timeline_threads(*state, &threads);
	assert_int_equal(n, 0);
	assert_int_equal(threads, 0);
	assert_int_equal(usp_timeline_dropped(*state), 0);
}

static void test_kept_as_told(void **state)
{
	char detail[] = "value";
	size_t n;
	uint64_t began_ns = timeline_now(*state);
	assert_int_not_equal(began_ns, 0);
	timeline_span(*state, 42, began_ns, "held", detail, 7);
	strcpy(detail, "other"); /* it has a copy */
	timeline_moment(*state, 0, "late", NULL, 0);
	timeline_put(*state, 0, 5, 3, false, "backwards", NULL, 0);
	const struct usp_timeline_event *events = usp_timeline_events(*state, &n);
	assert_int_equal(n, 3);
	assert_string_equal(events[0].name, "held");
	assert_string_equal(events[0].detail, "value");
	assert_int_equal(events[0].tid, 42);
	assert_int_equal(events[0].number, 7);
	assert_false(events[0].moment);
	assert_int_equal(events[0].begin_ns, began_ns);
	assert_true(events[0].end_ns >= began_ns);
	assert_true(events[1].moment);
	assert_null(events[1].detail);
	assert_true(events[1].begin_ns >= events[0].end_ns);
	assert_int_equal(events[1].end_ns, events[1].begin_ns);
	assert_int_equal(events[2].end_ns, 5); /* never shorter than nothing */
}

static void test_grows(void **state)
{
	size_t n, threads;
	for (int i = 0; i < 5000; i++) {
		char text[16];
		snprintf(text, sizeof(text), "%d", i);
		timeline_put(*state, i, (uint64_t)i, (uint64_t)i, false, "many", text, (uint64_t)i);
		timeline_thread(*state, i, text);
	}
	const struct usp_timeline_event *events = usp_timeline_events(*state, &n);
	const struct usp_timeline_thread *names = usp_timeline_threads(*state, &threads);
	assert_int_equal(n, 5000);
	assert_int_equal(threads, 5000);
	for (int i = 0; i < 5000; i++) {
		assert_int_equal(events[i].number, i);
		assert_int_equal(strtol(events[i].detail, NULL, 10), i);
		assert_int_equal(names[i].tid, i);
		assert_int_equal(strtol(names[i].name, NULL, 10), i);
	}
	assert_int_equal(usp_timeline_dropped(*state), 0);
}

static void test_no_room(void **state)
{
	size_t n;
	timeline_limit(*state, 2);
	for (int i = 0; i < 5; i++)
		timeline_moment(*state, i, "moment", "detail", 0);
	const struct usp_timeline_event *events = usp_timeline_events(*state, &n);
	assert_int_equal(n, 2);
	assert_int_equal(events[1].tid, 1);
	assert_int_equal(usp_timeline_dropped(*state), 3);
	for (int i = 0; i < 3; i++)
		timeline_thread(*state, i, "name");
	assert_int_equal(usp_timeline_dropped(*state), 4);
}

static void test_long_name(void **state)
{
	size_t n;
	timeline_thread(*state, 1, "a name that is longer than the kernel's");
	const struct usp_timeline_thread *threads = usp_timeline_threads(*state, &n);
	assert_string_equal(threads[0].name, "a name that is ");
}

static void test_blocker_on_both_tracks(void **state)
{
	size_t n;
	timeline_blocker(*state, 42, "worker", "#0 value");
	const struct usp_timeline_event *events = usp_timeline_events(*state, &n);
	assert_int_equal(n, 2);
	assert_int_equal(events[0].tid, 42);
	assert_string_equal(events[0].name, "inside");
	assert_string_equal(events[0].detail, "#0 value");
	assert_int_equal(events[1].tid, 0);
	assert_string_equal(events[1].name, "blocked by");
	assert_string_equal(events[1].detail, "worker");
	assert_int_equal(events[1].number, 42);
	assert_int_equal(events[0].begin_ns, events[1].begin_ns);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_none),
		cmocka_unit_test_setup_teardown(test_empty, create, destroy),
		cmocka_unit_test_setup_teardown(test_kept_as_told, create, destroy),
		cmocka_unit_test_setup_teardown(test_grows, create, destroy),
		cmocka_unit_test_setup_teardown(test_no_room, create, destroy),
		cmocka_unit_test_setup_teardown(test_long_name, create, destroy),
		cmocka_unit_test_setup_teardown(test_blocker_on_both_tracks, create, destroy),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
