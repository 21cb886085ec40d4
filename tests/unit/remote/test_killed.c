/* SPDX-License-Identifier: MIT */
/*
 * The controller killed at every system call it makes, at the entry and at the exit, on a fresh victim each
 * time: the victim lives and notices nothing, nothing stays traced or stopped, and the next controller works.
 * The one thing that cannot be helped: epoll_wait fails with EINTR when a controller is killed between the
 * interrupt and its first look at the thread. (What restarts or is resumed by itself, like nanosleep, never
 * does.) Argument: the kind of thread that is borrowed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fixture.h"

#define ENDED 3 /* killat: the command ended before */

static int kind;

static void next_one_works(struct victim *victim)
{
	char text[4096];
	int status = run(controller(victim, kind, NULL), text, sizeof(text));
	if (status)
		fail_msg("the next controller: %d: %s", status, text);
	victim_free_of_tracers(victim);
	victim_no_descriptor(victim);
	assert_int_equal(victim_area_mappings(victim), 2);
	assert_true(victim_hole_is_zero(victim));
	victim_comes_round(victim);
}

/* Whether there was a call n. */
static bool killed_at(unsigned n, bool at_exit, struct victim *victim)
{
	char text[4096];
	int status = run(killed_controller(victim, kind, n, at_exit, NULL), text, sizeof(text));
	if (status != 0 && (status != ENDED || !strstr(text, "exit status 0")))
		fail_msg("killat %u: %d: %s", n, status, text);
	victim_free_of_tracers(victim);
	victim_comes_round(victim);
	return status == 0;
}

static void on_fresh_victims(bool at_exit)
{
	unsigned n = 1;
	for (bool more = true; more; n++) {
		struct victim victim;
		victim_start(&victim, "stops", NULL);
		print_message("# %s, call %u, %s\n", kind_names[kind], n, at_exit ? "exit" : "entry");
		more = killed_at(n, at_exit, &victim);
		next_one_works(&victim);
		victim_end(&victim);
	}
	assert_true(n > 50);
}

static void test_at_entry(void **state)
{
	(void)state;
	on_fresh_victims(false);
}

static void test_at_exit(void **state)
{
	(void)state;
	on_fresh_victims(true);
}

/*
 * One victim through all of it, so that what the killed ones leave piles up. (Not with functions that fault
 * or never return: with nobody there to abandon them, they do to the process what they would do if it had
 * called them itself.)
 */
static void test_again_and_again(void **state)
{
	(void)state;
	struct victim victim;
	victim_start(&victim, "stops", NULL);
	unsigned n = 1;
	for (bool more = true; more; n++)
		more = killed_at(n, n % 2, &victim);
	assert_true(n > 50);
	next_one_works(&victim);
	victim_end(&victim);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_at_entry),
		cmocka_unit_test(test_at_exit),
		cmocka_unit_test(test_again_and_again),
	};
	for (kind = 0; kind < KINDS; kind++)
		if (argc > 1 && !strcmp(argv[1], kind_names[kind]))
			return cmocka_run_group_tests(tests, NULL, NULL);
	fprintf(stderr, "usage: test-remote-killed KIND\n");
	return 2;
}
