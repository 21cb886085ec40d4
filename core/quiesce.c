/* SPDX-License-Identifier: MIT */
/*
 * Becoming quiescent: stop everybody (or raise the gate, gate.c), look, and if somebody is inside let them
 * run on and try again, until the overall deadline. Each try has its own, shorter deadline.
 */
#include "core/errno.h"
#include "core/engine_internal.h"

static uint64_t later(uint64_t from, uint64_t ns)
{
	return ns > UINT64_MAX - from ? UINT64_MAX : from + ns;
}

int quiesce_options(struct run *run, const struct action_options *options)
{
	struct action_options *o = &run->options;
	if (options)
		*o = *options;
	if (o->try_ns == 0)
		o->try_ns = ACTION_TRY_DEFAULT_NS;
	if (o->overall_ns == 0)
		o->overall_ns = ACTION_OVERALL_DEFAULT_NS;
	if ((o->mode != ACTION_MODE_RENDEZVOUS && o->mode != ACTION_MODE_GATE) ||
	    (o->consistency != ACTION_CONSISTENCY_GLOBAL && o->consistency != ACTION_CONSISTENCY_NONE))
		return run_fail(run, -CORE_EINVAL, ACTION_BAD_OPTION, run->payload);
	if (o->try_ns < ACTION_TRY_MIN_NS || o->try_ns > ACTION_TRY_MAX_NS ||
	    o->overall_ns < ACTION_OVERALL_MIN_NS || o->overall_ns > ACTION_OVERALL_MAX_NS)
		return run_fail(run, -CORE_ERANGE, ACTION_BAD_OPTION, run->payload);
	if (o->mode == ACTION_MODE_GATE && !run->engine->ops->gate_open)
		return run_fail(run, -CORE_ENOTSUP, ACTION_BAD_OPTION, run->payload);
	run->report->mode = o->mode;
	return 0;
}

static bool needs_world(const struct engine_payload *payload)
{
	return payload->hooks[HOOK_LOAD] || payload->hooks[HOOK_UNLOAD] || payload->hooks[HOOK_APPLY] ||
	       payload->hooks[HOOK_REVERT];
}

/* Hooks of these kinds run with all cores standing still. */
static bool has_quiescent_hooks(const struct run *run)
{
	bool needs = needs_world(run->payload);
	if (run->kind == ACTION_REPLACE)
		for (const struct engine_payload *p = run->engine->top; p; p = p->below)
			needs |= needs_world(p);
	return needs;
}

static void take_rendezvous(struct run *run)
{
	run->options.mode = run->intent.mode = run->report->mode = ACTION_MODE_RENDEZVOUS;
}

int quiesce_open(struct run *run)
{
	struct engine *engine = run->engine;
	if (run->options.mode == ACTION_MODE_GATE && run->kind != ACTION_UNLOAD && has_quiescent_hooks(run))
		take_rendezvous(run);
	if (run->options.mode != ACTION_MODE_GATE)
		return 0;
	int r = engine->ops->gate_open(engine->host, &run->intent, engine->ranges, run->n_ranges);
	if (r == -CORE_ENOTSUP) {
		run_log(run, run->payload, "no gate, rendezvous instead", 0);
		take_rendezvous(run);
		return 0;
	}
	if (r < 0)
		return run_fail(run, r, ACTION_HOST, run->payload);
	run->gate_open = true;
	return 0;
}

void quiesce_close(struct run *run)
{
	if (!run->gate_open)
		return;
	run->gate_open = false;
	int r = run->engine->ops->gate_close(run->engine->host);
	if (r < 0)
		run_after(run, r, ACTION_HOST, run->payload);
}

/*
 * 1. stop: all cores stand still, or nobody was stopped.
 * 2. quiescent: nobody is inside. Not known is not free: any other error ends the action.
 * 3. Somebody is: release, and say so.
 */
static int try_once(struct run *run, uint64_t deadline_ns, enum action_reason *why)
{
	const struct host_ops *ops = run->engine->ops;
	void *host = run->engine->host;

	if (run->options.mode == ACTION_MODE_GATE)
		return gated_try(run, deadline_ns, why);
	run->report->tries++;
	run->stop_began_ns = ops->now_ns(host);
	int r = ops->stop(host, deadline_ns);
	if (r < 0) {
		*why = r == -CORE_ETIMEDOUT || r == -CORE_EAGAIN ? ACTION_NOT_STOPPED : ACTION_HOST;
		return r;
	}
	r = ops->quiescent(host, run->engine->ranges, run->n_ranges, deadline_ns);
	if (r == 0)
		return 0;
	*why = r == -CORE_EAGAIN ? ACTION_NOT_QUIESCENT : ACTION_HOST;
	int released = quiesce_end(run);
	if (released < 0) {
		*why = ACTION_HOST;
		r = released;
	}
	return r;
}

int quiesce_begin(struct run *run)
{
	const struct host_ops *ops = run->engine->ops;
	void *host = run->engine->host;
	uint64_t now = ops->now_ns(host);
	uint64_t overall = later(now, run->options.overall_ns);
	uint64_t pause = ACTION_PAUSE_FIRST_NS;

	for (;;) {
		enum action_reason why;
		uint64_t deadline = later(now, run->options.try_ns);
		int r = try_once(run, deadline < overall ? deadline : overall, &why);
		if (r == 0)
			return 0;
		if (why != ACTION_NOT_STOPPED && why != ACTION_NOT_QUIESCENT)
			return run_fail(run, r, why, run->report->payload);
		run_log(run, run->payload,
			why == ACTION_NOT_STOPPED ? "not stopped, try" : "somebody inside, try",
			run->report->tries);
		now = ops->now_ns(host);
		/* A try that would begin at the deadline is none. */
		if (now >= overall || overall - now <= pause)
			return run_fail(run, -CORE_EBUSY, why, run->payload);
		r = ops->pause(host, pause);
		if (r < 0)
			return run_fail(run, r, ACTION_HOST, run->payload);
		now = ops->now_ns(host);
		if (now >= overall)
			return run_fail(run, -CORE_EBUSY, why, run->payload);
		pause = pause > ACTION_PAUSE_LAST_NS / 2 ? ACTION_PAUSE_LAST_NS : 2 * pause;
	}
}

int quiesce_end(struct run *run)
{
	if (run->options.mode == ACTION_MODE_GATE)
		return gated_let_go(run);
	int r = run->engine->ops->release(run->engine->host);
	run->report->stopped_ns = run->engine->ops->now_ns(run->engine->host) - run->stop_began_ns;
	return r;
}
