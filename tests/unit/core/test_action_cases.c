/* SPDX-License-Identifier: MIT */
/* Further cases of facts/action-cases.md: refusals, order, quiescence, lists. Hooks are in
 * test_action_hooks.c. */
#include <stdio.h>

#include "core/site.h"
#include "world.h"

static void build_ids_are_required(void **state)
{
	(void)state;
	struct world *w = world_create();
	struct engine_payload *p = world_payload(w, "p", 1, NULL);
	struct engine_payload good = *p;

	p->build_id.size = 0;
	assert_int_equal(UPLOAD(w, p), -CORE_EINVAL);
	assert_reason(w, NO_BUILD_ID);
	*p = good;
	p->target.size = 0;
	assert_int_equal(UPLOAD(w, p), -CORE_EINVAL);
	assert_reason(w, NO_BUILD_ID);
	*p = good;
	p->found.bytes[0]++; /* another build of the target */
	assert_int_equal(UPLOAD(w, p), -CORE_EINVAL);
	assert_reason(w, TARGET_BUILD);
	assert_ptr_equal(w->report.payload, p);
	*p = good;
	p->found.size = 8;
	assert_int_equal(UPLOAD(w, p), -CORE_EINVAL);
	assert_reason(w, TARGET_BUILD);
	assert_int_equal(w->engine.n_payloads, 0);
	world_destroy(w);
}

static void malformed_records_are_refused(void **state)
{
	(void)state;
	struct world *w = world_create();
	struct engine_payload *p = world_payload(w, "p", 7, NULL);
	struct thing good = w->things[0];

	for (int what = 0; what < 13; what++) {
		w->things[0] = good;
		struct engine_site *site = &w->things[0].sites[1];
		bool names_site = false;
		switch (what) {
		case 0:
			p->name = NULL;
			break;
		case 1:
			p->name = "";
			break;
		case 2:
			p->name = "1234567890123456789012345678901234567890123456789012345678901234"; /* 64 */
			break;
		case 3:
			p->build_id.size = p->target.size = 65;
			break;
		case 4:
			p->depends.size = 65;
			break;
		case 5:
			p->hooks[HOOK_APPLY] = 2;
			break;
		case 6:
			p->hooks[HOOK_POST_REVERT] = 2;
			break;
		case 7:
			p->text.end = p->text.start - 1;
			break;
		case 8:
			w->things[0].old[2].end = w->things[0].old[2].start;
			break;
		case 9:
			site->length = 0;
			names_site = true;
			break;
		case 10:
			site->length = 32;
			names_site = true;
			break;
		case 11:
			site->address = w->things[0].sites[0].address + 4;
			names_site = true;
			break;
		case 12:
			site->address = UINT64_MAX - 4;
			names_site = true;
			break;
		}
		assert_int_equal(UPLOAD(w, p), -CORE_EINVAL);
		assert_reason(w, MALFORMED);
		assert_int_equal(w->report.site, names_site ? 1 : POKE_NO_SITE);
	}
	assert_int_equal(action_upload(&w->engine, NULL, &w->report), -CORE_EINVAL);
	assert_int_equal(w->engine.n_payloads, 0);
	w->things[0] = good;
	assert_int_equal(UPLOAD(w, p), 0);
	world_destroy(w);
}

static void duplicates_are_refused(void **state)
{
	(void)state;
	static const char *const one[] = {"other", "new_function"};
	static const char *const two[] = {"new_function"};
	struct world *w = world_create();
	struct engine_payload *a = world_payload(w, "a", 1, NULL);
	struct engine_payload *same_name = world_payload(w, "a", 2, NULL);
	struct engine_payload *same_id = world_payload(w, "c", 2, NULL);
	struct engine_payload *same_symbol = world_payload(w, "d", 2, NULL);

	a->symbols = one;
	a->n_symbols = 2;
	same_id->build_id = a->build_id;
	same_symbol->symbols = two;
	same_symbol->n_symbols = 1;
	assert_int_equal(LOAD(w, a), 0);
	struct action_result result = a->result;

	assert_int_equal(UPLOAD(w, a), -CORE_EEXIST); /* the very same record: keeps state and result */
	assert_int_equal(a->state, PAYLOAD_STATE_APPLIED);
	assert_memory_equal(&a->result, &result, sizeof(result));
	assert_int_equal(UPLOAD(w, same_name), -CORE_EEXIST);
	assert_reason(w, DUPLICATE_NAME);
	assert_ptr_equal(w->report.other, a);
	assert_int_equal(UPLOAD(w, same_id), -CORE_EEXIST);
	assert_reason(w, DUPLICATE_BUILD);
	assert_ptr_equal(w->report.other, a);
	assert_int_equal(UPLOAD(w, same_symbol), -CORE_EEXIST);
	assert_reason(w, DUPLICATE_SYMBOL);
	assert_ptr_equal(w->report.other, a);
	assert_string_equal(w->report.symbol, "new_function");

	same_symbol->n_symbols = 0;
	same_symbol->symbols = one;
	same_symbol->n_symbols = 1;
	a->n_symbols = 0;
	w->sim->symbol = "other"; /* the target has it */
	assert_int_equal(UPLOAD(w, same_symbol), -CORE_EEXIST);
	assert_reason(w, DUPLICATE_SYMBOL);
	assert_null(w->report.other);
	assert_int_equal(w->engine.n_payloads, 1);
	world_destroy(w);
}

