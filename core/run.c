/* SPDX-License-Identifier: MIT */
/* The frame of every action: one at a time, a report, and a result that is set when it has ended. */
#include "core/errno.h"
#include "core/engine_internal.h"

int run_begin(struct run *run, struct engine *engine, struct engine_payload *payload, enum action_kind kind,
	      struct action_report *report, struct action_report *own)
{
	*run = (struct run){
		.engine = engine, .payload = payload, .kind = kind, .report = report ? report : own};
	*run->report = (struct action_report){.payload = payload, .site = POKE_NO_SITE};
	/* Not run_fail(): the flag is another action's, and so is the payload's result. */
	if (engine_enter(engine) == 0)
		return 0;
	run->report->reason = ACTION_IN_FLIGHT;
	return run->report->error = -CORE_EBUSY;
}

int run_end(struct run *run, int r)
{
	static const char *const done[] = {
		[ACTION_NONE] = "recover",  [ACTION_UPLOAD] = "upload",	  [ACTION_APPLY] = "apply",
		[ACTION_REVERT] = "revert", [ACTION_REPLACE] = "replace", [ACTION_UNLOAD] = "unload",
	};
	run->report->error = r;
	if (r == 0)
		run->report->reason = ACTION_OK;
	/* A payload that is unknown may not even exist; one that was not taken in is still the host's alone.
	 */
	if (run->report->reason != ACTION_NOT_FOUND) {
		run->payload->result = (struct action_result){run->kind, r, run->report->reason};
		run_log(run, run->payload, done[run->kind], r);
	}
	engine_leave(run->engine);
	return r;
}

int run_fail(struct run *run, int error, enum action_reason reason, const struct engine_payload *payload)
{
	if (run->report->error == 0) {
		run->report->error = error;
		run->report->reason = reason;
		run->report->payload = payload;
	}
	return error;
}

void run_after(struct run *run, int error, enum action_reason reason, const struct engine_payload *payload)
{
	if (run->report->after_error != 0)
		return;
	run->report->after_error = error;
	run->report->after_reason = reason;
	run->report->after_payload = payload;
}

void run_log(const struct run *run, const struct engine_payload *payload, const char *what, int64_t value)
{
	if (run->engine->ops->log)
		run->engine->ops->log(run->engine->host, payload->name, what, value);
}

void run_blame_site(struct run *run, size_t plan_site)
{
	if (plan_site >= run->intent.n_sites)
		return;
	uint64_t address = run->intent.sites[plan_site].address;
	const struct engine_payload *whose = run->payload;
	const struct engine_site *site = engine_site_at(whose, address);
	for (const struct engine_payload *p = run->engine->top; p && !site; p = p->below) {
		whose = p;
		site = engine_site_at(p, address);
	}
	run->report->address = address;
	if (!site)
		return;
	run->report->payload = whose;
	run->report->site = (size_t)(site - whose->sites);
}
