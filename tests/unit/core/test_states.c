/* SPDX-License-Identifier: MIT */
/* States of data: who may go on top of whom, and in whose place. And action_check(), which asks the same and does nothing. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/errno.h"
#include "world.h"

static const struct engine_state none[1], one[] = {{"ocsp", 1}}, two[] = {{"ocsp", 2}},
					  more[] = {{"more", 7}, {"ocsp", 2}}, other[] = {{"else", 3}};
static const struct {
	const char *name;
	const struct engine_state *states;
	size_t n;
} kinds[] = {{"none", none, 0}, {"one", one, 1}, {"two", two, 1}, {"more", more, 2}, {"other", other, 1}};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

/* Rows: what is applied; columns: what comes. A may go on top, R may take the place too; '-': neither. */
static const char *const table[KINDS] = {
	/*	   none one two more other */
	/* none  */ "RRRRR",
	/* one   */ "ARRRA",
	/* two   */ "A-RRA",
	/* more  */ "A-ARA",
	/* other */ "AAAAR",
};

static struct engine_payload *make(struct world *w, size_t kind, const char *name, unsigned mask)
{
	struct engine_payload *p = world_payload(w, name, mask, NULL);
	p->states = kinds[kind].states;
	p->n_states = kinds[kind].n;
	assert_int_equal(UPLOAD(w, p), 0);
	return p;
}

/* What action_check() says is what the action says, and it changes nothing. */
static int check_and_do(struct world *w, struct engine_payload *p, enum action_kind kind)
{
	struct action_result before = p->result;
	uint64_t generation = w->engine.generation;
	struct action_report asked;
	int said = action_check(&w->engine, p, kind, NULL, &asked);
	assert_int_equal(w->engine.generation, generation);
	assert_int_equal(w->engine.in_flight, 0);
	assert_memory_equal(&p->result, &before, sizeof(before));
	int r = kind == ACTION_REPLACE	? REPLACE(w, p)
		: kind == ACTION_REVERT ? REVERT(w, p)
		: kind == ACTION_UNLOAD ? UNLOAD(w, p)
					: APPLY(w, p);
	assert_int_equal(said, r);
	assert_int_equal(asked.reason, w->report.reason);
	assert_ptr_equal(asked.other, w->report.other);
	return r;
}

static void each_pair(void **state)
{
	(void)state;
	for (size_t below = 0; below < KINDS; below++)
		for (size_t above = 0; above < KINDS; above++)
			for (int replace = 0; replace <= 1; replace++) {
				struct world *w = world_create();
				struct engine_payload *a = make(w, below, "a", 1),
						      *b = make(w, above, "b", 1);
				assert_int_equal(APPLY(w, a), 0);
				int r = check_and_do(w, b, replace ? ACTION_REPLACE : ACTION_APPLY);
				char may = table[below][above];
				assert_int_equal(r,
						 may == 'R' || (may == 'A' && !replace) ? 0 : -CORE_EINVAL);
				if (r < 0) {
					assert_reason(w, STATE);
					assert_ptr_equal(w->report.other, a);
					assert_non_null(w->report.symbol);
					assert_string_equal(world_stack(w), "a");
				} else {
					assert_string_equal(world_stack(w), replace ? "b" : "a b");
				}
				world_destroy(w);
			}
}

/* Not only the one on top is asked; and who came off is asked no more. */
static void all_of_the_stack(void **state)
{
	(void)state;
	struct world *w = world_create();
	struct engine_payload *a = make(w, 2, "a", 1), *b = make(w, 4, "b", 2), *c = make(w, 1, "c", 4);
	struct action_options nodeps = {.nodeps = true};
	assert_int_equal(APPLY(w, a), 0);
	assert_int_equal(APPLY(w, b), 0);
	assert_int_equal(check_and_do(w, c, ACTION_APPLY), -CORE_EINVAL);
	assert_ptr_equal(w->report.other, a);
	assert_string_equal(w->report.symbol, "ocsp");
	/* An order can be known to be all right; data that is not understood cannot. */
	assert_int_equal(action_apply(&w->engine, c, &nodeps, &w->report), -CORE_EINVAL);
	assert_reason(w, STATE);
	assert_int_equal(REVERT(w, b), 0);
	assert_int_equal(REVERT(w, a), 0);
	assert_int_equal(check_and_do(w, c, ACTION_APPLY), 0);
	world_destroy(w);
}

static void the_other_checks(void **state)
{
	(void)state;
	struct world *w = world_create();
	struct engine_payload *a = make(w, 0, "a", 1), *b = make(w, 0, "b", 2);
	struct action_report report;
	assert_int_equal(check_and_do(w, a, ACTION_REVERT), -CORE_EINVAL);
	assert_reason(w, WRONG_STATE);
	assert_int_equal(check_and_do(w, a, ACTION_APPLY), 0);
	assert_int_equal(check_and_do(w, a, ACTION_UNLOAD), -CORE_EINVAL);
	assert_int_equal(check_and_do(w, b, ACTION_APPLY), 0);
	assert_int_equal(check_and_do(w, a, ACTION_REVERT), -CORE_EBUSY);
	assert_reason(w, NOT_ON_TOP);
	assert_int_equal(check_and_do(w, b, ACTION_REVERT), 0);
	assert_int_equal(check_and_do(w, b, ACTION_UNLOAD), 0);
	assert_int_equal(action_check(&w->engine, b, ACTION_APPLY, NULL, &report), -CORE_ENOENT);
	assert_int_equal(action_check(&w->engine, NULL, ACTION_APPLY, NULL, NULL), -CORE_ENOENT);
	assert_int_equal(action_check(&w->engine, a, ACTION_UPLOAD, NULL, &report), -CORE_EINVAL);
	assert_int_equal(report.reason, ACTION_MALFORMED);
	assert_int_equal(action_check(&w->engine, a, (enum action_kind)99, NULL, NULL), -CORE_EINVAL);
	world_destroy(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_pair),
		cmocka_unit_test(all_of_the_stack),
		cmocka_unit_test(the_other_checks),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
