/* SPDX-License-Identifier: MIT */
/*
 * The gated switch: the trap bytes of the batch are the gate of the quiescence.
 *
 *   1. gate     a trap on every site; sync. From here on nobody enters an old function.
 *   2. drain    the host waits until nobody is inside.
 *   3. commit   one word, and it decides what a trap means: old before it, new after it.
 *   4. switch   tails; sync; first bytes; sync.
 *   5. let go   who was held goes on at the entry, into the new code.
 *
 * Commit does not come after the last byte, as under a rendezvous, for the sake of those who are there when
 * this controller is killed: while sites trap, a trap must have one meaning, and whoever acts on it must find
 * it complete. From commit on everybody is drained, so finishing is writing tails and first bytes, and before
 * it undoing is the same with the old ones: either can be done by anybody, at any time, without looking at
 * anyone's stack.
 *
 * Where old code is meant that needs its tail (an original function may jump back into it), commit comes
 * before the tails change: so it is when a payload goes on. Where new code is meant that needs it (the
 * original function again), it comes after: intent.commit_late, when a payload comes off. A payload's jump
 * needs no tail: a trap knows its target.
 */
#include "core/errno.h"
#include "core/engine_internal.h"

static int back(struct run *run)
{
	int r = 0;
	if (run->poke.phase == POKE_GATED) {
		r = poke_abort(&run->poke);
		run->report->unsynced |= run->poke.stale;
	}
	if (run->poke.phase == POKE_MIXED)
		run->report->text = ACTION_TEXT_MIXED;
	return r;
}

int gated_try(struct run *run, uint64_t deadline_ns, enum action_reason *why)
{
	struct engine *engine = run->engine;
	const struct host_ops *ops = engine->ops;
	struct poke *poke = &run->poke;
	const struct arch_trap *trap;

	run->report->tries++;
	run->stop_began_ns = ops->now_ns(engine->host);
	if (run->intent.trap >= engine->arch->n_traps) {
		*why = ACTION_HOST;
		return -CORE_EINVAL;
	}
	trap = &engine->arch->traps[run->intent.trap];
	int r = poke_init(poke, ops, engine->host, trap->bytes, trap->length, run->intent.sites,
			  run->intent.n_sites);
	run->report->n_sites = poke->n;
	if (r == 0) {
		r = ops->ready(engine->host);
		if (r < 0) {
			*why = r == -CORE_EAGAIN ? ACTION_NOT_QUIESCENT : ACTION_HOST;
			return r;
		}
	}
	if (r == 0 && poke->n > 0)
		r = poke_gate(poke);
	if (r < 0) {
		*why = r == -CORE_EBADMSG ? ACTION_EXPECTED_BYTES : ACTION_WRITE;
		run_blame_site(run, poke->failed_site);
	} else {
		r = ops->drain(engine->host, poke, engine->ranges, run->n_ranges, deadline_ns);
		if (r == 0)
			return 0;
		*why = r == -CORE_EAGAIN ? ACTION_NOT_QUIESCENT : ACTION_HOST;
	}
	int undone = back(run);
	int released = gated_let_go(run);
	if (undone < 0 || released < 0) {
		*why = undone < 0 ? ACTION_WRITE : ACTION_HOST;
		r = undone < 0 ? undone : released;
	}
	return r;
}

int gated_let_go(struct run *run)
{
	const struct host_ops *ops = run->engine->ops;
	int r = ops->let_go(run->engine->host, &run->poke);
	run->report->stopped_ns = ops->now_ns(run->engine->host) - run->stop_began_ns;
	run->report->syncs = run->poke.syncs;
	poke_retire(&run->poke);
	return r;
}

static int fail(struct run *run, int r)
{
	if (run->poke.phase == POKE_MIXED)
		run->report->text = ACTION_TEXT_MIXED;
	run->report->unsynced |= run->poke.stale;
	return run_fail(run, r, r == -CORE_EBADMSG ? ACTION_EXPECTED_BYTES : ACTION_WRITE,
			run->report->payload);
}

/*
 * A switch that fails before the first new first byte is undone: nobody has met a trap that meant new,
 * because the host holds everybody until let_go. One that fails later stands: new code may have run. Its
 * traps mean new, and recovery writes the rest.
 */
int gated_switch(struct run *run)
{
	struct engine *engine = run->engine;
	const struct host_ops *ops = engine->ops;
	struct poke *poke = &run->poke;
	bool late = run->intent.commit_late && poke->n > 0;

	int r = late ? poke_tails(poke) : 0;
	if (r < 0) {
		run_blame_site(run, poke->failed_site);
		return fail(run, r);
	}
	r = ops->commit ? ops->commit(engine->host, &run->intent) : 0;
	if (r < 0) {
		run_fail(run, r, ACTION_JOURNAL, run->payload);
		(void)back(run); /* the report says how it went */
		return r;
	}
	if (poke->n == 0)
		return 0;
	r = late ? poke_firsts(poke) : poke_switch(poke);
	if (r == 0)
		return 0;
	run_blame_site(run, poke->failed_site);
	if (poke->phase == POKE_GATED || poke->phase == POKE_MIXED) {
		run_after(run, r, ACTION_WRITE, run->payload);
		run->report->text = ACTION_TEXT_MIXED;
		return 0;
	}
	if (ops->retract && ops->retract(engine->host, &run->intent) < 0)
		run->report->text = ACTION_TEXT_MIXED; /* old, and the word says new: recovery makes it new */
	return fail(run, r);
}
