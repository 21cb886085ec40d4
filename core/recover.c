/* SPDX-License-Identifier: MIT */
/*
 * After a controller was killed. The journal says what was to become what, and whether the last byte stood:
 *
 *   no commit: every site back to its old bytes, states as they were before
 *   commit:    every site to its new bytes, states as after the action
 *
 * The journal lies in the target's memory, so it is not trusted: it must fit the payload's record, and the
 * text must hold what the engine itself may have left there, or nothing is written.
 */
#include "core/bytes.h"
#include "core/errno.h"
#include "core/engine_internal.h"

/* The states are those from before the action, or already those from after it (killed while settling). */
static bool states_fit(const struct run *run, bool committed, bool *settled)
{
	const struct engine *engine = run->engine;
	const struct engine_payload *payload = run->payload;
	bool applied = payload->state == PAYLOAD_STATE_APPLIED;

	*settled = false;
	switch (run->kind) {
	case ACTION_APPLY:
	case ACTION_REPLACE:
		if (!applied)
			return true;
		*settled = true;
		return committed && engine->top == payload &&
		       (run->kind == ACTION_APPLY || engine->bottom == payload);
	case ACTION_REVERT:
		*settled = !applied;
		return applied ? engine->top == payload : committed;
	default:
		return false;
	}
}

/*
 * Each site of the payload that the action switches is in the vector with the payload's bytes on the right
 * side, and what the payload's `saved` has to be is known. take: sets it.
 */
static int payload_fits(struct run *run, bool take)
{
	const struct action_intent *intent = &run->intent;
	struct engine_payload *payload = run->payload;
	bool off = run->kind == ACTION_REVERT;
	if (off ? !payload->switched : !intent->switched)
		return 0;
	for (size_t i = 0; i < payload->n_sites; i++) {
		struct engine_site *site = &payload->sites[i];
		size_t at = plan_find(intent->sites, intent->n_sites, site->address);
		const struct poke_site *in = at == POKE_NO_SITE ? NULL : &intent->sites[at];
		if (!in || in->length != site->length ||
		    !bytes_equal(off ? in->old_bytes : in->new_bytes, site->new_bytes, site->length) ||
		    (off && !bytes_equal(in->new_bytes, site->saved, site->length))) {
			run->report->site = at;
			run->report->address = site->address;
			return run_fail(run, -CORE_EINVAL, ACTION_MALFORMED, payload);
		}
		if (!take || off)
			continue;
		const uint8_t *pristine =
			run->kind == ACTION_REPLACE ? engine_pristine(run->engine, site->address) : NULL;
		for (size_t k = 0; k < site->length; k++)
			site->saved[k] = pristine ? pristine[k] : in->old_bytes[k];
	}
	return 0;
}

static void take_states(struct run *run)
{
	if (run->kind == ACTION_APPLY) {
		states_apply(run->engine, run->payload, run->intent.switched);
	} else if (run->kind == ACTION_REVERT) {
		states_revert(run->engine, run->payload);
	} else {
		struct engine_payload *off = run->engine->top;
		states_replace(run->engine, run->payload, run->intent.switched);
		for (struct engine_payload *below; off; off = below) {
			below = off->below;
			off->below = NULL;
		}
	}
}

static int write_sites(struct run *run, struct poke *poke, bool committed)
{
	int r = quiesce_begin(run);
	if (r < 0)
		return r;
	r = poke_recover(poke, committed);
	int released = quiesce_end(run);
	run->report->syncs = poke->syncs;
	run->report->n_sites = poke->n;
	if (r < 0) {
		run->report->site = poke->failed_site;
		if (poke->failed_site != POKE_NO_SITE)
			run->report->address = poke->sites[poke->failed_site].address;
		run->report->unsynced = poke->stale;
		if (poke->phase == POKE_MIXED)
			run->report->text = ACTION_TEXT_MIXED;
		return run_fail(run, r, r == -CORE_EBADMSG ? ACTION_EXPECTED_BYTES : ACTION_WRITE,
				run->payload);
	}
	if (released < 0)
		run_after(run, released, ACTION_HOST, run->payload);
	return 0;
}

static int recover(struct run *run, bool committed, const struct action_options *options)
{
	struct engine *engine = run->engine;
	const struct arch_trap *trap = NULL;
	struct poke poke;
	bool settled;

	if (!engine_knows(engine, run->payload))
		return run_fail(run, -CORE_ENOENT, ACTION_NOT_FOUND, NULL);
	/* How the cores are stopped now has nothing to do with how the action had been going to. */
	int r = quiesce_options(run, options);
	if (r < 0)
		return r;
	run->options.mode = run->report->mode = ACTION_MODE_RENDEZVOUS; /* traps may stand there already */
	if (!states_fit(run, committed, &settled))
		return run_fail(run, -CORE_EINVAL, ACTION_MALFORMED, run->payload);
	if (run->intent.mode == ACTION_MODE_GATE) {
		if (run->intent.trap >= engine->arch->n_traps)
			return run_fail(run, -CORE_EINVAL, ACTION_MALFORMED, run->payload);
		trap = &engine->arch->traps[run->intent.trap];
	}
	r = poke_init(&poke, engine->ops, engine->host, trap ? trap->bytes : NULL, trap ? trap->length : 0,
		      run->intent.sites, run->intent.n_sites);
	if (r < 0) {
		run->report->site = poke.failed_site;
		return run_fail(run, r, ACTION_MALFORMED, run->payload);
	}
	if (!settled) {
		r = payload_fits(run, false);
		if (r < 0)
			return r;
	}
	r = plan_interiors(run);
	if (r == 0)
		r = write_sites(run, &poke, committed);
	if (r < 0)
		return r;
	run->payload->entered = true;
	run->report->text = committed ? ACTION_TEXT_NEW : ACTION_TEXT_SAME;
	if (committed && !settled) {
		(void)payload_fits(run, true);
		take_states(run);
	}
	engine->needs_recovery = false;
	r = engine->ops->settled
		    ? engine->ops->settled(engine->host, &run->intent, committed ? 0 : -CORE_ECANCELED)
		    : 0;
	if (r < 0)
		run_after(run, r, ACTION_JOURNAL, run->payload);
	return 0;
}

int action_recover(struct engine *engine, struct action_intent *intent, bool committed,
		   const struct action_options *options, struct action_report *report)
{
	struct run run;
	struct action_report own;
	int r = run_begin(&run, engine, intent->payload, intent->action, report, &own);
	if (r < 0)
		return r;
	run.intent = *intent;
	r = recover(&run, committed, options);
	if (r == 0 && !committed) {
		/* The action the result speaks of did not happen. */
		run.payload->result =
			(struct action_result){run.kind, -CORE_ECANCELED, ACTION_NEEDS_RECOVERY};
		run_log(&run, run.payload, "undone", 0);
		engine_leave(engine);
		return 0;
	}
	if (r < 0 && run.report->reason == ACTION_MALFORMED &&
	    (run.kind <= ACTION_NONE || run.kind > ACTION_UNLOAD))
		run.kind = ACTION_NONE;
	return run_end(&run, r);
}
