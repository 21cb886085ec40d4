/* SPDX-License-Identifier: MIT */
/*
 * The gated switch: its order, its three syncs, and that at every death of the controller what a trap means
 * is clear and is the same at every site.
 */
#include "world.h"

static const struct action_options by_gate = {.mode = ACTION_MODE_GATE};

#define GATE(w, deed, x) action_##deed(&(w)->engine, x, &by_gate, &(w)->report)

enum deed {
	DO_APPLY,
	DO_REVERT,
	DO_REPLACE,
	DEEDS
};

/* a below b, c not applied; deed: apply c, revert b, replace by c. */
static bool late; /* where the commit comes */

static struct world *prepare(struct engine_payload **who, int deed)
{
	struct world *w = world_create();
	w->sim->commit_late = late;
	struct engine_payload *a = world_payload(w, "a", 3, NULL), *b = world_payload(w, "b", 6, NULL);
	struct engine_payload *c = world_payload(w, "c", 0x0d, NULL);
	assert_int_equal(LOAD(w, a), 0);
	assert_int_equal(LOAD(w, b), 0);
	assert_int_equal(UPLOAD(w, c), 0);
	*who = deed == DO_REVERT ? b : c;
	world_keep(w);
	w->sim->fallible = w->sim->ops_done = w->sim->syncs = 0;
	w->sim->trace[0] = 0;
	w->sim->has_intent = w->sim->committed = false;
	return w;
}

static int run(struct world *w, struct engine_payload *who, int deed)
{
	switch (deed) {
	case DO_APPLY:
		return GATE(w, apply, who);
	case DO_REVERT:
		return GATE(w, revert, who);
	default:
		return GATE(w, replace, who);
	}
}

static void is(struct world *w, int deed, bool after)
{
	static const char *const stacks[DEEDS] = {"a b c", "a", "c"};
	static const char *const before[4] = {"a", "b", "b", "original"};
	static const char *const calls[DEEDS][4] = {
		{"c", "b", "c", "c"}, {"a", "a", "original", "original"}, {"c", "original", "c", "c"}};
	assert_string_equal(world_stack(w), after ? stacks[deed] : "a b");
	for (size_t i = 0; i < 4; i++)
		assert_string_equal(world_call(w, i), after ? calls[deed][i] : before[i]);
}

static void in_order_with_three_syncs(void **state)
{
	(void)state;
	for (int deed = 0; deed < DEEDS; deed++) {
		struct engine_payload *who;
		struct world *w = prepare(&who, deed);
		assert_int_equal(run(w, who, deed), 0);
		is(w, deed, true);
		assert_string_equal(w->sim->trace, "( | ~ ) ");
		assert_int_equal(w->report.syncs, 3);
		assert_int_equal(w->sim->syncs, 3);
		assert_int_equal(w->report.tries, 1);
		assert_int_equal(w->report.mode, ACTION_MODE_GATE);
		assert_int_equal(w->sim->stops, 2); /* of the loads */
		world_destroy(w);
	}
}

static void somebody_inside(void **state)
{
	(void)state;
	struct engine_payload *who;
	struct world *w = prepare(&who, DO_APPLY);
	w->sim->core = world_function(0) + 9;
	w->sim->core_looks = 3;
	assert_int_equal(GATE(w, apply, who), 0);
	assert_string_equal(w->sim->trace, "( ~ ~ ~ | ~ ) "); /* pages and threads are made ready once */
	assert_int_equal(w->report.tries, 4);
	assert_int_equal(w->sim->syncs, 3 * 2 + 3);
	assert_int_equal(w->sim->pauses, 3);
	is(w, DO_APPLY, true);
	world_destroy(w);

	w = prepare(&who, DO_REPLACE);
	w->sim->core = w->things[1].p.text.start + 1;
	w->sim->core_looks = 1u << 30;
	assert_int_equal(GATE(w, replace, who), -CORE_EBUSY);
	assert_reason(w, NOT_QUIESCENT);
	assert_int_equal(w->sim->opens, w->sim->closes);
	assert_int_equal(w->sim->drains, w->sim->let_goes);
	assert_true(w->report.tries > 10);
	is(w, DO_REPLACE, false);
	w->sim->core_looks = 0;
	assert_int_equal(GATE(w, replace, who), 0);
	is(w, DO_REPLACE, true);
	world_destroy(w);
}

