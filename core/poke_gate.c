/* SPDX-License-Identifier: MIT */
/*
 * The batch while cores run. At any moment a core may hold bytes fetched before the last sync; so between two
 * syncs the bytes at a site may change in one step only whose before and after are both fit to be run:
 *
 *     old | old tail      whole old instructions
 *     TRAP| old tail      a trap: nothing behind it is fetched as an instruction
 *     TRAP| new tail      a trap likewise
 *     new | new tail      whole new instructions
 *
 * A step is made at all sites, then one sync closes it for all: that is why n sites cost three syncs, not 3n.
 */
#include "core/bytes.h"
#include "core/errno.h"
#include "core/poke_internal.h"

#define WRITES 32 /* handed to the host at once: some 2 KB of stack */

static bool has_tail(const struct poke *poke, const struct poke_site *site)
{
	return site->length > poke->trap_length;
}

static int write_first(struct poke *poke, struct poke_site *site, const uint8_t *expected,
		       const uint8_t *bytes, enum poke_site_state then)
{
	uint8_t found[POKE_LENGTH_MAX];
	int r = poke_write(poke, site->address, expected, bytes, poke->trap_length);
	if (r == 0)
		site->state = (uint8_t)then;
	else
		poke_look_ours(poke, site, found);
	return r;
}

static int write_tail(struct poke *poke, struct poke_site *site, const uint8_t *expected,
		      const uint8_t *bytes, enum poke_site_state then)
{
	uint8_t found[POKE_LENGTH_MAX];
	size_t first = poke->trap_length;
	int r = poke_write(poke, site->address + first, expected + first, bytes + first,
			   site->length - first);
	if (r == 0)
		site->state = (uint8_t)then;
	else
		poke_look_ours(poke, site, found);
	return r;
}

/* One step of the batch, at every site. */
enum step {
	TRAPS,	/* old first byte -> trap */
	TAILS,	/* old tail -> new tail, where there is one */
	FIRSTS, /* trap -> new first byte */
};

static const enum poke_site_state state_after[] = {
	[TRAPS] = POKE_SITE_TRAP_OLD, [TAILS] = POKE_SITE_TRAP_NEW, [FIRSTS] = POKE_SITE_NEW};

static struct host_write step_write(const struct poke *poke, const struct poke_site *site, enum step step)
{
	size_t first = poke->trap_length;
	switch (step) {
	case TRAPS:
		return (struct host_write){site->address, site->old_bytes, poke->trap, first};
	case TAILS:
		return (struct host_write){site->address + first, site->old_bytes + first,
					   site->new_bytes + first, site->length - first};
	default:
		return (struct host_write){site->address, poke->trap, site->new_bytes, first};
	}
}

/* From a host's write of some sites, these are indexes of: who was written is known, the others are looked at. */
static int write_some(struct poke *poke, enum step step, const struct host_write *v, const size_t *indexes,
		      size_t n)
{
	uint8_t found[POKE_LENGTH_MAX];
	size_t done = 0;
	int r = poke->ops->write(poke->host, v, n, &done);
	for (size_t i = 0; i < n; i++) {
		struct poke_site *site = &poke->sites[indexes[i]];
		if (r == 0 || i < done)
			site->state = (uint8_t)state_after[step];
		else
			poke_look_ours(poke, site, found);
	}
	if (r < 0)
		poke_failed_at(poke, indexes[done < n ? done : n - 1]);
	return r;
}

static int write_all(struct poke *poke, enum step step)
{
	struct host_write v[WRITES];
	size_t indexes[WRITES], n = 0;
	int r = 0;
	for (size_t i = 0; i < poke->n && r == 0; i++) {
		if (step == TAILS && !has_tail(poke, &poke->sites[i]))
			continue;
		v[n] = step_write(poke, &poke->sites[i], step);
		indexes[n++] = i;
		if (n == WRITES) {
			r = write_some(poke, step, v, indexes, n);
			n = 0;
		}
	}
	return r == 0 && n > 0 ? write_some(poke, step, v, indexes, n) : r;
}

/*
 * Back from TRAP_NEW, TRAP_TORN, TRAP_OLD to OLD: the steps of the batch in reverse.
 *   1. tails back, under the traps; sync: no core may fetch a new tail behind the old first byte of 2.
 *   2. first bytes back; sync: no core may fetch a trap that nobody will know any more.
 * tails: a tail may have been written even if none looks so now, so 1 has its sync in any case.
 * If the sync of 1 fails, 2 is not done: the gate stays up, which is safe for as long as somebody serves it.
 */
static int undo(struct poke *poke, bool tails)
{
	bool firsts = false, left = false;

	for (size_t i = 0; i < poke->n; i++) {
		struct poke_site *site = &poke->sites[i];
		uint8_t found[POKE_LENGTH_MAX];
		if (site->state != POKE_SITE_TRAP_NEW && site->state != POKE_SITE_TRAP_TORN)
			continue;
		tails = true;
		enum poke_site_state state = poke_look_ours(poke, site, found);
		if (state == POKE_SITE_TRAP_NEW || state == POKE_SITE_TRAP_TORN)
			write_tail(poke, site, found, site->old_bytes, POKE_SITE_TRAP_OLD);
	}
	if (tails) {
		int r = poke_sync(poke);
		if (r < 0) {
			poke->phase = POKE_MIXED;
			return r;
		}
	}
	for (size_t i = 0; i < poke->n; i++) {
		struct poke_site *site = &poke->sites[i];
		if (site->state == POKE_SITE_TRAP_OLD) {
			firsts = true;
			write_first(poke, site, poke->trap, site->old_bytes, POKE_SITE_OLD);
		}
		left |= site->state != POKE_SITE_OLD;
	}
	poke->phase = left ? POKE_MIXED : POKE_BACK;
	int r = firsts ? poke_sync(poke) : 0;
	return left ? -CORE_EIO : r;
}

