/* SPDX-License-Identifier: MIT */
#include "core/poke.h"

#include "core/bytes.h"
#include "core/errno.h"
#include "core/poke_internal.h"

#define PAGE 4096 /* the smallest there is: every page boundary is a multiple of it */

int poke_check(const struct poke_site *sites, size_t n, size_t trap_length, size_t *bad)
{
	size_t ignored;
	if (!bad)
		bad = &ignored;
	*bad = POKE_NO_SITE;
	if (n > POKE_SITES_MAX)
		return -CORE_E2BIG;
	for (size_t i = 0; i < n; i++) {
		const struct poke_site *site = &sites[i];
		*bad = i;
		if (site->length == 0 || site->length > POKE_LENGTH_MAX || site->length < trap_length)
			return -CORE_EINVAL;
		if (site->address > UINT64_MAX - site->length)
			return -CORE_EOVERFLOW;
		if (i == 0)
			continue;
		if (site->address < site[-1].address)
			return -CORE_EINVAL;
		if (site->address < site[-1].address + site[-1].length)
			return -CORE_EEXIST;
	}
	*bad = POKE_NO_SITE;
	return 0;
}

int poke_init(struct poke *poke, const struct host_ops *ops, void *host, const uint8_t *trap,
	      size_t trap_length, struct poke_site *sites, size_t n)
{
	*poke = (struct poke){.ops = ops, .host = host, .sites = sites, .failed_site = POKE_NO_SITE};
	if (trap) {
		if (trap_length == 0 || trap_length > POKE_TRAP_MAX)
			return -CORE_EINVAL;
		for (size_t i = 0; i < trap_length; i++)
			poke->trap[i] = trap[i];
		poke->trap_length = (uint8_t)trap_length;
	}
	int r = poke_check(sites, n, poke->trap_length, &poke->failed_site);
	if (r < 0)
		return r; /* with n 0: nothing can be written through it */
	poke->n = n;
	for (size_t i = 0; i < n; i++)
		sites[i].state = POKE_SITE_OLD;
	return 0;
}

/* Whether bytes[from..length) are the first part of a and then the rest of b, cut at a page boundary. */
static bool cut_at_page(const struct poke_site *site, const uint8_t *bytes, size_t from, const uint8_t *a,
			const uint8_t *b)
{
	size_t cut = PAGE - site->address % PAGE;
	return cut > from && cut < site->length && bytes_equal(bytes + from, a + from, cut - from) &&
	       bytes_equal(bytes + cut, b + cut, site->length - cut);
}

/* Whether each of bytes[from..length) is old or new. */
static bool each_old_or_new(const struct poke_site *site, const uint8_t *bytes, size_t from)
{
	for (size_t i = from; i < site->length; i++)
		if (bytes[i] != site->old_bytes[i] && bytes[i] != site->new_bytes[i])
			return false;
	return true;
}

/*
 * How a torn write may look. In an earlier controller it was cut by its death, which the kernel allows
 * between pages only; one that failed under our own hands may have stopped anywhere.
 */
static bool torn(const struct poke_site *site, const uint8_t *bytes, size_t from, bool ours)
{
	if (ours)
		return each_old_or_new(site, bytes, from);
	return cut_at_page(site, bytes, from, site->old_bytes, site->new_bytes) ||
	       cut_at_page(site, bytes, from, site->new_bytes, site->old_bytes);
}

static enum poke_site_state classify(const struct poke_site *site, const uint8_t *trap, size_t trap_length,
				     const uint8_t *bytes, bool ours)
{
	size_t n = site->length;
	if (bytes_equal(bytes, site->old_bytes, n))
		return POKE_SITE_OLD;
	if (bytes_equal(bytes, site->new_bytes, n))
		return POKE_SITE_NEW;
	if (trap_length > 0 && trap_length <= n && bytes_equal(bytes, trap, trap_length)) {
		if (bytes_equal(bytes + trap_length, site->old_bytes + trap_length, n - trap_length))
			return POKE_SITE_TRAP_OLD;
		if (bytes_equal(bytes + trap_length, site->new_bytes + trap_length, n - trap_length))
			return POKE_SITE_TRAP_NEW;
		if (torn(site, bytes, trap_length, ours))
			return POKE_SITE_TRAP_TORN;
	}
	return torn(site, bytes, 0, ours) ? POKE_SITE_TORN : POKE_SITE_UNKNOWN;
}

enum poke_site_state poke_look(const struct host_ops *ops, void *host, const struct poke_site *site,
			       const uint8_t *trap, size_t trap_length, uint8_t *bytes)
{
	if (ops->read(host, site->address, bytes, site->length) < 0)
		return POKE_SITE_UNKNOWN;
	return classify(site, trap, trap_length, bytes, false);
}

enum poke_site_state poke_look_ours(struct poke *poke, struct poke_site *site, uint8_t *bytes)
{
	site->state = POKE_SITE_UNKNOWN;
	if (poke->ops->read(poke->host, site->address, bytes, site->length) == 0)
		site->state = (uint8_t)classify(site, poke->trap, poke->trap_length, bytes, true);
	return (enum poke_site_state)site->state;
}

int poke_expect_old(struct poke *poke)
{
	for (size_t i = 0; i < poke->n; i++) {
		struct poke_site *site = &poke->sites[i];
		uint8_t bytes[POKE_LENGTH_MAX];
		int r = poke->ops->read(poke->host, site->address, bytes, site->length);
		if (r == 0 && !bytes_equal(bytes, site->old_bytes, site->length))
			r = -CORE_EBADMSG;
		if (r < 0) {
			poke_failed_at(poke, i);
			return r;
		}
	}
	return 0;
}

int poke_write(struct poke *poke, uint64_t address, const uint8_t *expected, const uint8_t *bytes, size_t n)
{
	const struct host_write write = {address, expected, bytes, n};
	size_t done;
	return poke->ops->write(poke->host, &write, 1, &done);
}

int poke_sync(struct poke *poke)
{
	poke->syncs++;
	int r = poke->ops->sync(poke->host);
	poke->stale = r < 0;
	return r;
}

void poke_failed_at(struct poke *poke, size_t i)
{
	if (poke->failed_site == POKE_NO_SITE)
		poke->failed_site = i;
}

const struct poke_site *poke_find_trap(const struct poke *poke, uint64_t address)
{
	/* Pairs with the release store in poke_gate(): who sees a trap of this batch sees its sorted vector
	 * too. */
	size_t n = __atomic_load_n(&poke->published, __ATOMIC_ACQUIRE);
	const struct poke_site *sites = poke->sites;
	if (n == 1)
		return sites[0].address == address ? &sites[0] : NULL;
	size_t low = 0;
	while (n > 0) {
		size_t half = n / 2;
		const struct poke_site *middle = &sites[low + half];
		if (middle->address == address)
			return middle;
		if (middle->address < address) {
			low += half + 1;
			n -= half + 1;
		} else {
			n = half;
		}
	}
	return NULL;
}