/* Somebody who sleeps inside: no trap is written for nothing. */
static void not_ready(void **state)
{
	(void)state;
	struct engine_payload *who;
	struct world *w = prepare(&who, DO_APPLY);
	unsigned writes = w->sim->writes;
	w->sim->not_ready = 1u << 30;
	assert_int_equal(GATE(w, apply, who), -CORE_EBUSY);
	assert_reason(w, NOT_QUIESCENT);
	assert_int_equal(w->sim->writes, writes);
	assert_string_equal(w->sim->trace, "( ) ");
	w->sim->not_ready = 2;
	assert_int_equal(GATE(w, apply, who), 0);
	assert_int_equal(w->report.tries, 3);
	is(w, DO_APPLY, true);
	world_destroy(w);
}

/* Old functions may still be run, so only the insides of the sites are asked about. */
static void consistency_none(void **state)
{
	(void)state;
	struct engine_payload *who;
	struct world *w = prepare(&who, DO_APPLY);
	struct action_options o = by_gate;
	o.consistency = ACTION_CONSISTENCY_NONE;
	w->sim->core = world_function(0) + 9;
	w->sim->core_looks = 1u << 30;
	assert_int_equal(action_apply(&w->engine, who, &o, &w->report), 0);
	assert_int_equal(w->sim->n_ranges, who->n_sites);
	is(w, DO_APPLY, true);
	world_destroy(w);
}

static void rendezvous_instead(void **state)
{
	(void)state;
	struct engine_payload *who;
	struct world *w = prepare(&who, DO_APPLY);
	w->sim->open_error = -CORE_ENOTSUP;
	assert_int_equal(GATE(w, apply, who), 0);
	assert_string_equal(w->sim->trace, "[ ] ");
	assert_int_equal(w->report.mode, ACTION_MODE_RENDEZVOUS);
	assert_int_equal(w->sim->intent.mode, ACTION_MODE_RENDEZVOUS);
	world_destroy(w);

	static const int kinds[] = {HOOK_LOAD, HOOK_UNLOAD, HOOK_APPLY, HOOK_REVERT};
	for (size_t i = 0; i < 4; i++) {
		w = prepare(&who, DO_APPLY);
		who->hooks[kinds[i]] = 1;
		w->sim->hook_does[HOOK_APPLY] = SIM_HOOK_SWITCHES_ALL;
		assert_int_equal(GATE(w, apply, who), 0);
		assert_int_equal(w->report.mode, ACTION_MODE_RENDEZVOUS);
		assert_int_equal(w->sim->opens, 0);
		is(w, DO_APPLY, true);
		world_destroy(w);
	}
	/* Also of one that comes off. */
	w = prepare(&who, DO_REPLACE);
	w->things[0].p.hooks[HOOK_UNLOAD] = 1;
	assert_int_equal(GATE(w, replace, who), 0);
	assert_int_equal(w->report.mode, ACTION_MODE_RENDEZVOUS);
	world_destroy(w);
	/* Pre- and post-hooks run with everybody running: they need none. */
	w = prepare(&who, DO_APPLY);
	who->hooks[HOOK_PRE_APPLY] = who->hooks[HOOK_POST_APPLY] = 1;
	assert_int_equal(GATE(w, apply, who), 0);
	assert_string_equal(w->sim->trace, "c:pre-apply#0 ( | ~ ) c:post-apply#0 ");
	world_destroy(w);

	w = prepare(&who, DO_APPLY);
	w->sim->open_error = -CORE_EPERM;
	assert_int_equal(GATE(w, apply, who), -CORE_EPERM);
	assert_reason(w, HOST);
	assert_int_equal(w->sim->writes, 3 + 3 - 1 - 1); /* of the loads alone */
	is(w, DO_APPLY, false);
	world_destroy(w);

	w = prepare(&who, DO_APPLY);
	w->sim->ops.gate_open = NULL;
	assert_int_equal(GATE(w, apply, who), -CORE_ENOTSUP);
	assert_reason(w, BAD_OPTION);
	world_destroy(w);
}