static void revert_out_of_order_names_the_top(void **state)
{
	(void)state;
	struct world *w = world_create();
	struct engine_payload *a = world_payload(w, "a", 1, NULL), *b = world_payload(w, "b", 3, a);
	struct action_options nodeps = {.nodeps = true};
	assert_int_equal(LOAD(w, a), 0);
	assert_int_equal(LOAD(w, b), 0);
	assert_int_equal(REVERT(w, a), -CORE_EBUSY);
	assert_reason(w, NOT_ON_TOP);
	assert_ptr_equal(w->report.other, b);
	assert_int_equal(action_revert(&w->engine, a, &nodeps, &w->report), -CORE_EBUSY);
	assert_string_equal(world_stack(w), "a b");
	assert_string_equal(V(w), "b");
	assert_int_equal(REVERT(w, b), 0);
	assert_string_equal(V(w), "a");
	assert_string_equal(world_call(w, 1), "original");
	assert_int_equal(REVERT(w, a), 0);
	assert_true(sim_pristine(w->sim));
	assert_int_equal(REVERT(w, a), -CORE_EINVAL);
	assert_reason(w, WRONG_STATE);
	world_destroy(w);
}

static struct {
	struct world *w;
	struct engine_payload *other;
	unsigned asked;
} meanwhile;

static void act_meanwhile(struct sim *sim)
{
	struct world *w = meanwhile.w;
	struct action_report report;
	struct engine_entry entry;
	uint64_t generation = 0;
	size_t n, total;
	(void)sim;
	assert_int_equal(action_apply(&w->engine, meanwhile.other, NULL, &report), -CORE_EBUSY);
	assert_int_equal(report.reason, ACTION_IN_FLIGHT);
	assert_int_equal(action_unload(&w->engine, meanwhile.other, NULL, &report), -CORE_EBUSY);
	assert_int_equal(report.reason, ACTION_IN_FLIGHT);
	assert_int_equal(action_upload(&w->engine, meanwhile.other, &report), -CORE_EBUSY);
	assert_int_equal(report.reason, ACTION_IN_FLIGHT);
	assert_int_equal(engine_list(&w->engine, 0, &generation, &entry, 1, &n, &total), -CORE_EBUSY);
	meanwhile.asked++;
}

static void one_action_at_a_time(void **state)
{
	(void)state;
	struct world *w = world_create();
	struct engine_payload *a = world_payload(w, "a", 1, NULL), *b = world_payload(w, "b", 2, NULL);
	assert_int_equal(UPLOAD(w, a), 0);
	assert_int_equal(UPLOAD(w, b), 0);
	meanwhile.w = w;
	meanwhile.other = b;
	meanwhile.asked = 0;
	w->sim->on_stop = act_meanwhile;
	assert_int_equal(APPLY(w, a), 0);
	/* Unload that comes while an action on the very payload ends: refused, then it may. */
	meanwhile.other = a;
	assert_int_equal(REVERT(w, a), 0);
	assert_int_equal(meanwhile.asked, 2);
	w->sim->on_stop = NULL;
	assert_int_equal(UNLOAD(w, a), 0);
	assert_int_equal(APPLY(w, b), 0);
	world_destroy(w);
}

