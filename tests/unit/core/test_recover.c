/* SPDX-License-Identifier: MIT */
/*
 * Failures and deaths: every operation of the host fails in turn, and the controller dies in turn at every
 * one of them. All or nothing, and the next controller finishes or undoes.
 */
#include "world.h"

enum deed {
	DO_APPLY,
	DO_REVERT,
	DO_REPLACE,
	DEEDS
};

/* a below b, c not applied; deed: apply c, revert b, replace by c. */
static struct world *prepare(struct engine_payload **who, enum deed deed)
{
	struct world *w = world_create();
	struct engine_payload *a = world_payload(w, "a", 3, NULL), *b = world_payload(w, "b", 6, NULL);
	struct engine_payload *c = world_payload(w, "c", 0x0d, NULL);
	assert_int_equal(LOAD(w, a), 0);
	assert_int_equal(LOAD(w, b), 0);
	assert_int_equal(UPLOAD(w, c), 0);
	*who = deed == DO_REVERT ? b : c;
	world_keep(w);
	w->sim->fallible = w->sim->ops_done = 0;
	w->sim->has_intent = w->sim->committed = false;
	return w;
}

static int run(struct world *w, struct engine_payload *who, enum deed deed)
{
	switch (deed) {
	case DO_APPLY:
		return APPLY(w, who);
	case DO_REVERT:
		return REVERT(w, who);
	default:
		return REPLACE(w, who);
	}
}

static void is_before(struct world *w)
{
	static const char *const calls[] = {"a", "b", "b", "original"};
	assert_string_equal(world_stack(w), "a b");
	for (size_t i = 0; i < 4; i++)
		assert_string_equal(world_call(w, i), calls[i]);
}

static void is_after(struct world *w, enum deed deed)
{
	static const char *const stacks[DEEDS] = {"a b c", "a", "c"};
	static const char *const calls[DEEDS][4] = {
		{"c", "b", "c", "c"}, {"a", "a", "original", "original"}, {"c", "original", "c", "c"}};
	assert_string_equal(world_stack(w), stacks[deed]);
	for (size_t i = 0; i < 4; i++)
		assert_string_equal(world_call(w, i), calls[deed][i]);
}

/* From wherever it is, back to nothing: the text is the original to the last byte. */
static void take_all_off(struct world *w)
{
	while (w->engine.top)
		assert_int_equal(REVERT(w, w->engine.top), 0);
	assert_true(sim_pristine(w->sim));
}

static void every_operation_fails_in_turn(void **state)
{
	(void)state;
	for (int deed = 0; deed < DEEDS; deed++)
		for (int how = SIM_NOT_DONE; how <= SIM_HALF_DONE; how++) {
			size_t before = 0, after = 0;
			for (unsigned k = 1;; k++) {
				struct engine_payload *who;
				struct world *w = prepare(&who, (enum deed)deed);
				w->sim->fail_at = k;
				w->sim->how = (enum sim_fault)how;
				int r = run(w, who, (enum deed)deed);
				w->sim->fail_at = 0;
				bool faulted = w->sim->faulted;
				assert_int_equal(w->report.error, r);
				assert_int_equal(who->result.error, r);
				assert_int_equal(who->result.reason, w->report.reason);
				assert_int_equal(w->sim->stops,
						 w->sim->releases + (w->report.reason == ACTION_HOST &&
								     w->sim->stops != w->sim->releases));
				if (r < 0) {
					assert_true(faulted);
					assert_int_equal(w->report.text, ACTION_TEXT_SAME);
					is_before(w);
					before++;
					assert_int_equal(run(w, who, (enum deed)deed),
							 0); /* the next one works */
				} else {
					assert_int_equal(w->report.text, ACTION_TEXT_NEW);
					/* A fault behind the commit is told, and undoes nothing. */
					assert_int_equal(w->report.after_error != 0, faulted);
					after += faulted;
				}
				is_after(w, (enum deed)deed);
				take_all_off(w);
				world_destroy(w);
				if (!faulted)
					break;
			}
			assert_true(before > 10);
			assert_int_equal(after, 2); /* release, settled */
		}
}

/* All writes and syncs fail from the k-th on: what could not be undone is said, nothing else is done,
 * recovery mends it. */
