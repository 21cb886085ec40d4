/* SPDX-License-Identifier: MIT */
/* Hooks: which run, when, how often, and what is done when one says no, fails, or leaves a mixture. */
#include "world.h"

static struct engine_payload *with_hooks(struct engine_payload *p)
{
	for (int kind = 0; kind < HOOK_KINDS; kind++)
		p->hooks[kind] = kind == HOOK_APPLY || kind == HOOK_REVERT ? 0 : 1;
	return p;
}

static void trace_is(struct world *w, const char *expected)
{
	assert_string_equal(w->sim->trace, expected);
	w->sim->trace[0] = 0;
}

static void order_of_an_apply_and_a_revert(void **state)
{
	(void)state;
	struct world *w = world_create();
	struct engine_payload *a = with_hooks(world_payload(w, "a", 1, NULL));
	a->hooks[HOOK_LOAD] = 3;
	a->hooks[HOOK_UNLOAD] = 2;
	assert_int_equal(LOAD(w, a), 0);
	trace_is(w, "a:pre-apply#0 [ a:load#0 a:load#1 a:load#2 ] a:post-apply#0 ");
	assert_int_equal(REVERT(w, a), 0);
	trace_is(w, "a:pre-revert#0 [ a:unload#0 a:unload#1 ] a:post-revert#0 ");
	world_destroy(w);
}

static uint8_t byte_at_load;
static int (*real_hook)(void *host, const struct engine_payload *payload, enum hook_kind kind, size_t index,
			int *result);

static int looking_hook(void *host, const struct engine_payload *payload, enum hook_kind kind, size_t index,
			int *result)
{
	if (kind == HOOK_LOAD || kind == HOOK_UNLOAD)
		byte_at_load = *sim_at(host, world_function(0));
	return real_hook(host, payload, kind, index, result);
}

static void load_before_patching_unload_after_restoring(void **state)
{
	(void)state;
	struct world *w = world_create();
	struct engine_payload *a = with_hooks(world_payload(w, "a", 1, NULL));
	real_hook = w->sim->ops.hook;
	w->sim->ops.hook = looking_hook;
	byte_at_load = 0x5a;
	assert_int_equal(LOAD(w, a), 0);
	assert_int_equal(byte_at_load, w->sim->pristine[0]);
	byte_at_load = 0x5a;
	assert_int_equal(REVERT(w, a), 0);
	assert_int_equal(byte_at_load, w->sim->pristine[0]);
	world_destroy(w);
}

static void a_veto_and_nothing_else_ran(void **state)
{
	(void)state;
	struct world *w = world_create();
	struct engine_payload *a = with_hooks(world_payload(w, "a", 1, NULL));
	assert_int_equal(UPLOAD(w, a), 0);
	w->sim->hook_result[HOOK_PRE_APPLY] = 7;
	assert_int_equal(APPLY(w, a), -CORE_ECANCELED);
	assert_reason(w, VETO);
	assert_int_equal(w->report.hook, HOOK_PRE_APPLY);
	assert_int_equal(w->report.hook_result, 7);
	trace_is(w, "a:pre-apply#0 ");
	assert_int_equal(a->state, PAYLOAD_STATE_CHECKED);
	assert_int_equal(a->result.error, -CORE_ECANCELED);
	assert_int_equal(w->sim->stops + w->sim->writes + w->sim->intents, 0);
	w->sim->hook_result[HOOK_PRE_APPLY] = 0;
	assert_int_equal(APPLY(w, a), 0);

	/* The first pre-revert says no, the second yes: called once and twice. */
	w->sim->trace[0] = 0;
	w->sim->hook_result[HOOK_PRE_REVERT] = -1;
	assert_int_equal(REVERT(w, a), -CORE_ECANCELED);
	assert_reason(w, VETO);
	trace_is(w, "a:pre-revert#0 ");
	assert_string_equal(world_stack(w), "a");
	assert_string_equal(V(w), "a");
	w->sim->hook_result[HOOK_PRE_REVERT] = 0;
	assert_int_equal(REVERT(w, a), 0);
	trace_is(w, "a:pre-revert#0 [ a:unload#0 ] a:post-revert#0 ");
	assert_true(sim_pristine(w->sim));

	/* One that cannot be run is no yes. */
	w->sim->hook_does[HOOK_PRE_APPLY] = SIM_HOOK_CANNOT_RUN;
	assert_int_equal(APPLY(w, a), -CORE_EIO);
	assert_reason(w, HOOK_FAILED);
	trace_is(w, "a:pre-apply#0 ");
	world_destroy(w);
}