static void a_core_that_never_arrives(void **state)
{
	(void)state;
	struct world *w = world_create();
	struct engine_payload *a = world_payload(w, "a", 3, NULL);
	struct action_options once = {.try_ns = 30000000, .overall_ns = 30000000};
	assert_int_equal(UPLOAD(w, a), 0);
	w->sim->never_stop = 1000;
	uint64_t before = w->sim->now_ns;
	assert_int_equal(action_apply(&w->engine, a, &once, &w->report), -CORE_EBUSY);
	assert_reason(w, NOT_STOPPED);
	assert_int_equal(w->report.tries, 1);
	assert_int_equal(w->sim->now_ns - before, 30000000);

	before = w->sim->now_ns;
	assert_int_equal(APPLY(w, a), -CORE_EBUSY); /* the defaults */
	assert_true(w->report.tries > 10);
	assert_true(w->sim->now_ns - before <= ACTION_OVERALL_DEFAULT_NS);
	assert_true(w->sim->now_ns - before >= ACTION_OVERALL_DEFAULT_NS - ACTION_PAUSE_LAST_NS);
	assert_int_equal(a->state, PAYLOAD_STATE_CHECKED);
	assert_int_equal(a->result.error, -CORE_EBUSY);
	assert_int_equal(w->sim->writes, 0);
	assert_true(sim_pristine(w->sim));
	assert_false(w->sim->has_intent);

	w->sim->never_stop = 3; /* comes at the fourth try */
	assert_int_equal(APPLY(w, a), 0);
	assert_int_equal(w->report.tries, 4);
	world_destroy(w);
}

static void somebody_inside(void **state)
{
	(void)state;
	struct world *w = world_create();
	struct engine_payload *a = world_payload(w, "a", 3, NULL);
	assert_int_equal(UPLOAD(w, a), 0);
	w->sim->core = world_function(1) + 0x20;
	w->sim->core_looks = 1000000;
	assert_int_equal(APPLY(w, a), -CORE_EBUSY);
	assert_reason(w, NOT_QUIESCENT);
	assert_int_equal(w->sim->stops, w->sim->releases);
	assert_true(sim_pristine(w->sim));
	w->sim->core_looks = 2; /* leaves */
	assert_int_equal(APPLY(w, a), 0);
	assert_int_equal(w->report.tries, 3);

	/* Could not find out is not free, and no reason to go on either. */
	w->sim->quiescent_error = -CORE_EPERM;
	assert_int_equal(REVERT(w, a), -CORE_EPERM);
	assert_reason(w, HOST);
	assert_int_equal(w->report.tries, 1);
	assert_string_equal(world_stack(w), "a");
	w->sim->quiescent_error = 0;

	/* The entry itself is not inside. */
	w->sim->core = world_function(0);
	w->sim->core_looks = 1000;
	assert_int_equal(REVERT(w, a), 0);
	assert_int_equal(w->report.tries, 1);
	/* Somebody in the payload's code is in the way of unload, and of revert before that. */
	w->sim->core = a->text.start + 5;
	assert_int_equal(UNLOAD(w, a), -CORE_EBUSY);
	assert_reason(w, NOT_QUIESCENT);
	assert_non_null(engine_find(&w->engine, "a"));
	w->sim->core_looks = 0;
	assert_int_equal(UNLOAD(w, a), 0);
	world_destroy(w);
}

static bool asked(struct world *w, uint64_t start, uint64_t end)
{
	for (size_t i = 0; i < w->sim->n_ranges; i++)
		if (w->sim->ranges[i].start == start && w->sim->ranges[i].end == end)
			return true;
	return false;
}

