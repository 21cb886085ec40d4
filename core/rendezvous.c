/* SPDX-License-Identifier: MIT */
#include "core/rendezvous.h"

#include "core/errno.h"

/*
 * 1. Open (IDLE -> OPEN): the generation is handed to each core with the request to come.
 * 2. Each core arrives: missing - 1. The first makes OPEN -> GATHERING and is the master; the last makes it
 * ACTING. It may be one and the same.
 * 3. ACTING: the master alone acts.
 * 4. Release: ACTING -> IDLE of the next generation, in one step. Or abort: OPEN, GATHERING -> IDLE of the
 * next.
 *
 * A held core waits for the generation to go on, not for a flag: a flag can be set and cleared for the next
 * round before a slow core has looked; a generation that has gone on has gone on. Nobody counts departures,
 * so nobody waits for a slow one. Abort and the last arrival race for the same word: exactly one of them
 * wins.
 */
enum phase {
	IDLE,
	OPEN,
	GATHERING,
	ACTING,
};

#define MISSING_BITS 30

static uint64_t pack(uint32_t generation, enum phase phase, uint32_t missing)
{
	return (uint64_t)generation << 32 | (uint64_t)phase << MISSING_BITS | missing;
}

static uint32_t generation_of(uint64_t word)
{
	return (uint32_t)(word >> 32);
}

static enum phase phase_of(uint64_t word)
{
	return (enum phase)(word >> MISSING_BITS & 3);
}

static uint32_t missing_of(uint64_t word)
{
	return (uint32_t)word & RENDEZVOUS_CORES_MAX;
}

/*
 * Acquire: pairs with the release half of change(). The master that sees ACTING sees what each core did
 * before it arrived; a core that sees the next generation sees what the master did.
 */
static uint64_t look(const struct rendezvous *rendezvous)
{
	return __atomic_load_n(&rendezvous->word, __ATOMIC_ACQUIRE);
}

static bool change(struct rendezvous *rendezvous, uint64_t *from, uint64_t to)
{
	return __atomic_compare_exchange_n(&rendezvous->word, from, to, false, __ATOMIC_ACQ_REL,
					   __ATOMIC_ACQUIRE);
}

/* The round `generation` is open and nobody has ended it. */
static bool over(uint64_t word, uint32_t generation)
{
	return generation_of(word) != generation || phase_of(word) == IDLE;
}

void rendezvous_init(struct rendezvous *rendezvous)
{
	/* From 1 on, so that a zeroed "generation asked for" is no round. */
	__atomic_store_n(&rendezvous->word, pack(1, IDLE, 0), __ATOMIC_RELEASE);
	__atomic_store_n(&rendezvous->deadline_ns, 0, __ATOMIC_RELAXED);
}

int rendezvous_open(struct rendezvous *rendezvous, uint32_t expected, uint64_t deadline_ns,
		    uint32_t *generation)
{
	if (expected == 0 || expected > RENDEZVOUS_CORES_MAX)
		return -CORE_EINVAL;
	uint64_t word = look(rendezvous);
	uint64_t claimed;
	/* ACTING keeps everybody else out until the deadline is set; nobody has been given this generation
	 * yet. */
	do {
		if (phase_of(word) != IDLE)
			return -CORE_EBUSY;
		claimed = pack(generation_of(word), ACTING, RENDEZVOUS_CORES_MAX);
	} while (!change(rendezvous, &word, claimed));
	__atomic_store_n(&rendezvous->deadline_ns, deadline_ns, __ATOMIC_RELAXED);
	*generation = generation_of(word);
	__atomic_store_n(&rendezvous->word, pack(generation_of(word), OPEN, expected), __ATOMIC_RELEASE);
	return 0;
}

int rendezvous_grow(struct rendezvous *rendezvous, uint32_t generation, uint32_t more)
{
	uint64_t word = look(rendezvous);
	for (;;) {
		if (over(word, generation))
			return -CORE_ESTALE;
		if (phase_of(word) == ACTING)
			return -CORE_EALREADY;
		if (more > RENDEZVOUS_CORES_MAX - missing_of(word))
			return -CORE_EINVAL;
		if (change(rendezvous, &word, pack(generation, phase_of(word), missing_of(word) + more)))
			return 0;
	}
}

