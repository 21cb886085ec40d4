/* SPDX-License-Identifier: MIT */
/* The 37 steps of facts/action-cases.md, in order. */
#include "world.h"

static void in_list(struct world *w, size_t n)
{
	struct engine_entry entries[WORLD_PAYLOADS];
	uint64_t generation = 0;
	size_t got, total;
	assert_int_equal(engine_list(&w->engine, 0, &generation, entries, WORLD_PAYLOADS, &got, &total), 0);
	assert_int_equal(got, n);
	assert_int_equal(total, n);
}

static void the_37_steps(void **state)
{
	(void)state;
	struct world *w = world_create();
	struct engine_payload *hello = world_payload(w, "hello", 1, NULL);
	struct engine_payload *bye = world_payload(w, "bye", 1, hello);
	struct engine_payload *replace = world_payload(w, "replace", 1, NULL);
	hello->has_writable_data = true;
	hello->hooks[HOOK_UNLOAD] = bye->hooks[HOOK_UNLOAD] = 1;

	in_list(w, 0); /* 1-4 */
	in_list(w, 0);
	assert_string_equal(V(w), "original");
	assert_string_equal(V(w), "original");

	assert_int_equal(REVERT(w, engine_find(&w->engine, "hello")), -CORE_ENOENT); /* 5 */
	assert_reason(w, NOT_FOUND);
	assert_int_equal(REVERT(w, hello), -CORE_ENOENT);

	assert_int_equal(LOAD(w, hello), 0); /* 6-9 */
	assert_int_equal(LOAD(w, hello), -CORE_EEXIST);
	assert_reason(w, DUPLICATE_NAME);
	in_list(w, 1);
	assert_int_equal(hello->state, PAYLOAD_STATE_APPLIED);
	assert_int_equal(hello->result.error, 0);
	assert_string_equal(V(w), "hello");

	assert_int_equal(REVERT(w, hello), 0); /* 10-14 */
	assert_string_equal(V(w), "original");
	assert_int_equal(UNLOAD(w, hello), 0);
	assert_int_equal(UNLOAD(w, hello), -CORE_ENOENT);
	assert_string_equal(V(w), "original");

	assert_int_equal(LOAD(w, hello), 0); /* 15-18 */
	assert_string_equal(V(w), "hello");
	assert_int_equal(LOAD(w, bye), 0);
	assert_string_equal(V(w), "bye");

	assert_int_equal(UPLOAD(w, replace), 0); /* 19-21 */
	w->sim->trace[0] = 0;
	assert_int_equal(REPLACE(w, replace), 0);
	assert_string_equal(w->sim->trace, "[ bye:unload#0 hello:unload#0 ] ");
	assert_int_equal(w->report.syncs, 1);
	assert_string_equal(V(w), "replace");
	assert_string_equal(world_stack(w), "replace");

	assert_int_equal(APPLY(w, hello), -CORE_EPERM); /* 22 */
	assert_reason(w, STALE_DATA);
	assert_int_equal(APPLY(w, bye), -CORE_EINVAL); /* 23 */
	assert_reason(w, DEPENDS);
	assert_ptr_equal(w->report.other, replace);
	assert_int_equal(APPLY(w, replace), -CORE_EINVAL); /* 24 */
	assert_reason(w, WRONG_STATE);
	assert_string_equal(world_stack(w), "replace");
	assert_string_equal(V(w), "replace");

	assert_int_equal(REVERT(w, replace), 0); /* 25-30 */
	assert_int_equal(UNLOAD(w, replace), 0);
	assert_int_equal(UNLOAD(w, hello), 0);
	assert_int_equal(UNLOAD(w, bye), 0);
	in_list(w, 0);
	assert_string_equal(V(w), "original");
	assert_true(sim_pristine(w->sim));

	struct engine_payload *nop = world_payload(w, "nop", 1, NULL); /* 31-34 */
	assert_int_equal(arch_x86_64.encode_nops(nop->sites[0].new_bytes, 5), 0);
	nop->text = (struct host_range){0};
	nop->n_old_ranges = 0;
	assert_int_equal(LOAD(w, nop), 0);
	assert_string_equal(V(w), "nop");
	/* With no code of its own its site must be free all the same. */
	assert_int_equal(w->sim->n_ranges, 1);
	assert_int_equal(w->sim->ranges[0].start, world_function(0) + 1);
	assert_int_equal(REVERT(w, nop), 0);
	assert_int_equal(w->sim->n_ranges, 1);
	assert_int_equal(APPLY(w, nop), 0);
	assert_string_equal(V(w), "nop");

	assert_int_equal(UNLOAD(w, nop), -CORE_EINVAL); /* 35-37 */
	assert_reason(w, WRONG_STATE);
	assert_int_equal(REVERT(w, nop), 0);
	assert_int_equal(UNLOAD(w, nop), 0);
	assert_true(sim_pristine(w->sim));
	assert_true(w->sim->logs > 20); /* each with a name: world_destroy() */
	world_destroy(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_37_steps),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