static void what_must_be_free(void **state)
{
	(void)state;
	struct world *w = world_create();
	struct engine_payload *a = world_payload(w, "a", 1, NULL), *b = world_payload(w, "b", 2, NULL);
	struct engine_payload *c = world_payload(w, "c", 5, NULL), *d = world_payload(w, "d", 8, NULL);
	struct action_options none = {.consistency = ACTION_CONSISTENCY_NONE};
	assert_int_equal(LOAD(w, a), 0);
	assert_true(asked(w, world_function(0) + 1, world_function(0) + 0x40));
	assert_int_equal(LOAD(w, b), 0);
	assert_false(asked(w, a->text.start, a->text.end));
	assert_int_equal(LOAD(w, c), 0); /* stands on a */
	assert_true(asked(w, a->text.start, a->text.end));
	assert_false(asked(w, b->text.start, b->text.end));
	assert_true(asked(w, world_function(2) + 1, world_function(2) + 0x40));
	assert_int_equal(REVERT(w, c), 0);
	assert_true(asked(w, c->text.start, c->text.end));
	assert_false(asked(w, a->text.start, a->text.end));
	assert_true(asked(w, world_function(2) + 1, world_function(2) + 5));
	assert_int_equal(UPLOAD(w, d), 0);
	assert_int_equal(REPLACE(w, d), 0);
	assert_true(asked(w, a->text.start, a->text.end));
	assert_true(asked(w, b->text.start, b->text.end));
	assert_true(asked(w, world_function(3) + 1, world_function(3) + 0x40));
	assert_int_equal(UNLOAD(w, a), 0);
	assert_true(asked(w, a->text.start, a->text.end));
	assert_int_equal(w->sim->n_ranges, 1);

	/* Each by itself: only the bytes. */
	assert_int_equal(action_revert(&w->engine, d, &none, &w->report), 0);
	assert_int_equal(w->sim->n_ranges, 1);
	assert_true(asked(w, world_function(3) + 1, world_function(3) + 5));
	w->sim->core = world_function(3) + 0x20; /* in the old code, out of the site */
	w->sim->core_looks = 1000;
	assert_int_equal(action_apply(&w->engine, d, &none, &w->report), 0);
	assert_int_equal(w->report.tries, 1);
	world_destroy(w);
}

static void times_are_bounded(void **state)
{
	(void)state;
	static const struct {
		uint64_t try_ns, overall_ns;
		int error;
	} cases[] = {
		{0, 0, 0},
		{ACTION_TRY_MIN_NS, ACTION_OVERALL_MIN_NS, 0},
		{ACTION_TRY_MAX_NS, ACTION_OVERALL_MAX_NS, 0},
		{ACTION_TRY_MIN_NS - 1, 0, -CORE_ERANGE},
		{ACTION_TRY_MAX_NS + 1, 0, -CORE_ERANGE},
		{0, ACTION_OVERALL_MIN_NS - 1, -CORE_ERANGE},
		{0, ACTION_OVERALL_MAX_NS + 1, -CORE_ERANGE},
		{UINT64_MAX, UINT64_MAX, -CORE_ERANGE},
	};
	struct world *w = world_create();
	struct engine_payload *a = world_payload(w, "a", 1, NULL);
	assert_int_equal(UPLOAD(w, a), 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct action_options o = {.try_ns = cases[i].try_ns, .overall_ns = cases[i].overall_ns};
		unsigned stops = w->sim->stops;
		assert_int_equal(action_apply(&w->engine, a, &o, &w->report), cases[i].error);
		if (cases[i].error) {
			assert_reason(w, BAD_OPTION);
			assert_int_equal(w->sim->stops, stops);
		} else {
			assert_int_equal(REVERT(w, a), 0);
		}
	}
	/* 0 is 30 ms: the only try of so short an action ends there. */
	struct action_options o = {.overall_ns = 40000000};
	w->sim->never_stop = 1;
	uint64_t before = w->sim->now_ns;
	o.overall_ns = ACTION_TRY_DEFAULT_NS + ACTION_PAUSE_FIRST_NS;
	assert_int_equal(action_apply(&w->engine, a, &o, &w->report), -CORE_EBUSY);
	assert_int_equal(w->sim->now_ns - before, ACTION_TRY_DEFAULT_NS);
	/* An overall deadline shorter than a try ends the try. */
	w->sim->never_stop = 1;
	before = w->sim->now_ns;
	o = (struct action_options){.overall_ns = 1000000};
	assert_int_equal(action_apply(&w->engine, a, &o, &w->report), -CORE_EBUSY);
	assert_int_equal(w->sim->now_ns - before, 1000000);

	o = (struct action_options){.mode = (enum action_mode)7};
	assert_int_equal(action_apply(&w->engine, a, &o, &w->report), -CORE_EINVAL);
	o = (struct action_options){.consistency = (enum action_consistency)7};
	assert_int_equal(action_apply(&w->engine, a, &o, &w->report), -CORE_EINVAL);
	world_destroy(w);
}