/*
 * Some first bytes are new already: traps over them again; sync. Sites whose first byte is still a trap are
 * in step with them then. Not further: a core may stand between two new instructions of a site, so the host
 * drains first.
 */
static int gate_again(struct poke *poke)
{
	bool left = false;
	for (size_t i = 0; i < poke->n; i++) {
		struct poke_site *site = &poke->sites[i];
		if (site->state == POKE_SITE_NEW)
			write_first(poke, site, site->new_bytes, poke->trap,
				    has_tail(poke, site) ? POKE_SITE_TRAP_NEW : POKE_SITE_TRAP_OLD);
		left |= site->state == POKE_SITE_NEW || site->state == POKE_SITE_UNKNOWN;
	}
	int r = poke_sync(poke);
	poke->phase = left || r < 0 ? POKE_MIXED : POKE_GATED;
	return r;
}

/*
 * 1. Every site is read first: all hold their old bytes, or nothing is written.
 * 2. The vector is published: from now on a trap is found by poke_find_trap().
 * 3. A trap on every site.
 * 4. Sync 1. Pairs with every core's fetch of a site: from here on it fetches the trap, so nobody enters and
 * nobody looks at the tails, which may change.
 */
int poke_gate(struct poke *poke)
{
	if (poke->phase != POKE_READY || poke->trap_length == 0)
		return -CORE_EINVAL;
	for (size_t i = 0; i < poke->n; i++) {
		/* A trap that is part of the old or new code could not be told from the gate's. */
		if (bytes_equal(poke->sites[i].old_bytes, poke->trap, poke->trap_length) ||
		    bytes_equal(poke->sites[i].new_bytes, poke->trap, poke->trap_length)) {
			poke_failed_at(poke, i);
			return -CORE_EINVAL;
		}
	}
	int r = poke_expect_old(poke);
	if (r < 0)
		return r;
	/* Pairs with the acquire load in poke_find_trap(). */
	__atomic_store_n(&poke->published, poke->n, __ATOMIC_RELEASE);
	r = write_all(poke, TRAPS);
	if (r < 0) {
		undo(poke, false);
		return r;
	}
	r = poke_sync(poke);
	if (r < 0) {
		/* Only first bytes were written, so no tail hangs on this sync. */
		poke->stale = false;
		undo(poke, false);
		return r;
	}
	poke->phase = POKE_GATED;
	return 0;
}

/*
 * The gate is up (sync 1) and drained: no core is inside a site.
 * 1. The tails, under the traps.
 * 2. Sync 2. Pairs with the fetch behind a first byte: who will fetch a new first byte (poke_firsts())
 * fetches the new tail too. Without it a core could run a new first byte with an old tail. No site has a
 * tail: neither 1 nor 2.
 */
int poke_tails(struct poke *poke)
{
	if (poke->phase != POKE_GATED || poke->stale)
		return -CORE_EINVAL;
	bool tails = false;
	for (size_t i = 0; i < poke->n; i++) {
		const struct poke_site *site = &poke->sites[i];
		if (site->state != POKE_SITE_TRAP_OLD)
			return -CORE_EINVAL; /* gated again after a failure: only poke_abort() leads out */
		tails |= has_tail(poke, site);
	}
	int r = write_all(poke, TAILS);
	if (r < 0) {
		undo(poke, true);
		return r;
	}
	if (tails) {
		r = poke_sync(poke);
		if (r < 0) {
			poke->stale = false; /* the traps cover the tails; undo() syncs itself */
			undo(poke, true);
			return r;
		}
	}
	return 0;
}

/*
 * 3. The first bytes. From the first of them on new code runs.
 * 4. Sync 3. Pairs with the fetch of the first byte: no core fetches a trap of ours any more, the vector may
 * go.
 */
int poke_firsts(struct poke *poke)
{
	if (poke->phase != POKE_GATED || poke->stale)
		return -CORE_EINVAL;
	for (size_t i = 0; i < poke->n; i++) {
		const struct poke_site *site = &poke->sites[i];
		if (site->state != (has_tail(poke, site) ? POKE_SITE_TRAP_NEW : POKE_SITE_TRAP_OLD))
			return -CORE_EINVAL;
	}
	int r = write_all(poke, FIRSTS);
	if (r < 0) {
		gate_again(poke);
		return r;
	}
	r = poke_sync(poke);
	if (r < 0) {
		gate_again(poke);
		return r;
	}
	poke->phase = POKE_DONE;
	return 0;
}

int poke_switch(struct poke *poke)
{
	int r = poke_tails(poke);
	return r < 0 ? r : poke_firsts(poke);
}

int poke_abort(struct poke *poke)
{
	if (poke->phase != POKE_GATED && poke->phase != POKE_MIXED)
		return -CORE_EINVAL;
	for (size_t i = 0; i < poke->n; i++) {
		if (poke->sites[i].state != POKE_SITE_NEW)
			continue;
		int r = gate_again(poke);
		return r < 0 ? r : poke->phase == POKE_GATED ? -CORE_EAGAIN : -CORE_EIO;
	}
	/* The traps themselves must have arrived everywhere before a tail may change under them. */
	if (poke->stale) {
		int r = poke_sync(poke);
		if (r < 0)
			return r;
	}
	return undo(poke, false);
}

void poke_retire(struct poke *poke)
{
	/* Release: the batch is at rest before the look-up goes dark. Handlers already inside are the host's
	 * to wait for. */
	__atomic_store_n(&poke->published, 0, __ATOMIC_RELEASE);
}