static void unload(void **state)
{
	(void)state;
	struct engine_payload *who;
	struct world *w = prepare(&who, DO_APPLY);
	assert_int_equal(GATE(w, apply, who), 0);
	assert_int_equal(GATE(w, revert, who), 0);
	w->sim->trace[0] = 0;
	w->sim->core = who->text.start;
	w->sim->core_looks = 2;
	unsigned syncs = w->sim->syncs;
	assert_int_equal(GATE(w, unload, who), 0);
	assert_string_equal(w->sim->trace, "( ~ ~ | ~ ) ");
	assert_int_equal(w->sim->n_ranges, 1);
	assert_int_equal(w->sim->syncs, syncs);
	world_destroy(w);
}

/* A trap byte that the code itself begins with could not be told from the gate's. */
static void a_trap_that_is_there_already(void **state)
{
	(void)state;
	struct world *w = world_create();
	struct engine_payload *a = world_payload(w, "a", 1, NULL);
	*sim_at(w->sim, world_function(0)) = a->sites[0].expected[0] = arch_x86_64.traps[0].bytes[0];
	assert_int_equal(UPLOAD(w, a), 0);
	assert_int_equal(GATE(w, apply, a), -CORE_EINVAL);
	assert_reason(w, WRITE);
	assert_int_equal(w->sim->writes, 0);
	w->sim->trap = 1;
	assert_int_equal(GATE(w, apply, a), 0);
	world_destroy(w);
}

/*
 * Whatever fails: all old and undone, or all new, or said to be unfinished with one meaning for every trap,
 * and recovery ends it.
 */
static void every_operation_fails_in_turn(void **state)
{
	(void)state;
	for (int deed = 0; deed < DEEDS; deed++)
		for (int how = SIM_NOT_DONE; how <= SIM_HALF_DONE; how++) {
			size_t before = 0, after = 0, unfinished = 0;
			for (unsigned k = 1;; k++) {
				struct engine_payload *who;
				struct world *w = prepare(&who, deed);
				w->sim->fail_at = k;
				w->sim->how = (enum sim_fault)how;
				int r = run(w, who, deed);
				w->sim->fail_at = 0;
				bool faulted = w->sim->faulted;
				assert_int_equal(w->report.error, r);
				if (r < 0) {
					assert_true(faulted);
					assert_int_equal(w->report.text, ACTION_TEXT_SAME);
					assert_false(w->sim->committed);
					is(w, deed, false);
					before++;
					assert_int_equal(run(w, who, deed), 0); /* the next one works */
				} else if (w->report.text == ACTION_TEXT_MIXED) {
					unfinished++;
					assert_true(w->sim->committed);
					assert_true(w->report.after_error < 0);
					assert_int_equal(GATE(w, unload, who), -CORE_EUCLEAN);
					assert_int_equal(action_recover(&w->engine, &w->sim->intent, true,
									NULL, &w->report),
							 0);
				} else {
					assert_int_equal(w->report.text, ACTION_TEXT_NEW);
					assert_int_equal(w->report.after_error != 0, faulted);
					after += faulted;
				}
				is(w, deed, true);
				while (w->engine.top)
					assert_int_equal(GATE(w, revert, w->engine.top), 0);
				assert_true(sim_pristine(w->sim));
				world_destroy(w);
				if (!faulted)
					break;
			}
			assert_true(before > 10);
			assert_true(unfinished > 0);
			assert_int_equal(after, 3); /* let_go, gate_close, settled */
		}
}