static void order_and_nodeps(void **state)
{
	(void)state;
	struct world *w = world_create();
	struct engine_payload *a = world_payload(w, "a", 1, NULL), *b = world_payload(w, "b", 2, a);
	struct action_options nodeps = {.nodeps = true};
	assert_int_equal(UPLOAD(w, a), 0);
	assert_int_equal(UPLOAD(w, b), 0);
	assert_int_equal(APPLY(w, b), -CORE_EINVAL);
	assert_reason(w, DEPENDS);
	assert_null(w->report.other);
	assert_int_equal(REPLACE(w, b), -CORE_EINVAL); /* would take off what it stands on */
	assert_reason(w, DEPENDS);
	assert_int_equal(action_apply(&w->engine, b, &nodeps, &w->report), 0);
	assert_int_equal(REVERT(w, b), 0);
	assert_int_equal(action_replace(&w->engine, b, &nodeps, &w->report), 0);
	assert_int_equal(REVERT(w, b), 0);
	/* Never the target's build. */
	b->found.bytes[3]++;
	assert_int_equal(action_apply(&w->engine, b, &nodeps, &w->report), -CORE_EINVAL);
	assert_reason(w, TARGET_BUILD);
	world_destroy(w);
}

static void other_bytes_are_refused(void **state)
{
	(void)state;
	struct world *w = world_create();
	struct engine_payload *a = world_payload(w, "a", 1, NULL), *b = world_payload(w, "b", 7, NULL);
	struct engine_payload *c = world_payload(w, "c", 1, NULL);
	b->hooks[HOOK_PRE_APPLY] = b->hooks[HOOK_POST_APPLY] = 1;
	assert_int_equal(LOAD(w, a), 0);
	assert_int_equal(UPLOAD(w, b), 0);
	w->things[1].sites[2].expected[3] ^= 1;
	for (int replace = 0; replace < 2; replace++) {
		w->sim->writes = 0;
		w->sim->trace[0] = 0;
		assert_int_equal(replace ? REPLACE(w, b) : APPLY(w, b), -CORE_EBADMSG);
		assert_reason(w, EXPECTED_BYTES);
		assert_ptr_equal(w->report.payload, b);
		assert_int_equal(w->report.site, 2);
		assert_int_equal(w->report.address, world_function(2));
		assert_int_equal(w->sim->writes, 0);
		assert_string_equal(w->sim->trace, "");
		assert_string_equal(world_stack(w), "a"); /* what was applied still is */
		assert_string_equal(V(w), "a");
	}
	/* Expected are the target's own bytes, also under another payload. */
	w->things[2].sites[0].expected[0] ^= 1;
	assert_int_equal(UPLOAD(w, c), 0);
	assert_int_equal(APPLY(w, c), -CORE_EBADMSG);
	assert_int_equal(REPLACE(w, c), -CORE_EBADMSG);
	/* Somebody else has written over an applied site: not put back over it, and nothing stacked on it. */
	w->things[2].sites[0].expected[0] ^= 1;
	sim_at(w->sim, world_function(0))[2] ^= 1;
	assert_int_equal(REVERT(w, a), -CORE_EBADMSG);
	assert_reason(w, EXPECTED_BYTES);
	assert_int_equal(w->report.site, 0);
	assert_int_equal(APPLY(w, c), -CORE_EBADMSG);
	assert_int_equal(REPLACE(w, c), -CORE_EBADMSG);
	assert_int_equal(w->sim->writes, 0);
	sim_at(w->sim, world_function(0))[2] ^= 1;
	assert_int_equal(REVERT(w, a), 0);
	assert_true(sim_pristine(w->sim));
	world_destroy(w);
}

static void partly_overlapping_sites_are_refused(void **state)
{
	(void)state;
	struct world *w = world_create();
	struct engine_payload *a = world_payload(w, "a", 3, NULL), *b = world_payload(w, "b", 4, NULL);
	struct engine_payload *beside = world_payload(w, "beside", 0, NULL);
	assert_int_equal(LOAD(w, a), 0);
	assert_int_equal(UPLOAD(w, b), 0);
	static const struct {
		int64_t shift;
		uint8_t length;
	} cases[] = {{-4, 5}, {4, 5}, {1, 2}, {0, 4}, {0, 6}, {-1, 7}};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct engine_site *site = &w->things[1].sites[0];
		site->address = world_function(1) + (uint64_t)cases[i].shift;
		site->length = cases[i].length;
		site->has_expected = false;
		for (int replace = 0; replace < 2; replace++) {
			assert_int_equal(replace ? REPLACE(w, b) : APPLY(w, b), -CORE_EEXIST);
			assert_reason(w, OVERLAP);
			assert_ptr_equal(w->report.other, a);
			assert_int_equal(w->report.site, 0);
		}
	}
	/* A registry that says so is not believed. */
	enum action_reason reason;
	w->things[2].sites[0] = (struct engine_site){.address = world_function(1) + 2, .length = 5};
	beside->n_sites = 1;
	beside->state = PAYLOAD_STATE_APPLIED;
	beside->switched = true;
	assert_int_equal(engine_adopt(&w->engine, beside, &reason), -CORE_EEXIST);
	assert_int_equal(reason, ACTION_OVERLAP);
	/* Touching is not overlapping. */
	w->things[2].sites[0].address = world_function(1) + 5;
	assert_int_equal(LOAD(w, beside), 0);
	assert_int_equal(REVERT(w, beside), 0);
	assert_int_equal(REVERT(w, a), 0);
	assert_true(sim_pristine(w->sim));
	world_destroy(w);
}

