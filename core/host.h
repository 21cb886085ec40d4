/* SPDX-License-Identifier: MIT */
/*
 * What a host hands to the engine: a table of operations and a pointer that each of them gets back. The
 * engine knows the thing that is being patched through this table only.
 *
 * Unless said otherwise an operation returns 0 or -errno (core/errno.h; any other negative value is passed on
 * as it is), and may be called with cores running.
 */
#ifndef CORE_HOST_H
#define CORE_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct action_intent;
struct engine_payload;
struct poke;

/* Addresses [start, end). Empty when start == end. */
struct host_range {
	uint64_t start;
	uint64_t end;
};

/* The kinds of hooks, numbered as payload_hook_kind of payload/payload.h. */
enum hook_kind {
	HOOK_LOAD,   /* any number; quiescent, before the bytes are switched to this payload */
	HOOK_UNLOAD, /* any number; quiescent, after the bytes were put back */
	HOOK_PRE_APPLY,
	HOOK_POST_APPLY,
	HOOK_PRE_REVERT,
	HOOK_POST_REVERT,
	HOOK_APPLY,  /* in place of the built-in switch, quiescent */
	HOOK_REVERT, /* likewise */
	HOOK_KINDS
};

/* n bytes (1 to 31) to be written over those that are expected there. */
struct host_write {
	uint64_t address;
	const uint8_t *expected, *bytes;
	size_t n;
};

struct host_ops {
	/* Text. Reads n bytes. */
	int (*read)(void *host, uint64_t address, void *bytes, size_t n);
	/*
	 * Writes each of v in order, after checking that `expected` is there, and reads back. *done: how many
	 * were. On error the engine looks for itself what became of the others; of v[*done], with
	 * -CORE_EBADMSG (something else was there), nothing was written.
	 */
	int (*write)(void *host, const struct host_write *v, size_t n, size_t *done);
	/* When it returns 0, no core executes bytes any more that were fetched before the call. */
	int (*sync)(void *host);

	/* Time. A clock that never goes back. */
	uint64_t (*now_ns)(void *host);
	/* One breath of a core that waits for another core; must not block. */
	void (*relax)(void *host);
	/* Between two tries: about ns, everybody runs meanwhile. An error ends the action. */
	int (*pause)(void *host, uint64_t ns);

	/*
	 * Quiescence by rendezvous. stop: 0 when all cores stand still; -CORE_ETIMEDOUT or -CORE_EAGAIN when
	 * they did not by deadline_ns. On any error everybody runs on and release is not called.
	 */
	int (*stop)(void *host, uint64_t deadline_ns);
	/*
	 * All cores stand still. 0: nobody is inside any of the ranges nor will return into one;
	 * -CORE_EAGAIN: somebody is, or it could not be found out. The ranges are neither sorted nor merged
	 * and may overlap.
	 */
	int (*quiescent)(void *host, const struct host_range *ranges, size_t n, uint64_t deadline_ns);
	/* Everybody runs on. */
	int (*release)(void *host);

	/*
	 * The gated switch; all six or none (NULL: ACTION_MODE_GATE is refused). Order of an action:
	 *
	 *     gate_open, intent, { ready; traps written, sync; drain; traps taken away, sync; let_go; pause
	 * }…, traps written, sync; drain, commit, tails, sync, first bytes, sync; let_go, gate_close, settled
	 *
	 * gate_open: everything that can be done while nobody is kept waiting; from its return on a trap at a
	 * site of the intent is served: who hits one stays there until let_go. Chooses intent->trap.
	 * -CORE_ENOTSUP: this action cannot be had by gate (the sites, or the target): the engine takes the
	 * rendezvous instead.
	 */
	int (*gate_open)(void *host, struct action_intent *intent, const struct host_range *ranges, size_t n);
	/* Before each try. -CORE_EAGAIN: somebody is known to be inside and not about to leave; no trap is
	 * written for that. */
	int (*ready)(void *host);
	/*
	 * Every site of poke traps (poke->n may be 0: an unload). 0: no core is inside the ranges, and those
	 * that were seen outside cannot get in; so whoever hits a trap from here on is held. Until then he is
	 * passed on into the old code if he must still drain. -CORE_EAGAIN: somebody is still inside, or it
	 * could not be found out.
	 */
	int (*drain)(void *host, const struct poke *poke, const struct host_range *ranges, size_t n,
		     uint64_t deadline_ns);
	/*
	 * Everybody who was held goes on at his site, which holds whole instructions again; or, when
	 * poke->phase says that a trap may still stand, where commit says.
	 */
	int (*let_go)(void *host, const struct poke *poke);
	/* No trap is, or is on its way, any more (but see let_go): serves no longer. Called once for each
	 * gate_open that returned 0. */
	int (*gate_close)(void *host);
	/* The last commit is taken back: nobody has run on by it. */
	int (*retract)(void *host, const struct action_intent *intent);

	/*
	 * Runs hook number `index` of that kind of the payload, in link order. 0: it ran, *result is what it
	 * returned (0 for the void kinds). Anything else: it could not be run or did not come back. May be
	 * NULL when no payload has hooks.
	 */
	int (*hook)(void *host, const struct engine_payload *payload, enum hook_kind kind, size_t index,
		    int *result);

	/*
	 * The journal, by which the next controller recovers when this one is killed (action_recover()).
	 * NULL, all three: the host has none. intent: keep it before returning 0; no byte of it has been
	 * written yet. Called with cores running, so this is also the place to get the pages ready. May be
	 * called a second time for the same action (then with cores stopped): the later one counts. commit:
	 * the last byte stands, or (by gate) everybody is drained and none is new yet; from now on the action
	 * is finished, not undone. settled: the engine's states are up to date (status 0: the action
	 * happened; else nothing has changed); keep the states, forget the intent.
	 */
	int (*intent)(void *host, const struct action_intent *intent);
	int (*commit)(void *host, const struct action_intent *intent);
	int (*settled)(void *host, const struct action_intent *intent, int status);

	/* Whether the target itself defines this symbol (for the new symbols of an upload). NULL: it defines
	 * none. */
	bool (*has_symbol)(void *host, const char *symbol);

	/* One line for the log: the payload's name, what happened, a number to it. NULL: no log. */
	void (*log)(void *host, const char *payload, const char *what, int64_t value);
};

#endif
