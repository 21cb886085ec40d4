/* SPDX-License-Identifier: MIT */
/*
 * What happens when everybody is quiescent. Nothing before commit is final: any failure puts every byte back.
 * Nothing after it is a failure of the action.
 */
#include "core/errno.h"
#include "core/engine_internal.h"

int perform_intent(struct run *run)
{
	const struct host_ops *ops = run->engine->ops;
	int r = ops->intent ? ops->intent(run->engine->host, &run->intent) : 0;
	return r < 0 ? run_fail(run, r, ACTION_JOURNAL, run->payload) : 0;
}

/*
 * 1. Every site, then one sync (poke_stopped()).
 * 2. commit: if it cannot be kept, the next controller would undo; so this one does.
 */
static int switch_and_commit(struct run *run)
{
	const struct host_ops *ops = run->engine->ops;
	struct action_report *report = run->report;
	struct poke poke;

	if (run->options.mode == ACTION_MODE_GATE)
		return gated_switch(run);
	int r = poke_init(&poke, ops, run->engine->host, NULL, 0, run->intent.sites, run->intent.n_sites);
	if (r == 0 && run->intent.n_sites > 0) {
		r = poke_stopped(&poke);
		report->syncs = poke.syncs;
		report->n_sites = poke.n;
	}
	if (r < 0) {
		run_blame_site(run, poke.failed_site);
		run_fail(run, r, r == -CORE_EBADMSG ? ACTION_EXPECTED_BYTES : ACTION_WRITE, report->payload);
	} else if (ops->commit) {
		r = ops->commit(run->engine->host, &run->intent);
		if (r < 0) {
			run_fail(run, r, ACTION_JOURNAL, run->payload);
			if (poke.phase == POKE_DONE)
				(void)poke_stopped_undo(&poke); /* phase and stale say how it went */
			report->syncs = poke.syncs;
		}
	}
	if (r < 0 && poke.phase == POKE_MIXED)
		report->text = ACTION_TEXT_MIXED;
	report->unsynced |= r < 0 && poke.stale;
	return r;
}

/* A switch by gate that could not be finished has happened, and stays for recovery to finish. */
static void done(struct run *run)
{
	if (run->report->text != ACTION_TEXT_MIXED)
		run->report->text = ACTION_TEXT_NEW;
}

/* Apply and replace. */
int perform_on(struct run *run)
{
	struct engine_payload *payload = run->payload;
	bool did = true;

	int r = hooks_each(run, payload, HOOK_LOAD);
	if (r < 0)
		return r; /* no unload hook: they are made for a load that was completed */
	if (run->kind == ACTION_REPLACE)
		for (struct engine_payload *p = run->engine->top; r == 0 && p; p = p->below)
			r = hooks_action(run, p, HOOK_REVERT, &did);
	did = true;
	if (r == 0)
		r = hooks_action(run, payload, HOOK_APPLY, &did);
	if (r == 0 && !did) {
		plan_without_payload(run);
		r = perform_intent(run);
	}
	if (r == 0)
		r = switch_and_commit(run);
	if (r < 0) {
		if (run->report->text == ACTION_TEXT_SAME)
			hooks_after(run, payload, HOOK_UNLOAD);
		return r;
	}
	done(run);
	if (run->kind == ACTION_REPLACE)
		for (struct engine_payload *p = run->engine->top; p; p = p->below)
			hooks_after(run, p, HOOK_UNLOAD);
	return 0;
}

/* Revert. A revert hook that leaves all sites as they are leaves them to the engine: a payload off has no
 * byte in the text. */
int perform_off(struct run *run)
{
	bool did;
	int r = hooks_action(run, run->payload, HOOK_REVERT, &did);
	if (r == 0)
		r = switch_and_commit(run);
	if (r < 0)
		return r;
	done(run);
	hooks_after(run, run->payload, HOOK_UNLOAD);
	return 0;
}