int rendezvous_shrink(struct rendezvous *rendezvous, uint32_t generation)
{
	uint64_t word = look(rendezvous);
	for (;;) {
		if (over(word, generation))
			return -CORE_ESTALE;
		if (phase_of(word) == ACTING)
			return -CORE_EALREADY;
		uint32_t missing = missing_of(word) - 1;
		/* Without a master nobody would end a complete round: an OPEN one that loses its last core is
		 * over. */
		uint64_t to = missing > 0	       ? pack(generation, phase_of(word), missing)
			      : phase_of(word) == OPEN ? pack(generation + 1, IDLE, 0)
						       : pack(generation, ACTING, 0);
		if (change(rendezvous, &word, to))
			return 0;
	}
}

int rendezvous_arrive(struct rendezvous *rendezvous, uint32_t generation)
{
	uint64_t word = look(rendezvous);
	for (;;) {
		if (over(word, generation))
			return -CORE_ESTALE;
		if (phase_of(word) == ACTING)
			return -CORE_EALREADY;
		uint32_t missing = missing_of(word) - 1;
		enum rendezvous_role role = phase_of(word) == OPEN ? RENDEZVOUS_MASTER : RENDEZVOUS_WORKER;
		if (change(rendezvous, &word, pack(generation, missing > 0 ? GATHERING : ACTING, missing)))
			return (int)role;
	}
}

bool rendezvous_complete(const struct rendezvous *rendezvous, uint32_t generation)
{
	uint64_t word = look(rendezvous);
	return generation_of(word) == generation && phase_of(word) == ACTING;
}

int rendezvous_abort(struct rendezvous *rendezvous, uint32_t generation)
{
	uint64_t word = look(rendezvous);
	for (;;) {
		if (over(word, generation))
			return -CORE_ESTALE;
		if (phase_of(word) == ACTING)
			return -CORE_EALREADY;
		if (change(rendezvous, &word, pack(generation + 1, IDLE, 0)))
			return 0;
	}
}

/* Past the deadline whoever notices aborts; when the last core arrives at the same moment, only one of both
 * counts. */
static void keep_deadline(struct rendezvous *rendezvous, uint32_t generation, const struct host_ops *ops,
			  void *host)
{
	uint64_t deadline_ns = __atomic_load_n(&rendezvous->deadline_ns, __ATOMIC_RELAXED);
	/* A later round's deadline, read by a slow core, does no harm: the abort is for this generation only.
	 */
	if (ops->now_ns(host) >= deadline_ns)
		(void)rendezvous_abort(rendezvous, generation);
}

int rendezvous_gather(struct rendezvous *rendezvous, uint32_t generation, const struct host_ops *ops,
		      void *host)
{
	for (;;) {
		uint64_t word = look(rendezvous);
		if (over(word, generation))
			return -CORE_ETIMEDOUT;
		if (phase_of(word) == ACTING)
			return 0;
		ops->relax(host);
		keep_deadline(rendezvous, generation, ops, host);
	}
}

void rendezvous_hold(struct rendezvous *rendezvous, uint32_t generation, const struct host_ops *ops,
		     void *host)
{
	for (;;) {
		uint64_t word = look(rendezvous);
		if (over(word, generation))
			return;
		ops->relax(host);
		if (phase_of(word) != ACTING)
			keep_deadline(rendezvous, generation, ops, host);
	}
}

int rendezvous_release(struct rendezvous *rendezvous, uint32_t generation)
{
	uint64_t word = look(rendezvous);
	if (over(word, generation))
		return -CORE_ESTALE;
	if (phase_of(word) != ACTING)
		return -CORE_EBUSY;
	/* Only one caller can win: a second release of the same round finds the generation gone on. */
	return change(rendezvous, &word, pack(generation + 1, IDLE, 0)) ? 0 : -CORE_ESTALE;
}

int rendezvous_enter(struct rendezvous *rendezvous, uint32_t generation, const struct host_ops *ops,
		     void *host, int (*act)(void *context), void *context)
{
	int role = rendezvous_arrive(rendezvous, generation);
	if (role < 0)
		return role;
	if (role == RENDEZVOUS_WORKER) {
		rendezvous_hold(rendezvous, generation, ops, host);
		return 0;
	}
	int r = rendezvous_gather(rendezvous, generation, ops, host);
	if (r < 0)
		return r;
	r = act(context);
	int released = rendezvous_release(rendezvous, generation);
	return r != 0 ? r : released;
}