/* What calling function i does when the controller is dead: as world_call(), a trap as the net would take it.
 */
static const char *call_after_death(struct world *w, size_t i, int deed)
{
	static const char *const before[4] = {"a", "b", "b", "original"};
	static const char *const after[DEEDS][4] = {
		{"c", "b", "c", "c"}, {"a", "a", "original", "original"}, {"c", "original", "c", "c"}};
	if (*sim_at(w->sim, world_function(i)) == arch_x86_64.traps[0].bytes[0])
		return w->sim->committed ? after[deed][i] : before[i];
	return world_call(w, i);
}

static void death_at_every_operation(void **state)
{
	(void)state;
	static size_t deaths, trapped;
	deaths = trapped = 0;
	for (volatile int deed = 0; deed < DEEDS; deed++) {
		for (volatile unsigned k = 1;; k++) {
			struct engine_payload *who;
			struct world *volatile w = prepare(&who, deed);
			w->sim->die_at = k;
			if (setjmp(w->sim->death) == 0) {
				assert_int_equal(run(w, who, deed), 0);
				world_destroy(w);
				break;
			}
			deaths++;
			w->sim->die_at = 0;
			bool committed = w->sim->has_intent && w->sim->committed;
			bool all_old = true, all_new = true;
			for (size_t i = 0; i < 4; i++) {
				static const char *const before[4] = {"a", "b", "b", "original"};
				static const char *const after[DEEDS][4] = {
					{"c", "b", "c", "c"},
					{"a", "a", "original", "original"},
					{"c", "original", "c", "c"}};
				const char *now = call_after_death(w, i, deed);
				trapped += *sim_at(w->sim, world_function(i)) == 0xcc;
				all_old &= strcmp(now, before[i]) == 0;
				all_new &= strcmp(now, after[deed][i]) == 0;
			}
			assert_true(all_old || all_new); /* never a mixture, whatever is met */
			/* The tails of the undecided are the old ones: first bytes are all that an undo
			 * writes. */
			if (w->sim->has_intent && !committed && !late)
				for (size_t i = 0; i < w->sim->intent.n_sites; i++) {
					const struct poke_site *site = &w->sim->journal[i];
					assert_memory_equal(sim_at(w->sim, site->address) + 1,
							    site->old_bytes + 1, site->length - 1u);
				}
			bool had_intent = w->sim->has_intent;
			world_next_controller(w);
			if (had_intent) {
				struct action_intent intent = w->sim->intent;
				struct engine_payload *p = engine_find(&w->engine, intent.payload->name);
				assert_non_null(p);
				intent.payload = p;
				assert_int_equal(
					action_recover(&w->engine, &intent, committed, NULL, &w->report), 0);
				is(w, deed, committed);
			}
			while (w->engine.top)
				assert_int_equal(GATE(w, revert, w->engine.top), 0);
			assert_true(sim_pristine(w->sim));
			world_destroy(w);
		}
	}
	assert_true(deaths > 60);
	assert_true(trapped > 60);
}

static int commit_late(void **state)
{
	(void)state;
	late = true;
	return 0;
}

static int commit_early(void **state)
{
	(void)state;
	late = false;
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(in_order_with_three_syncs),
		cmocka_unit_test(somebody_inside),
		cmocka_unit_test(not_ready),
		cmocka_unit_test(consistency_none),
		cmocka_unit_test(rendezvous_instead),
		cmocka_unit_test(unload),
		cmocka_unit_test(a_trap_that_is_there_already),
		cmocka_unit_test(every_operation_fails_in_turn),
		cmocka_unit_test(death_at_every_operation),
		cmocka_unit_test_setup_teardown(in_order_with_three_syncs, commit_late, commit_early),
		cmocka_unit_test_setup_teardown(every_operation_fails_in_turn, commit_late, commit_early),
		cmocka_unit_test_setup_teardown(death_at_every_operation, commit_late, commit_early),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