static void post_hooks_run_after_failures_too(void **state)
{
	(void)state;
	struct world *w = world_create();
	struct engine_payload *a = with_hooks(world_payload(w, "a", 1, NULL));
	struct action_options once = {.overall_ns = ACTION_OVERALL_MIN_NS};
	assert_int_equal(UPLOAD(w, a), 0);
	w->sim->never_stop = 1;
	assert_int_equal(action_apply(&w->engine, a, &once, &w->report), -CORE_EBUSY);
	trace_is(w, "a:pre-apply#0 a:post-apply#0 ");
	w->sim->core = world_function(0) + 9;
	w->sim->core_looks = 1;
	assert_int_equal(action_apply(&w->engine, a, &once, &w->report), -CORE_EBUSY);
	trace_is(w, "a:pre-apply#0 [ ] a:post-apply#0 ");

	/* Every operation after the pre-hook fails in turn: post-apply runs once, and unload hooks end what
	 * load hooks began. */
	unsigned failures = 0;
	for (unsigned k = 1;; k++) {
		w->sim->fallible = 0;
		w->sim->faulted = false;
		w->sim->fail_at = k;
		w->sim->trace[0] = 0;
		int r = APPLY(w, a);
		w->sim->fail_at = 0;
		if (!w->sim->faulted)
			break;
		if (strstr(w->sim->trace, "pre-apply") && w->report.reason != ACTION_HOOK_FAILED) {
			char *post = strstr(w->sim->trace, "post-apply");
			assert_non_null(post);
			assert_null(strstr(post + 1, "post-apply"));
			failures++;
		}
		if (r < 0) {
			assert_true(sim_pristine(w->sim));
			assert_string_equal(world_stack(w), "");
			bool loaded = strstr(w->sim->trace, " a:load") && w->report.hook != HOOK_LOAD;
			loaded = loaded ||
				 (strstr(w->sim->trace, " a:load") && w->report.reason != ACTION_HOOK_FAILED);
			assert_int_equal(strstr(w->sim->trace, "unload") != NULL, loaded);
		} else {
			assert_int_equal(REVERT(w, a), 0);
		}
	}
	assert_true(failures > 6);
	world_destroy(w);
}

static void hooks_only_payloads_are_legal(void **state)
{
	(void)state;
	struct world *w = world_create();
	struct engine_payload *a = with_hooks(world_payload(w, "a", 0, NULL));
	a->hooks[HOOK_APPLY] = a->hooks[HOOK_REVERT] = 1;
	assert_int_equal(LOAD(w, a), 0);
	trace_is(w, "a:pre-apply#0 [ a:load#0 a:apply#0 ] a:post-apply#0 ");
	assert_string_equal(world_stack(w), "a");
	assert_int_equal(w->sim->commits, 1);
	assert_int_equal(REVERT(w, a), 0);
	trace_is(w, "a:pre-revert#0 [ a:revert#0 a:unload#0 ] a:post-revert#0 ");
	assert_int_equal(w->sim->writes, 0);
	assert_int_equal(UNLOAD(w, a), 0);
	assert_int_equal(w->sim->n_ranges, 1); /* its hooks ran, so its text is looked at */
	world_destroy(w);
}

static void an_apply_hook_switches_all(void **state)
{
	(void)state;
	struct world *w = world_create();
	struct engine_payload *a = world_payload(w, "a", 7, NULL);
	a->hooks[HOOK_APPLY] = a->hooks[HOOK_REVERT] = 1;
	w->sim->hook_does[HOOK_APPLY] = w->sim->hook_does[HOOK_REVERT] = SIM_HOOK_SWITCHES_ALL;
	assert_int_equal(LOAD(w, a), 0);
	trace_is(w, "[ a:apply#0 ] ");
	assert_true(a->switched);
	assert_string_equal(world_call(w, 2), "a");
	assert_int_equal(REVERT(w, a), 0);
	trace_is(w, "[ a:revert#0 ] ");
	assert_true(sim_pristine(w->sim));
	world_destroy(w);
}

