/* SPDX-License-Identifier: MIT */
#include "core/bytes.h"
#include "core/errno.h"
#include "core/engine_internal.h"

static const char *const names[HOOK_KINDS] = {
	[HOOK_LOAD] = "load hook",
	[HOOK_UNLOAD] = "unload hook",
	[HOOK_PRE_APPLY] = "pre-apply hook",
	[HOOK_POST_APPLY] = "post-apply hook",
	[HOOK_PRE_REVERT] = "pre-revert hook",
	[HOOK_POST_REVERT] = "post-revert hook",
	[HOOK_APPLY] = "apply hook",
	[HOOK_REVERT] = "revert hook",
};

static int call(struct run *run, struct engine_payload *payload, enum hook_kind kind, size_t index,
		int *result)
{
	const struct host_ops *ops = run->engine->ops;
	*result = 0;
	payload->entered = true;
	int r = ops->hook ? ops->hook(run->engine->host, payload, kind, index, result) : -CORE_ENOTSUP;
	run_log(run, payload, names[kind], r < 0 ? r : *result);
	return r;
}

static int fail(struct run *run, int error, enum action_reason reason, const struct engine_payload *payload,
		enum hook_kind kind, size_t index, int result)
{
	if (run->report->error == 0) {
		run->report->hook = kind;
		run->report->hook_index = index;
		run->report->hook_result = result;
	}
	return run_fail(run, error, reason, payload);
}

int hooks_pre(struct run *run, struct engine_payload *payload, enum hook_kind kind)
{
	int result;
	if (payload->hooks[kind] == 0)
		return 0;
	int r = call(run, payload, kind, 0, &result);
	if (r < 0)
		return fail(run, r, ACTION_HOOK_FAILED, payload, kind, 0, 0);
	if (result != 0)
		return fail(run, -CORE_ECANCELED, ACTION_VETO, payload, kind, 0, result);
	return 0;
}

int hooks_each(struct run *run, struct engine_payload *payload, enum hook_kind kind)
{
	for (size_t i = 0; i < payload->hooks[kind]; i++) {
		int result;
		int r = call(run, payload, kind, i, &result);
		if (r < 0)
			return fail(run, r, ACTION_HOOK_FAILED, payload, kind, i, 0);
	}
	return 0;
}

void hooks_after(struct run *run, struct engine_payload *payload, enum hook_kind kind)
{
	for (size_t i = 0; i < payload->hooks[kind]; i++) {
		int result;
		int r = call(run, payload, kind, i, &result);
		if (r < 0)
			run_after(run, r, ACTION_HOOK_FAILED, payload);
	}
}

/*
 * What the hook did to one site of the plan: 0 nothing, 1 switched it as it may, -CORE_EIO anything else, or
 * the host's error. It is left with its old bytes in every case but a host's error.
 */
static int look_and_put_back(struct run *run, const struct engine_payload *payload, enum hook_kind kind,
			     size_t i)
{
	const struct host_ops *ops = run->engine->ops;
	const struct poke_site *site = &run->intent.sites[i];
	const struct engine_site *ours = engine_site_at(payload, site->address);
	uint8_t now[POKE_LENGTH_MAX];

	int r = ops->read(run->engine->host, site->address, now, site->length);
	if (r < 0 || bytes_equal(now, site->old_bytes, site->length))
		return r;
	/* The old bytes were there when the cores stood still already (hooks_action()), so the hook wrote
	 * these. */
	const struct host_write back = {site->address, now, site->old_bytes, site->length};
	size_t done;
	r = ops->write(run->engine->host, &back, 1, &done);
	if (r < 0)
		return r;
	bool may = ours && bytes_equal(now, kind == HOOK_APPLY ? ours->new_bytes : ours->saved, site->length);
	return may ? 1 : -CORE_EIO;
}

/* Whether the payload's own bytes are to be seen at this site, that is, no payload above it covers them. */
static bool shows(const struct run *run, const struct engine_payload *payload, enum hook_kind kind, size_t i)
{
	const struct poke_site *site = &run->intent.sites[i];
	const struct engine_site *ours = engine_site_at(payload, site->address);
	return ours && (kind == HOOK_APPLY || bytes_equal(site->old_bytes, ours->new_bytes, site->length));
}

int hooks_action(struct run *run, struct engine_payload *payload, enum hook_kind kind, bool *did)
{
	int result;
	*did = true;
	if (payload->hooks[kind] == 0)
		return 0;
	int r = plan_expect_old(run);
	if (r < 0)
		return r;
	r = call(run, payload, kind, 0, &result);
	if (r < 0)
		fail(run, r, ACTION_HOOK_FAILED, payload, kind, 0, 0);
	else if (result != 0)
		r = fail(run, -CORE_ECANCELED, ACTION_HOOK_FAILED, payload, kind, 0, result);

	size_t switched = 0, not_switched = 0;
	bool wrote = false;
	for (size_t i = 0; i < run->intent.n_sites; i++) {
		int found = look_and_put_back(run, payload, kind, i);
		wrote |= found == 1 || found == -CORE_EIO;
		if (found == 1)
			switched++;
		else if (found == 0)
			not_switched += shows(run, payload, kind, i);
		if (found >= 0)
			continue;
		run_blame_site(run, i);
		fail(run, found, ACTION_HOOK_LEFT_MIXED, payload, kind, 0, result);
		r = r < 0 ? r : found;
		if (found != -CORE_EIO)
			run->report->text = ACTION_TEXT_MIXED;
	}
	if (r == 0 && switched > 0 && not_switched > 0)
		r = fail(run, -CORE_EIO, ACTION_HOOK_LEFT_MIXED, payload, kind, 0, result);
	if (r < 0 && wrote && run->engine->ops->sync(run->engine->host) < 0)
		run->report->unsynced = true;
	*did = not_switched == 0;
	return r;
}
