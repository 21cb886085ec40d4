/* SPDX-License-Identifier: MIT */
#include "core/errno.h"
#include "core/engine_internal.h"

int action_upload(struct engine *engine, struct engine_payload *payload, struct action_report *report)
{
	struct run run;
	struct action_report own;
	if (!payload) {
		if (report)
			*report = (struct action_report){
				.error = -CORE_EINVAL, .reason = ACTION_MALFORMED, .site = POKE_NO_SITE};
		return -CORE_EINVAL;
	}
	int r = run_begin(&run, engine, payload, ACTION_UPLOAD, report, &own);
	if (r < 0)
		return r;
	/* One that is in already keeps its state and its result: the second upload is refused, not the first.
	 */
	if (engine_knows(engine, payload)) {
		r = run_fail(&run, -CORE_EEXIST, ACTION_DUPLICATE_NAME, payload);
		run.report->other = payload;
		engine_leave(engine);
		return r;
	}
	payload->state = PAYLOAD_STATE_CHECKED;
	payload->was_applied = payload->switched = payload->entered = false;
	payload->next = payload->below = payload->above = NULL;
	r = engine_check(engine, payload, run.report);
	for (size_t i = 0; r == 0 && engine->ops->has_symbol && i < payload->n_symbols; i++)
		if (engine->ops->has_symbol(engine->host, payload->symbols[i])) {
			run.report->symbol = payload->symbols[i];
			r = run_fail(&run, -CORE_EEXIST, ACTION_DUPLICATE_SYMBOL, payload);
		}
	if (r == 0)
		engine_link(engine, payload);
	if (r < 0 && run.report->reason == ACTION_MALFORMED) {
		/* Not logged: its name may be what is malformed. */
		payload->result = (struct action_result){ACTION_UPLOAD, r, ACTION_MALFORMED};
		engine_leave(engine);
		return r;
	}
	return run_end(&run, r);
}

/* What every action on an uploaded payload asks first. */
static int may(struct run *run, const struct action_options *options, enum payload_state from)
{
	struct engine_payload *payload = run->payload;
	if (!engine_knows(run->engine, payload))
		return run_fail(run, -CORE_ENOENT, ACTION_NOT_FOUND, NULL);
	if (run->engine->needs_recovery)
		return run_fail(run, -CORE_EUCLEAN, ACTION_NEEDS_RECOVERY, payload);
	int r = quiesce_options(run, options);
	if (r < 0)
		return r;
	if (payload->state != from)
		return run_fail(run, -CORE_EINVAL, ACTION_WRONG_STATE, payload);
	return 0;
}

static const struct engine_state *find_state(const struct engine_payload *payload, const char *name)
{
	for (size_t i = 0; i < payload->n_states; i++)
		if (engine_same_name(payload->states[i].name, name))
			return &payload->states[i];
	return NULL;
}

/* Data as those that are applied have made it, this one has to understand. */
static int states_fit(struct run *run)
{
	for (const struct engine_payload *p = run->engine->top; p; p = p->below)
		for (size_t i = 0; i < p->n_states; i++) {
			const struct engine_state *mine = find_state(run->payload, p->states[i].name);
			if (mine ? mine->version >= p->states[i].version : run->kind == ACTION_APPLY)
				continue;
			run->report->other = p;
			run->report->symbol = p->states[i].name;
			return run_fail(run, -CORE_EINVAL, ACTION_STATE, run->payload);
		}
	return 0;
}

static int may_go_on(struct run *run)
{
	struct engine_payload *payload = run->payload;
	const struct engine_payload *top = run->engine->top;
	if (payload->has_writable_data && payload->was_applied)
		return run_fail(run, -CORE_EPERM, ACTION_STALE_DATA, payload);
	/* Also with nodeps: a payload for another build never goes in. */
	if (!engine_same_build_id(&payload->target, &payload->found))
		return run_fail(run, -CORE_EINVAL, ACTION_TARGET_BUILD, payload);
	int r = states_fit(run);
	if (r < 0)
		return r;
	if (run->options.nodeps || payload->depends.size == 0)
		return 0;
	/* What a replacing payload depends on would be taken off by it. */
	if (run->kind == ACTION_APPLY && top && engine_same_build_id(&top->build_id, &payload->depends))
		return 0;
	run->report->other = top;
	return run_fail(run, -CORE_EINVAL, ACTION_DEPENDS, payload);
}

/* Before anything is run or written. */
static int first_checks(struct run *run, const struct action_options *options)
{
	struct engine_payload *payload = run->payload;
	int r = may(run, options, run->kind == ACTION_REVERT ? PAYLOAD_STATE_APPLIED : PAYLOAD_STATE_CHECKED);
	if (r == 0 && (run->kind == ACTION_APPLY || run->kind == ACTION_REPLACE))
		r = may_go_on(run);
	if (r == 0 && run->kind == ACTION_REVERT && run->engine->top != payload) {
		run->report->other = run->engine->top;
		r = run_fail(run, -CORE_EBUSY, ACTION_NOT_ON_TOP, payload);
	}
	return r;
}

int action_check(struct engine *engine, struct engine_payload *payload, enum action_kind kind,
		 const struct action_options *options, struct action_report *report)
{
	struct run run;
	struct action_report own;
	int r = run_begin(&run, engine, payload, kind, report, &own);
	if (r < 0)
		return r;
	r = kind < ACTION_APPLY || kind > ACTION_UNLOAD
		    ? run_fail(&run, -CORE_EINVAL, ACTION_MALFORMED, payload)
		    : first_checks(&run, options);
	engine_leave(engine);
	return r;
}