static void failed_undo_needs_recovery(void **state)
{
	(void)state;
	size_t mixed = 0;
	for (int deed = 0; deed < DEEDS; deed++)
		for (unsigned k = 1;; k++) {
			struct engine_payload *who;
			struct world *w = prepare(&who, (enum deed)deed);
			w->sim->only_writes_and_syncs = w->sim->sticky = true;
			w->sim->fail_at = k;
			int r = run(w, who, (enum deed)deed);
			bool faulted = w->sim->faulted;
			w->sim->fail_at = 0;
			if (faulted && w->report.text == ACTION_TEXT_MIXED) {
				mixed++;
				assert_true(r < 0);
				assert_true(w->sim->has_intent); /* kept: it is needed */
				assert_int_equal(run(w, who, (enum deed)deed), -CORE_EUCLEAN);
				assert_reason(w, NEEDS_RECOVERY);
				assert_int_equal(UNLOAD(w, who), -CORE_EUCLEAN);
				assert_int_equal(action_recover(&w->engine, &w->sim->intent,
								w->sim->committed, NULL, &w->report),
						 0);
				is_before(w);
				assert_false(w->sim->has_intent);
				assert_int_equal(run(w, who, (enum deed)deed), 0);
			} else if (faulted) {
				is_before(w);
				assert_int_equal(run(w, who, (enum deed)deed), 0);
			}
			is_after(w, (enum deed)deed);
			take_all_off(w);
			world_destroy(w);
			if (!faulted)
				break;
		}
	assert_true(mixed > 5);
}

static int no_sync(void *host)
{
	(void)host;
	return -CORE_EIO;
}

/* Only syncs fail: the bytes are back, and that a core may still hold others is said. */
static void a_failed_last_sync_is_said(void **state)
{
	(void)state;
	for (int deed = 0; deed < DEEDS; deed++) {
		struct engine_payload *who;
		struct world *w = prepare(&who, (enum deed)deed);
		int (*sync)(void *host) = w->sim->ops.sync;
		w->sim->ops.sync = no_sync;
		assert_int_equal(run(w, who, (enum deed)deed), -CORE_EIO);
		assert_reason(w, WRITE);
		assert_int_equal(w->report.text, ACTION_TEXT_SAME);
		assert_true(w->report.unsynced);
		is_before(w);
		w->sim->ops.sync = sync;
		assert_int_equal(run(w, who, (enum deed)deed), 0);
		assert_false(w->report.unsynced);
		is_after(w, (enum deed)deed);
		world_destroy(w);
	}
}

static struct {
	struct world *w;
	struct engine_payload *who;
} dying; /* not in a frame that longjmp leaves */

/* The controller dies before the k-th operation, whichever it is; with recovery dying at the j-th of its own,
 * too. */
static void killed_at_every_operation(void **state)
{
	(void)state;
	static size_t undone, finished, deaths;
	undone = finished = deaths = 0;
	for (volatile int deed = 0; deed < DEEDS; deed++) {
		volatile bool lived = false;
		for (volatile unsigned k = 1; !lived; k++)
			for (volatile unsigned j = 0; j < 12; j++) {
				dying.w = prepare(&dying.who, (enum deed)deed);
				dying.w->sim->die_at = k;
				if (setjmp(dying.w->sim->death) == 0) {
					assert_int_equal(run(dying.w, dying.who, (enum deed)deed), 0);
					lived = true;
					is_after(dying.w, (enum deed)deed);
					world_destroy(dying.w);
					break;
				}
				deaths++;
				for (volatile int round = 0; round < 2; round++) {
					world_next_controller(dying.w);
					struct sim *sim = dying.w->sim;
					sim->ops_done = 0;
					sim->die_at = round == 0 ? j : 0;
					if (!sim->has_intent)
						continue;
					if (setjmp(sim->death) == 0) {
						bool committed = dying.w->sim->committed;
						assert_int_equal(action_recover(&dying.w->engine,
										&dying.w->sim->intent,
										committed, NULL,
										&dying.w->report),
								 0);
						committed ? finished++ : undone++;
					}
				}
				assert_false(dying.w->sim->has_intent);
				if (dying.w->sim->committed)
					is_after(dying.w, (enum deed)deed);
				else
					is_before(dying.w);
				take_all_off(dying.w);
				world_destroy(dying.w);
			}
	}
	assert_true(deaths > 300);
	assert_true(undone > 100);
	assert_true(finished > 20);
}

