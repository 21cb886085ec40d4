/* SPDX-License-Identifier: MIT */
/*
 * Before anybody is stopped: which bytes become which, and which code must be free for that.
 *
 * Where several applied payloads have a site at one address, the upper one's bytes stand there and each keeps
 * in `saved` what it found. So the bottom one's `saved` is what the target was built with.
 */
#include "core/bytes.h"
#include "core/errno.h"
#include "core/engine_internal.h"

size_t plan_find(const struct poke_site *sites, size_t n, uint64_t address)
{
	size_t low = 0, all = n;
	while (n > 0) {
		size_t half = n / 2;
		if (sites[low + half].address < address) {
			low += half + 1;
			n -= half + 1;
		} else {
			n = half;
		}
	}
	return low < all && sites[low].address == address ? low : POKE_NO_SITE;
}

static int fail_site(struct run *run, int error, enum action_reason reason,
		     const struct engine_payload *payload, const struct engine_site *site)
{
	run->report->site = (size_t)(site - payload->sites);
	run->report->address = site->address;
	return run_fail(run, error, reason, payload);
}

/* What an applied payload has put at the site; *stands NULL: nobody anything. Partly over another's: refused.
 */
static int find_standing(struct run *run, const struct engine_site *site, const uint8_t **stands)
{
	*stands = NULL;
	for (const struct engine_payload *p = run->engine->top; p; p = p->below) {
		const struct engine_site *theirs = p->switched ? engine_shares_bytes(p, site) : NULL;
		if (!theirs)
			continue;
		if (theirs->address != site->address || theirs->length != site->length) {
			run->report->other = p;
			return fail_site(run, -CORE_EEXIST, ACTION_OVERLAP, run->payload, site);
		}
		if (!*stands)
			*stands = theirs->new_bytes;
	}
	return 0;
}

/*
 * What stands at a site of the new payload now, and what stood there before all payloads. Where nobody has a
 * site it is read; anywhere it must be what it should be.
 */
static int find_bytes(struct run *run, const struct engine_site *site, uint8_t *now, uint8_t *pristine)
{
	const uint8_t *stands;
	int r = find_standing(run, site, &stands);
	if (r < 0)
		return r;
	r = run->engine->ops->read(run->engine->host, site->address, now, site->length);
	if (r < 0)
		return fail_site(run, r, ACTION_HOST, run->payload, site);
	bytes_copy(pristine, stands ? engine_pristine(run->engine, site->address) : now, site->length);
	if ((stands && !bytes_equal(now, stands, site->length)) ||
	    (site->has_expected && !bytes_equal(pristine, site->expected, site->length)))
		return fail_site(run, -CORE_EBADMSG, ACTION_EXPECTED_BYTES, run->payload, site);
	return 0;
}

static void set_site(struct poke_site *to, const struct engine_site *site, const uint8_t *from,
		     const uint8_t *into)
{
	*to = (struct poke_site){.address = site->address, .length = site->length, .state = POKE_SITE_OLD};
	bytes_copy(to->old_bytes, from, site->length);
	bytes_copy(to->new_bytes, into, site->length);
}

static int add_range(struct run *run, struct host_range range)
{
	if (range.start >= range.end)
		return 0;
	if (run->n_ranges == run->engine->ranges_max)
		return run_fail(run, -CORE_ENOSPC, ACTION_NO_ROOM, run->payload);
	run->engine->ranges[run->n_ranges++] = range;
	return 0;
}

/* Whoever stands between two of a site's instructions would go on in the middle of what is written there. */
int plan_interiors(struct run *run)
{
	for (size_t i = 0; i < run->intent.n_sites; i++) {
		const struct poke_site *site = &run->intent.sites[i];
		int r = add_range(run, (struct host_range){site->address + 1, site->address + site->length});
		if (r < 0)
			return r;
	}
	return 0;
}

static int add_old_ranges(struct run *run)
{
	int r = 0;
	for (size_t i = 0; r == 0 && i < run->payload->n_old_ranges; i++)
		r = add_range(run, run->payload->old_ranges[i]);
	return r;
}

static bool has_common_site(const struct engine_payload *a, const struct engine_payload *b)
{
	for (size_t i = 0; i < a->n_sites; i++)
		if (engine_site_at(b, a->sites[i].address))
			return true;
	return false;
}

static void start(struct run *run)
{
	run->n_ranges = 0;
	run->intent = (struct action_intent){.action = run->kind,
					     .mode = run->options.mode,
					     .payload = run->payload,
					     .switched = run->kind != ACTION_REVERT,
					     .sites = run->engine->sites};
}