static void settle(struct run *run, int status)
{
	const struct host_ops *ops = run->engine->ops;
	if (run->report->text == ACTION_TEXT_MIXED) {
		run->engine->needs_recovery = true; /* and the intent stays where it is: it is needed */
		return;
	}
	int r = ops->settled ? ops->settled(run->engine->host, &run->intent, status) : 0;
	if (r < 0)
		run_after(run, r, ACTION_JOURNAL, run->payload);
}

/*
 * The middle of apply, revert and replace, between pre-hooks and post-hooks:
 * 1. By gate: what can be done before anybody is kept waiting.
 * 2. intent is kept, while everybody runs; nothing has been written.
 * 3. Quiescent, or nothing happens.
 * 4. perform: quiescent hooks, the switch, commit.
 * 5. States; they follow commit and nothing else.
 * 6. Release, whatever came out.
 * 7. settled: the states are kept, the intent is forgotten.
 */
static int middle(struct run *run)
{
	int r = quiesce_open(run);
	if (r < 0)
		return r;
	r = perform_intent(run);
	if (r == 0)
		r = quiesce_begin(run);
	if (r == 0) {
		r = run->kind == ACTION_REVERT ? perform_off(run) : perform_on(run);
		if (r == 0 && run->kind == ACTION_APPLY)
			states_apply(run->engine, run->payload, run->intent.switched);
		else if (r == 0 && run->kind == ACTION_REVERT)
			states_revert(run->engine, run->payload);
		else if (r == 0)
			states_replace(run->engine, run->payload, run->intent.switched);
		int released = quiesce_end(run);
		if (released < 0)
			run_after(run, released, ACTION_HOST, run->payload);
	}
	quiesce_close(run);
	settle(run, r);
	return r;
}

int action_apply(struct engine *engine, struct engine_payload *payload, const struct action_options *options,
		 struct action_report *report)
{
	struct run run;
	struct action_report own;
	int r = run_begin(&run, engine, payload, ACTION_APPLY, report, &own);
	if (r < 0)
		return r;
	r = first_checks(&run, options);
	if (r == 0)
		r = plan_apply(&run);
	if (r == 0)
		r = hooks_pre(&run, payload, HOOK_PRE_APPLY);
	if (r == 0) {
		r = middle(&run);
		hooks_after(&run, payload, HOOK_POST_APPLY);
	}
	return run_end(&run, r);
}

int action_revert(struct engine *engine, struct engine_payload *payload, const struct action_options *options,
		  struct action_report *report)
{
	struct run run;
	struct action_report own;
	int r = run_begin(&run, engine, payload, ACTION_REVERT, report, &own);
	if (r < 0)
		return r;
	r = first_checks(&run, options);
	if (r == 0)
		r = plan_revert(&run);
	if (r == 0)
		r = hooks_pre(&run, payload, HOOK_PRE_REVERT);
	if (r == 0) {
		r = middle(&run);
		hooks_after(&run, payload, HOOK_POST_REVERT);
	}
	return run_end(&run, r);
}

/*
 * Pre-hooks: pre-revert of each applied one, from the top down, then the new one's pre-apply. Post-hooks in
 * the same order, for exactly those whose turn had come and who had not said no: what a pre-hook began, its
 * post-hook ends, however the action went.
 */
int action_replace(struct engine *engine, struct engine_payload *payload,
		   const struct action_options *options, struct action_report *report)
{
	struct run run;
	struct action_report own;
	int r = run_begin(&run, engine, payload, ACTION_REPLACE, report, &own);
	if (r < 0)
		return r;
	r = first_checks(&run, options);
	if (r == 0)
		r = plan_replace(&run);
	if (r < 0)
		return run_end(&run, r);

	struct engine_payload *old_top = engine->top, *refuser = old_top;
	bool pre_apply = false;
	for (; refuser; refuser = refuser->below) {
		r = hooks_pre(&run, refuser, HOOK_PRE_REVERT);
		if (r < 0)
			break;
	}
	if (r == 0) {
		r = hooks_pre(&run, payload, HOOK_PRE_APPLY);
		pre_apply = r == 0;
	}
	if (r == 0)
		r = middle(&run);
	/* Those that came off are still linked from the old top down (states_replace()). */
	for (struct engine_payload *p = old_top, *below; p && p != refuser; p = below) {
		below = p->below;
		hooks_after(&run, p, HOOK_POST_REVERT);
		if (r == 0)
			p->below = NULL;
	}
	if (pre_apply)
		hooks_after(&run, payload, HOOK_POST_APPLY);
	return run_end(&run, r);
}

int action_unload(struct engine *engine, struct engine_payload *payload, const struct action_options *options,
		  struct action_report *report)
{
	struct run run;
	struct action_report own;
	int r = run_begin(&run, engine, payload, ACTION_UNLOAD, report, &own);
	if (r < 0)
		return r;
	r = first_checks(&run, options);
	/* Off the text nobody can enter any more; who is inside is waited for. Where nobody has ever been,
	 * nobody is. */
	if (r == 0 && payload->entered && payload->text.start < payload->text.end) {
		if (engine->ranges_max < 2) {
			r = run_fail(&run, -CORE_ENOSPC, ACTION_NO_ROOM, payload);
		} else {
			engine->ranges[run.n_ranges++] = payload->text;
			if (payload->pads.start < payload->pads.end)
				engine->ranges[run.n_ranges++] = payload->pads;
			run.intent = (struct action_intent){.action = run.kind, .payload = payload};
			r = quiesce_open(&run);
		}
		if (r == 0)
			r = quiesce_begin(&run);
		if (r == 0) {
			r = quiesce_end(&run);
			if (r < 0)
				run_fail(&run, r, ACTION_HOST, payload);
		}
		quiesce_close(&run);
	}
	if (r == 0)
		engine_unlink(engine, payload);
	return run_end(&run, r);
}