static void recovery_refuses_what_does_not_fit(void **state)
{
	(void)state;
	struct engine_payload *c;
	for (volatile int what = 0; what < 9; what++) {
		struct world *w = prepare(&c, DO_APPLY);
		struct engine_payload stranger = *c;
		w->sim->die_at = 14; /* in the middle of the writes */
		if (setjmp(w->sim->death) == 0) {
			(void)APPLY(w, c);
			fail_msg("did not die");
		}
		world_next_controller(w);
		w->sim->die_at = 0;
		struct action_intent intent = w->sim->intent;
		bool committed = false;
		int error = -CORE_EINVAL;
		assert_true(intent.n_sites == 3);
		switch (what) {
		case 0:
			intent.payload = &stranger;
			error = -CORE_ENOENT;
			break;
		case 1:
			intent.action = ACTION_UNLOAD;
			break;
		case 2:
			intent.action = (enum action_kind)77;
			break;
		case 3: /* a revert of one that is not applied, not committed */
			intent.action = ACTION_REVERT;
			break;
		case 4: /* unsorted */
			intent.sites[1].address = intent.sites[0].address - 64;
			break;
		case 5: /* not this payload's bytes */
			intent.sites[1].new_bytes[1] ^= 1;
			break;
		case 6: /* a site is missing */
			intent.n_sites = 2;
			break;
		case 7: /* somebody else has written meanwhile */
			sim_at(w->sim, intent.sites[2].address)[1] ^= 0x15;
			error = -CORE_EBADMSG;
			break;
		case 8: /* too many */
			intent.n_sites = POKE_SITES_MAX + 1;
			error = -CORE_E2BIG;
			break;
		}
		w->sim->writes = 0;
		assert_int_equal(action_recover(&w->engine, &intent, committed, NULL, &w->report), error);
		assert_int_equal(w->sim->writes, 0);
		assert_true(w->sim->has_intent);
		if (what == 7) {
			assert_reason(w, EXPECTED_BYTES);
			assert_int_equal(w->report.site, 2);
			assert_int_equal(w->report.address, intent.sites[2].address);
		}
		world_destroy(w);
	}
}

/* A gated switch that was killed: sites with a trap and either tail are ours, in gate mode and only there. */
static void traps_of_a_killed_gate_are_recovered(void **state)
{
	(void)state;
	for (volatile int committed = 0; committed < 2; committed++)
		for (volatile int mode = ACTION_MODE_RENDEZVOUS; mode <= ACTION_MODE_GATE; mode++) {
			struct engine_payload *c;
			struct world *w = prepare(&c, DO_APPLY);
			w->sim->die_at = 14;
			if (setjmp(w->sim->death) == 0) {
				(void)APPLY(w, c);
				fail_msg("did not die");
			}
			world_next_controller(w);
			w->sim->die_at = 0;
			struct action_intent *intent = &w->sim->intent;
			intent->mode = (enum action_mode)mode;
			for (size_t i = 0; i < 3; i++) {
				uint8_t *at = sim_at(w->sim, intent->sites[i].address);
				memcpy(at, i < 2 ? intent->sites[i].new_bytes : intent->sites[i].old_bytes,
				       5);
				at[0] = 0xcc;
			}
			int r = action_recover(&w->engine, intent, committed, NULL, &w->report);
			if (mode == ACTION_MODE_RENDEZVOUS) {
				assert_int_equal(r, -CORE_EBADMSG);
			} else {
				assert_int_equal(r, 0);
				if (committed)
					is_after(w, DO_APPLY);
				else
					is_before(w);
				take_all_off(w);
			}
			world_destroy(w);
		}
}

static void recovery_waits_for_who_stands_in_a_site(void **state)
{
	(void)state;
	struct engine_payload *c;
	struct world *w = prepare(&c, DO_APPLY);
	w->sim->die_at = 14;
	if (setjmp(w->sim->death) == 0) {
		(void)APPLY(w, c);
		fail_msg("did not die");
	}
	world_next_controller(w);
	w->sim->die_at = 0;
	w->sim->core = w->sim->intent.sites[1].address + 2;
	w->sim->core_looks = 100000;
	w->sim->writes = 0;
	assert_int_equal(action_recover(&w->engine, &w->sim->intent, false, NULL, &w->report), -CORE_EBUSY);
	assert_reason(w, NOT_QUIESCENT);
	assert_int_equal(w->sim->writes, 0);
	w->sim->core_looks = 3;
	assert_int_equal(action_recover(&w->engine, &w->sim->intent, false, NULL, &w->report), 0);
	assert_int_equal(w->report.tries, 4);
	is_before(w);
	world_destroy(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_operation_fails_in_turn),
		cmocka_unit_test(failed_undo_needs_recovery),
		cmocka_unit_test(a_failed_last_sync_is_said),
		cmocka_unit_test(killed_at_every_operation),
		cmocka_unit_test(recovery_refuses_what_does_not_fit),
		cmocka_unit_test(traps_of_a_killed_gate_are_recovered),
		cmocka_unit_test(recovery_waits_for_who_stands_in_a_site),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