int plan_apply(struct run *run)
{
	struct engine_payload *payload = run->payload;
	start(run);
	if (payload->n_sites > run->engine->sites_max)
		return run_fail(run, -CORE_ENOSPC, ACTION_NO_ROOM, payload);
	for (size_t i = 0; i < payload->n_sites; i++) {
		struct engine_site *site = &payload->sites[i];
		uint8_t now[POKE_LENGTH_MAX], pristine[POKE_LENGTH_MAX];
		int r = find_bytes(run, site, now, pristine);
		if (r < 0)
			return r;
		bytes_copy(site->saved, now, site->length);
		set_site(&run->intent.sites[run->intent.n_sites++], site, now, site->new_bytes);
	}
	int r = plan_interiors(run);
	if (r < 0 || run->options.consistency == ACTION_CONSISTENCY_NONE)
		return r;
	r = add_old_ranges(run);
	for (const struct engine_payload *p = run->engine->top; r == 0 && p; p = p->below)
		if (p->switched && has_common_site(payload, p))
			r = add_range(run, p->text);
	return r;
}

int plan_revert(struct run *run)
{
	struct engine_payload *payload = run->payload;
	start(run);
	if (payload->switched) {
		if (payload->n_sites > run->engine->sites_max)
			return run_fail(run, -CORE_ENOSPC, ACTION_NO_ROOM, payload);
		for (size_t i = 0; i < payload->n_sites; i++) {
			struct engine_site *site = &payload->sites[i];
			set_site(&run->intent.sites[run->intent.n_sites++], site, site->new_bytes,
				 site->saved);
		}
	}
	int r = plan_interiors(run);
	if (r == 0 && run->options.consistency == ACTION_CONSISTENCY_GLOBAL)
		r = add_range(run, payload->text);
	return r < 0 ? r : plan_expect_old(run);
}

/*
 * Merges a payload's sites into the plan of a replace, which holds those of the payloads below it. Going off:
 * at a new address from its bytes back to what it saved; at a known one only its bytes now stand there. Going
 * on: its bytes are the new ones (its `saved` is set already). Both lists are sorted; from the back, so that
 * nothing is overwritten that is still to be read.
 */
static int merge(struct run *run, const struct engine_payload *p, bool goes_on)
{
	struct poke_site *sites = run->intent.sites;
	size_t n = run->intent.n_sites, added = 0;
	for (size_t i = 0; i < p->n_sites; i++)
		added += plan_find(sites, n, p->sites[i].address) == POKE_NO_SITE;
	if (added > run->engine->sites_max - n)
		return run_fail(run, -CORE_ENOSPC, ACTION_NO_ROOM, run->payload);
	run->intent.n_sites = n + added;
	size_t to = n + added, from = n, left = p->n_sites;
	while (left > 0) {
		const struct engine_site *site = &p->sites[left - 1];
		if (from > 0 && sites[from - 1].address > site->address) {
			sites[--to] = sites[--from];
			continue;
		}
		left--;
		if (from > 0 && sites[from - 1].address == site->address) {
			sites[--to] = sites[--from];
			bytes_copy(goes_on ? sites[to].new_bytes : sites[to].old_bytes, site->new_bytes,
				   site->length);
		} else if (goes_on) {
			set_site(&sites[--to], site, site->saved, site->new_bytes);
		} else {
			set_site(&sites[--to], site, site->new_bytes, site->saved);
		}
	}
	return 0;
}

int plan_replace(struct run *run)
{
	struct engine_payload *payload = run->payload;
	int r = 0;
	start(run);
	for (size_t i = 0; i < payload->n_sites; i++) {
		struct engine_site *site = &payload->sites[i];
		uint8_t now[POKE_LENGTH_MAX], pristine[POKE_LENGTH_MAX];
		r = find_bytes(run, site, now, pristine);
		if (r < 0)
			return r;
		bytes_copy(site->saved, pristine, site->length);
	}
	for (const struct engine_payload *p = run->engine->bottom; r == 0 && p; p = p->above)
		if (p->switched)
			r = merge(run, p, false);
	if (r == 0)
		r = merge(run, payload, true);
	if (r == 0)
		r = plan_interiors(run);
	if (r == 0 && run->options.consistency == ACTION_CONSISTENCY_GLOBAL) {
		r = add_old_ranges(run);
		for (const struct engine_payload *p = run->engine->top; r == 0 && p; p = p->below)
			r = add_range(run, p->text);
	}
	return r < 0 ? r : plan_expect_old(run);
}

void plan_without_payload(struct run *run)
{
	run->intent.switched = false;
	if (run->kind == ACTION_APPLY)
		run->intent.n_sites = 0;
	for (size_t i = 0; i < run->intent.n_sites; i++) {
		struct poke_site *site = &run->intent.sites[i];
		const struct engine_site *ours = engine_site_at(run->payload, site->address);
		if (ours)
			bytes_copy(site->new_bytes, ours->saved, site->length);
	}
}

int plan_expect_old(struct run *run)
{
	for (size_t i = 0; i < run->intent.n_sites; i++) {
		const struct poke_site *site = &run->intent.sites[i];
		uint8_t now[POKE_LENGTH_MAX];
		int r = run->engine->ops->read(run->engine->host, site->address, now, site->length);
		enum action_reason reason = ACTION_HOST;
		if (r == 0 && !bytes_equal(now, site->old_bytes, site->length)) {
			r = -CORE_EBADMSG;
			reason = ACTION_EXPECTED_BYTES;
		}
		if (r < 0) {
			run_blame_site(run, i);
			return run_fail(run, r, reason, run->report->payload);
		}
	}
	return 0;
}
