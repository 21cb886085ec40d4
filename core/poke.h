/* SPDX-License-Identifier: MIT */
/*
 * The batch: many sites rewritten with three syncs (cores running, trap bytes as gate) or with one (cores
 * stopped). After Linux's text_poke_bp_batch. Writes text through the host's table only; allocates nothing;
 * decides nothing about who may be inside: that is the caller's (action.h).
 *
 *     poke_init()                    refuses what is malformed; nothing written
 *     poke_stopped()                 no core runs: whole sites, no trap byte ever, one sync
 * or
 *     poke_gate()                    every site traps (sync 1); then the host drains
 *     poke_switch() or poke_abort()  tails (sync 2), first bytes (sync 3); or first bytes back (sync 2)
 *     poke_retire()                  no trap is ours any more
 */
#ifndef CORE_POKE_H
#define CORE_POKE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/host.h"

#define POKE_LENGTH_MAX 31	   /* bytes of one site */
#define POKE_SITES_MAX	(1u << 17) /* sites of one batch */
#define POKE_TRAP_MAX	4	   /* bytes */
#define POKE_NO_SITE	((size_t)-1)

/* What stands at a site, as far as poke knows. */
enum poke_site_state {
	POKE_SITE_OLD,
	POKE_SITE_TRAP_OLD, /* trap, then the old tail */
	POKE_SITE_TRAP_NEW, /* trap, then the new tail */
	POKE_SITE_NEW,
	POKE_SITE_TRAP_TORN, /* trap, then a tail partly old, partly new */
	POKE_SITE_TORN,	     /* partly old, partly new: a write that was interrupted */
	POKE_SITE_UNKNOWN,   /* foreign bytes, or it could not be read */
};

struct poke_site {
	uint64_t address;
	uint8_t length; /* 1 to POKE_LENGTH_MAX */
	uint8_t state;	/* enum poke_site_state; poke's own, exact also after a failure */
	uint8_t old_bytes[32];
	uint8_t new_bytes[32];
};

enum poke_phase {
	POKE_READY, /* nothing written: all old */
	POKE_GATED, /* every site traps, or is as before where that failed */
	POKE_DONE,  /* all new */
	POKE_BACK,  /* all old again */
	POKE_MIXED, /* undoing failed too: each site's state says what stands there */
};

struct poke {
	const struct host_ops *ops;
	void *host;
	struct poke_site *sites; /* the caller's, sorted by address */
	size_t n;
	uint8_t trap[POKE_TRAP_MAX];
	uint8_t trap_length; /* the "first byte": what one write makes atomically a trap. 1 on x86-64, 4 on
				AArch64 */
	enum poke_phase phase;
	unsigned syncs;	    /* how many were asked for so far */
	bool stale;	    /* the last sync failed: a core may still fetch earlier bytes */
	size_t failed_site; /* the site at which it first failed, or POKE_NO_SITE */
	size_t published;   /* number of sites the trap look-up sees; atomic */
};

/*
 * Takes a vector; checks it and writes nothing: -CORE_EINVAL unsorted, zero or overlong length, shorter than
 * the trap; -CORE_EEXIST overlapping; -CORE_EOVERFLOW wraps around; -CORE_E2BIG more than POKE_SITES_MAX. On
 * error poke->failed_site names the site. n may be 0. trap NULL: for poke_stopped() only.
 */
int poke_init(struct poke *poke, const struct host_ops *ops, void *host, const uint8_t *trap,
	      size_t trap_length, struct poke_site *sites, size_t n);

/* The checks of poke_init() alone. *bad (may be NULL): the offending site. */
int poke_check(const struct poke_site *sites, size_t n, size_t trap_length, size_t *bad);

/*
 * No core runs. All sites old -> new. On failure everything is put back (phase POKE_BACK), or phase
 * POKE_MIXED with the state of each site. -CORE_EBADMSG: a site's bytes are not the old ones (failed_site);
 * nothing was changed.
 */
int poke_stopped(struct poke *poke);

/* The way back of a finished poke_stopped(), still with no core running: all sites new -> old. */
int poke_stopped_undo(struct poke *poke);

/* Cores run. On failure all is put back (POKE_BACK) or POKE_MIXED. */
int poke_gate(struct poke *poke);

/*
 * The gate is up and drained. On failure while tails are written all is put back (POKE_BACK). On failure
 * when some first bytes are new already, every site is made to trap again and the phase is POKE_GATED: a core
 * may stand between two of the new instructions by then, so the caller drains again and calls poke_abort().
 */
int poke_switch(struct poke *poke);
/* Its two halves, for who has something to do in between: tails and sync 2; first bytes and sync 3. */
int poke_tails(struct poke *poke);
int poke_firsts(struct poke *poke);

/* The gate is up: back to all old. */
int poke_abort(struct poke *poke);

/* Nothing traps any more: the look-up finds nothing from here on. The host waits for its handlers that hold
 * the vector. */
void poke_retire(struct poke *poke);

/*
 * The site whose trap stands at address (of the trap itself; the saved instruction pointer may lie behind it,
 * see struct arch_trap), or NULL. May be called from a trap handler on any core while the batch is published.
 * A trap that was taken just before its byte went away arrives late: if no trap stands there any more, run
 * the instruction again; if one does and no batch has it, it is somebody else's.
 */
const struct poke_site *poke_find_trap(const struct poke *poke, uint64_t address);

/* What stands at a site now, by reading it. trap_length 0: traps are not looked for. bytes: POKE_LENGTH_MAX
 * at least. */
enum poke_site_state poke_look(const struct host_ops *ops, void *host, const struct poke_site *site,
			       const uint8_t *trap, size_t trap_length, uint8_t *bytes);

/*
 * No core runs, after an interrupted poke of any kind: brings every site to its new bytes (forward) or its
 * old ones. Each may be old, new, trap with either tail (when the batch has a trap), or cut off at a page
 * boundary. Anything else: -CORE_EBADMSG, failed_site, and nothing is written at all.
 */
int poke_recover(struct poke *poke, bool forward);

#endif