static void an_apply_hook_switches_none(void **state)
{
	(void)state;
	struct world *w = world_create();
	struct engine_payload *a = world_payload(w, "a", 7, NULL), *b = world_payload(w, "b", 1, a);
	a->hooks[HOOK_APPLY] = 1;
	assert_int_equal(LOAD(w, a), 0);
	assert_string_equal(world_stack(w), "a");
	assert_false(a->switched);
	assert_true(sim_pristine(w->sim));
	assert_int_equal(w->sim->intent.n_sites, 0); /* the journal knows */
	/* Whoever comes on top finds the original. */
	assert_int_equal(LOAD(w, b), 0);
	assert_string_equal(V(w), "b");
	assert_int_equal(REVERT(w, b), 0);
	assert_int_equal(REVERT(w, a), 0);
	assert_true(sim_pristine(w->sim));
	assert_string_equal(world_stack(w), "");
	world_destroy(w);
}

static void a_mixture_is_undone(void **state)
{
	(void)state;
	static const struct {
		enum sim_hook does;
		int result;
		enum action_reason reason;
	} cases[] = {
		{SIM_HOOK_SWITCHES_SOME, 0, ACTION_HOOK_LEFT_MIXED},
		{SIM_HOOK_WRITES_JUNK, 0, ACTION_HOOK_LEFT_MIXED},
		{SIM_HOOK_SWITCHES_ALL, 3, ACTION_HOOK_FAILED},
		{SIM_HOOK_SWITCHES_SOME, 3, ACTION_HOOK_FAILED},
		{SIM_HOOK_PLAIN, 3, ACTION_HOOK_FAILED},
		{SIM_HOOK_CANNOT_RUN, 0, ACTION_HOOK_FAILED},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct world *w = world_create();
		struct engine_payload *a = with_hooks(world_payload(w, "a", 7, NULL));
		a->hooks[HOOK_APPLY] = a->hooks[HOOK_REVERT] = 1;
		w->sim->hook_does[HOOK_APPLY] = cases[i].does;
		w->sim->hook_result[HOOK_APPLY] = cases[i].result;
		assert_int_equal(UPLOAD(w, a), 0);
		assert_true(APPLY(w, a) < 0);
		assert_int_equal(w->report.reason, cases[i].reason);
		assert_int_equal(w->report.hook, HOOK_APPLY);
		assert_int_equal(w->report.text, ACTION_TEXT_SAME);
		trace_is(w, "a:pre-apply#0 [ a:load#0 a:apply#0 a:unload#0 ] a:post-apply#0 ");
		assert_true(sim_pristine(w->sim));
		assert_string_equal(world_stack(w), "");

		w->sim->hook_does[HOOK_APPLY] = SIM_HOOK_SWITCHES_ALL;
		w->sim->hook_result[HOOK_APPLY] = 0;
		assert_int_equal(APPLY(w, a), 0);
		w->sim->trace[0] = 0;
		w->sim->hook_does[HOOK_REVERT] = cases[i].does;
		w->sim->hook_result[HOOK_REVERT] = cases[i].result;
		assert_true(REVERT(w, a) < 0);
		assert_int_equal(w->report.reason, cases[i].reason);
		trace_is(w, "a:pre-revert#0 [ a:revert#0 ] a:post-revert#0 ");
		assert_string_equal(world_stack(w), "a");
		for (size_t f = 0; f < 3; f++)
			assert_string_equal(world_call(w, f), "a");

		/* One that leaves all to the engine: the bytes are put back. */
		w->sim->hook_does[HOOK_REVERT] = SIM_HOOK_PLAIN;
		w->sim->hook_result[HOOK_REVERT] = 0;
		assert_int_equal(REVERT(w, a), 0);
		assert_true(sim_pristine(w->sim));
		world_destroy(w);
	}
}

