/* SPDX-License-Identifier: MIT */
/*
 * The rendezvous: all cores come to a known point, the first to arrive is the master and acts alone, all are
 * released. One deadline for everything before the action. After xSplice, with a generation in the state
 * word, so that a core that comes late from an earlier round neither wedges nor joins the next one.
 *
 * For cores that arrive by themselves (IPI handler, signal handler, checkpoint): rendezvous_enter().
 * For a controller that stops cores and arrives on their behalf: rendezvous_arrive() for each, then
 * rendezvous_release().
 *
 * One word holds generation, phase and the number of cores still missing; every change is one
 * compare-and-swap on it, so no two parties can see a half-done change. No lock, no allocation.
 */
#ifndef CORE_RENDEZVOUS_H
#define CORE_RENDEZVOUS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/host.h"

#define RENDEZVOUS_CORES_MAX ((1u << 30) - 1)

struct rendezvous {
	uint64_t word;	      /* atomic: generation (32) | phase (2) | missing (30) */
	uint64_t deadline_ns; /* atomic */
};

enum rendezvous_role {
	RENDEZVOUS_WORKER = 0,
	RENDEZVOUS_MASTER = 1, /* the first to arrive */
};

void rendezvous_init(struct rendezvous *rendezvous);

/*
 * Opens a round for `expected` cores (1 to RENDEZVOUS_CORES_MAX); *generation goes to every core together
 * with the request to come. -CORE_EBUSY: a round is open. -CORE_EINVAL: a bad number.
 */
int rendezvous_open(struct rendezvous *rendezvous, uint32_t expected, uint64_t deadline_ns,
		    uint32_t *generation);

/* `more` cores have come into being, and will arrive. -CORE_EALREADY: complete already; -CORE_ESTALE: over.
 */
int rendezvous_grow(struct rendezvous *rendezvous, uint32_t generation, uint32_t more);

/* A core that was expected is gone and will never arrive. Errors as rendezvous_grow(). May complete the
 * round. */
int rendezvous_shrink(struct rendezvous *rendezvous, uint32_t generation);

/* One core has arrived. Its role, or -CORE_ESTALE: the round is over, go on at once. -CORE_EALREADY: one too
 * many came. */
int rendezvous_arrive(struct rendezvous *rendezvous, uint32_t generation);

/* Everybody is here and held. */
bool rendezvous_complete(const struct rendezvous *rendezvous, uint32_t generation);

/*
 * Waits (ops->relax, ops->now_ns) until everybody is here: 0. At the deadline the round is aborted:
 * -CORE_ETIMEDOUT; likewise when someone else aborts it. For whoever will release: the master, or a
 * controller that is no core.
 */
int rendezvous_gather(struct rendezvous *rendezvous, uint32_t generation, const struct host_ops *ops,
		      void *host);

/* Waits until the round is over, whatever its outcome. Also keeps the deadline, should the master be slow to.
 */
void rendezvous_hold(struct rendezvous *rendezvous, uint32_t generation, const struct host_ops *ops,
		     void *host);

/* Ends a complete round: everybody goes on. -CORE_ESTALE: it was over; -CORE_EBUSY: it is not complete. */
int rendezvous_release(struct rendezvous *rendezvous, uint32_t generation);

/* Ends a round that is not complete: everybody goes on. -CORE_EALREADY: complete meanwhile; -CORE_ESTALE:
 * over. */
int rendezvous_abort(struct rendezvous *rendezvous, uint32_t generation);

/*
 * All of it for a core that comes by itself. The master gathers, calls act(context) and releases, and gets
 * act's result or -CORE_ETIMEDOUT; the others are held and get 0; a late one gets -CORE_ESTALE. Afterwards a
 * core must serialise (arch_ops.serialise) before it goes on.
 */
int rendezvous_enter(struct rendezvous *rendezvous, uint32_t generation, const struct host_ops *ops,
		     void *host, int (*act)(void *context), void *context);

#endif
