/* SPDX-License-Identifier: MIT */
/*
 * The batch when no core runs: whole sites one after the other, one sync. No trap byte is ever in the text
 * here, on purpose: nothing in the target knows here what a trap of ours means, so a controller that is
 * killed in the middle must not leave one behind, it would kill the target. Whole sites are the lesser evil:
 * killed between two of them, each function is wholly old or wholly new, and the next command finishes or
 * undoes it.
 */
#include "core/errno.h"
#include "core/poke_internal.h"

/* Puts a site to its old or new bytes, whatever of ours stands there. */
static int put(struct poke *poke, struct poke_site *site, const uint8_t *expected, bool forward)
{
	uint8_t bytes[POKE_LENGTH_MAX];
	const uint8_t *wanted = forward ? site->new_bytes : site->old_bytes;
	int r = poke_write(poke, site->address, expected, wanted, site->length);
	if (r == 0)
		site->state = forward ? POKE_SITE_NEW : POKE_SITE_OLD;
	else
		poke_look_ours(poke, site, bytes);
	return r;
}

/* Everything that is not old goes back to old; later sites first. */
static void undo(struct poke *poke)
{
	bool wrote = false, left = false;
	for (size_t i = poke->n; i-- > 0;) {
		struct poke_site *site = &poke->sites[i];
		uint8_t bytes[POKE_LENGTH_MAX];
		if (site->state == POKE_SITE_OLD)
			continue;
		wrote = true;
		/* Read afresh: what a failed write left is known by looking only. */
		enum poke_site_state state = poke_look_ours(poke, site, bytes);
		if (state == POKE_SITE_NEW || state == POKE_SITE_TORN)
			put(poke, site, bytes, false);
		left |= site->state != POKE_SITE_OLD;
	}
	poke->phase = left ? POKE_MIXED : POKE_BACK;
	if (wrote || poke->stale)
		poke_sync(poke); /* its failure stays visible in poke->stale */
}

int poke_stopped(struct poke *poke)
{
	if (poke->phase != POKE_READY)
		return -CORE_EINVAL;
	int r = poke_expect_old(poke);
	if (r < 0)
		return r;
	for (size_t i = 0; i < poke->n; i++) {
		r = put(poke, &poke->sites[i], poke->sites[i].old_bytes, true);
		if (r < 0) {
			poke_failed_at(poke, i);
			undo(poke);
			return r;
		}
	}
	/* Pairs with the fetches of the released cores: what they run from now on was fetched after the
	 * writes. */
	r = poke_sync(poke);
	if (r < 0) {
		undo(poke);
		return r;
	}
	poke->phase = POKE_DONE;
	return 0;
}

int poke_stopped_undo(struct poke *poke)
{
	if (poke->phase != POKE_DONE)
		return -CORE_EINVAL;
	undo(poke);
	if (poke->phase == POKE_MIXED || poke->stale)
		return -CORE_EIO;
	return 0;
}

int poke_recover(struct poke *poke, bool forward)
{
	uint8_t bytes[POKE_LENGTH_MAX];
	int result = 0;

	for (size_t i = 0; i < poke->n; i++) {
		struct poke_site *site = &poke->sites[i];
		site->state =
			(uint8_t)poke_look(poke->ops, poke->host, site, poke->trap, poke->trap_length, bytes);
		if (site->state == POKE_SITE_UNKNOWN) {
			poke_failed_at(poke, i);
			result = -CORE_EBADMSG;
		}
	}
	if (result < 0) {
		poke->phase = POKE_MIXED;
		return result;
	}
	enum poke_site_state wanted = forward ? POKE_SITE_NEW : POKE_SITE_OLD;
	bool left = false;
	for (size_t i = 0; i < poke->n; i++) {
		struct poke_site *site = &poke->sites[i];
		if (site->state == (uint8_t)wanted)
			continue;
		int r = -CORE_EBADMSG;
		site->state =
			(uint8_t)poke_look(poke->ops, poke->host, site, poke->trap, poke->trap_length, bytes);
		if (site->state != POKE_SITE_UNKNOWN)
			r = put(poke, site, bytes, forward);
		if (r < 0) {
			left = true;
			poke_failed_at(poke, i);
			result = result < 0 ? result : r;
		}
	}
	poke->phase = left ? POKE_MIXED : forward ? POKE_DONE : POKE_BACK;
	/* Also with nothing written: the one who died may have written without a sync. */
	int r = poke_sync(poke);
	return result < 0 ? result : r;
}