static void replace_runs_all_in_order(void **state)
{
	(void)state;
	struct world *w = world_create();
	struct engine_payload *a = with_hooks(world_payload(w, "a", 3, NULL));
	struct engine_payload *b = with_hooks(world_payload(w, "b", 6, NULL));
	struct engine_payload *c = with_hooks(world_payload(w, "c", 0x0d, NULL));
	for (size_t i = 0; i < 3; i++)
		w->things[i].p.hooks[HOOK_APPLY] = w->things[i].p.hooks[HOOK_REVERT] = 1;
	w->sim->hook_does[HOOK_APPLY] = SIM_HOOK_SWITCHES_ALL;
	assert_int_equal(LOAD(w, a), 0);
	assert_int_equal(LOAD(w, b), 0);
	assert_int_equal(UPLOAD(w, c), 0);
	for (int does = SIM_HOOK_PLAIN; does <= SIM_HOOK_SWITCHES_ALL; does++) {
		w->sim->trace[0] = 0;
		w->sim->hook_does[HOOK_APPLY] = (enum sim_hook)does;
		assert_int_equal(REPLACE(w, c), 0);
		trace_is(w, "b:pre-revert#0 a:pre-revert#0 c:pre-apply#0 [ c:load#0 b:revert#0 a:revert#0 "
			    "c:apply#0 "
			    "b:unload#0 a:unload#0 ] b:post-revert#0 a:post-revert#0 c:post-apply#0 ");
		assert_string_equal(world_stack(w), "c");
		assert_int_equal(c->switched, does == SIM_HOOK_SWITCHES_ALL);
		if (does == SIM_HOOK_PLAIN)
			assert_true(sim_pristine(w->sim)); /* a and b are off, c has switched nothing */
		else
			assert_string_equal(world_call(w, 3), "c");
		assert_string_equal(world_call(w, 1), "original");
		w->sim->hook_does[HOOK_APPLY] = SIM_HOOK_SWITCHES_ALL;
		assert_int_equal(REVERT(w, c), 0);
		assert_true(sim_pristine(w->sim));
		assert_int_equal(APPLY(w, a), 0);
		assert_int_equal(APPLY(w, b), 0);
	}
	world_destroy(w);
}

static void a_replace_that_fails_keeps_all(void **state)
{
	(void)state;
	struct world *w = world_create();
	struct engine_payload *a = with_hooks(world_payload(w, "a", 3, NULL));
	struct engine_payload *b = with_hooks(world_payload(w, "b", 6, NULL));
	struct engine_payload *c = with_hooks(world_payload(w, "c", 0x0d, NULL));
	assert_int_equal(LOAD(w, a), 0);
	assert_int_equal(LOAD(w, b), 0);
	assert_int_equal(UPLOAD(w, c), 0);

	/* The lower one says no: the upper one's pre-hook is ended by its post-hook, nobody else's runs. */
	w->sim->trace[0] = 0;
	w->sim->hook_only = a;
	w->sim->hook_result[HOOK_PRE_REVERT] = 1;
	assert_int_equal(REPLACE(w, c), -CORE_ECANCELED);
	assert_reason(w, VETO);
	assert_ptr_equal(w->report.payload, a);
	trace_is(w, "b:pre-revert#0 a:pre-revert#0 b:post-revert#0 ");
	w->sim->hook_result[HOOK_PRE_REVERT] = 0;
	/* The new one says no. */
	w->sim->hook_only = c;
	w->sim->hook_result[HOOK_PRE_APPLY] = 1;
	assert_int_equal(REPLACE(w, c), -CORE_ECANCELED);
	assert_ptr_equal(w->report.payload, c);
	trace_is(w, "b:pre-revert#0 a:pre-revert#0 c:pre-apply#0 b:post-revert#0 a:post-revert#0 ");
	w->sim->hook_result[HOOK_PRE_APPLY] = 0;
	/* One revert fails. */
	a->hooks[HOOK_REVERT] = 1;
	w->sim->hook_only = a;
	w->sim->hook_result[HOOK_REVERT] = 1;
	assert_int_equal(REPLACE(w, c), -CORE_ECANCELED);
	assert_reason(w, HOOK_FAILED);
	assert_ptr_equal(w->report.payload, a);
	trace_is(w, "b:pre-revert#0 a:pre-revert#0 c:pre-apply#0 [ c:load#0 a:revert#0 c:unload#0 ] "
		    "b:post-revert#0 a:post-revert#0 c:post-apply#0 ");
	assert_string_equal(world_stack(w), "a b");
	assert_string_equal(V(w), "a");
	assert_string_equal(world_call(w, 1), "b");
	assert_string_equal(world_call(w, 2), "b");
	assert_string_equal(world_call(w, 3), "original");
	a->hooks[HOOK_REVERT] = 0;
	assert_int_equal(REPLACE(w, c), 0);
	assert_int_equal(w->sim->has_intent, 0);
	world_destroy(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(order_of_an_apply_and_a_revert),
		cmocka_unit_test(load_before_patching_unload_after_restoring),
		cmocka_unit_test(a_veto_and_nothing_else_ran),
		cmocka_unit_test(post_hooks_run_after_failures_too),
		cmocka_unit_test(hooks_only_payloads_are_legal),
		cmocka_unit_test(an_apply_hook_switches_all),
		cmocka_unit_test(an_apply_hook_switches_none),
		cmocka_unit_test(a_mixture_is_undone),
		cmocka_unit_test(replace_runs_all_in_order),
		cmocka_unit_test(a_replace_that_fails_keeps_all),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