static void functions_and_distances(void **state)
{
	(void)state;
	static const uint8_t code[] = {0x55, 0x48, 0x89, 0xe5, 0xc3};
	struct engine_site site;
	assert_int_equal(site_divert(&arch_x86_64, SIM_BASE, code, 4, 4, SIM_BASE + 100, &site),
			 -CORE_ENOSPC);
	assert_int_equal(site_divert(&arch_x86_64, SIM_BASE, code, 4, 5, SIM_BASE + 100, &site),
			 -CORE_ENOSPC);
	assert_int_equal(
		site_divert(&arch_x86_64, SIM_BASE, code, 5, 5, SIM_BASE + (UINT64_C(1) << 32), &site),
		-CORE_ERANGE);
	assert_int_equal(site_divert(&arch_x86_64, SIM_BASE, code, 5, 5, SIM_BASE + 100, &site), 0);
	assert_int_equal(site.length, 5);
	assert_true(site.has_expected);
	assert_memory_equal(site.expected, code, 5);
	assert_int_equal(site_divert(&arch_aarch64, SIM_BASE, code, 4, 4, SIM_BASE + (1 << 27), &site),
			 -CORE_ERANGE);
	assert_int_equal(site_blank(&arch_aarch64, SIM_BASE, code, 5, 2, 2, NULL, NULL, &site), -CORE_EINVAL);
	assert_int_equal(site_blank(&arch_x86_64, SIM_BASE, code, 5, 0, 1, NULL, NULL, &site), -CORE_ENOTSUP);
}

static void lists_are_complete_or_start_over(void **state)
{
	(void)state;
	struct world *w = world_create();
	char name[16];
	for (int i = 0; i < 7; i++) {
		snprintf(name, sizeof(name), "p%d", i);
		assert_int_equal(UPLOAD(w, world_payload(w, name, 1u << (i % 5), NULL)), 0);
	}
	assert_int_equal(APPLY(w, engine_find(&w->engine, "p2")), 0);
	assert_int_equal(APPLY(w, engine_find(&w->engine, "p1")), 0);
	struct engine_entry page[3];
	uint64_t generation = 0;
	size_t n, total, all = 0;
	do {
		assert_int_equal(engine_list(&w->engine, all, &generation, page, 3, &n, &total), 0);
		for (size_t i = 0; i < n; i++) {
			snprintf(name, sizeof(name), "p%zu", all + i);
			assert_string_equal(page[i].name, name);
			assert_int_equal(page[i].depth, all + i == 2 ? 1 : all + i == 1 ? 2 : 0);
		}
		all += n;
	} while (n > 0);
	assert_int_equal(all, 7);
	assert_int_equal(total, 7);

	/* Something changes between two pages, of each kind. */
	for (int what = 0; what < 4; what++) {
		generation = 0;
		assert_int_equal(engine_list(&w->engine, 0, &generation, page, 3, &n, &total), 0);
		if (what == 0)
			assert_int_equal(UNLOAD(w, engine_find(&w->engine, "p0")), 0);
		else if (what == 1)
			assert_int_equal(UPLOAD(w, world_payload(w, "late", 1, NULL)), 0);
		else if (what == 2)
			assert_int_equal(REVERT(w, engine_find(&w->engine, "p1")), 0);
		else
			assert_int_equal(REPLACE(w, engine_find(&w->engine, "p4")), 0);
		assert_int_equal(engine_list(&w->engine, 3, &generation, page, 3, &n, &total), -CORE_EBUSY);
		generation = 0;
		assert_int_equal(engine_list(&w->engine, 0, &generation, page, 3, &n, &total), 0);
	}
	/* A refused action changes nothing, so no list either. */
	assert_int_equal(REVERT(w, engine_find(&w->engine, "p1")), -CORE_EINVAL);
	assert_int_equal(engine_list(&w->engine, 3, &generation, page, 3, &n, &total), 0);
	world_destroy(w);
}

static void three_and_a_replacing_one(void **state)
{
	(void)state;
	struct world *w = world_create();
	struct engine_payload *a = world_payload(w, "a", 3, NULL), *b = world_payload(w, "b", 7, NULL);
	struct engine_payload *c = world_payload(w, "c", 1, NULL), *d = world_payload(w, "d", 0x31, NULL);
	assert_int_equal(LOAD(w, a), 0);
	assert_int_equal(LOAD(w, b), 0);
	assert_int_equal(LOAD(w, c), 0);
	assert_int_equal(UPLOAD(w, d), 0);
	assert_int_equal(REPLACE(w, d), 0);
	assert_int_equal(w->report.n_sites, 5); /* each address once */
	assert_string_equal(world_stack(w), "d");
	static const char *const calls[] = {"d", "original", "original", "original", "d", "d"};
	for (size_t i = 0; i < WORLD_SITES; i++)
		assert_string_equal(world_call(w, i), calls[i]);
	assert_int_equal(UNLOAD(w, a), 0);
	assert_int_equal(UNLOAD(w, c), 0);
	assert_int_equal(APPLY(w, b), 0);
	assert_string_equal(V(w), "b");
	assert_int_equal(REVERT(w, b), 0);
	assert_int_equal(REVERT(w, d), 0);
	assert_string_equal(world_stack(w), "");
	assert_true(sim_pristine(w->sim));
	world_destroy(w);
}

static void too_little_room_is_said(void **state)
{
	(void)state;
	struct world *w = world_create();
	struct engine_payload *a = world_payload(w, "a", 7, NULL), *b = world_payload(w, "b", 0x38, NULL);
	size_t sites, ranges;
	assert_int_equal(LOAD(w, a), 0);
	engine_room(&w->engine, b, &sites, &ranges);
	assert_int_equal(sites, 6);
	assert_int_equal(UPLOAD(w, b), 0);
	engine_room(&w->engine, NULL, &sites, &ranges);
	assert_int_equal(sites, 6);
	for (size_t s = 0; s < sites; s++) {
		engine_give_room(&w->engine, w->sites, s, w->ranges, ranges);
		assert_int_equal(REPLACE(w, b), -CORE_ENOSPC);
		assert_reason(w, NO_ROOM);
	}
	engine_give_room(&w->engine, w->sites, 2, w->ranges, ranges);
	assert_int_equal(APPLY(w, b), -CORE_ENOSPC);
	assert_int_equal(REVERT(w, a), -CORE_ENOSPC);
	for (size_t r = 0; r < 6; r++) {
		engine_give_room(&w->engine, w->sites, sites, w->ranges, r);
		assert_int_equal(APPLY(w, b), -CORE_ENOSPC);
		assert_reason(w, NO_ROOM);
	}
	assert_string_equal(world_stack(w), "a");
	engine_give_room(&w->engine, w->sites, sites, w->ranges, ranges);
	assert_int_equal(REPLACE(w, b), 0);
	engine_give_room(&w->engine, w->sites, sites, w->ranges, 0);
	assert_int_equal(UNLOAD(w, a), -CORE_ENOSPC);
	world_destroy(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(build_ids_are_required),
		cmocka_unit_test(malformed_records_are_refused),
		cmocka_unit_test(duplicates_are_refused),
		cmocka_unit_test(revert_out_of_order_names_the_top),
		cmocka_unit_test(one_action_at_a_time),
		cmocka_unit_test(a_core_that_never_arrives),
		cmocka_unit_test(somebody_inside),
		cmocka_unit_test(what_must_be_free),
		cmocka_unit_test(times_are_bounded),
		cmocka_unit_test(order_and_nodeps),
		cmocka_unit_test(other_bytes_are_refused),
		cmocka_unit_test(partly_overlapping_sites_are_refused),
		cmocka_unit_test(functions_and_distances),
		cmocka_unit_test(lists_are_complete_or_start_over),
		cmocka_unit_test(three_and_a_replacing_one),
		cmocka_unit_test(too_little_room_is_said),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
