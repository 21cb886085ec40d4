/* SPDX-License-Identifier: MIT */
/*
 * The actions: upload, apply, revert, replace, unload, and recovery after a killed controller. State and
 * result are apart; an action either happens whole or leaves every byte, state and stack as it was.
 * docs/engine.md has the states, the order of hooks and the journal.
 *
 * Every action returns 0 or -errno and fills in the report (may be NULL). One action at a time: a second one
 * gets -CORE_EBUSY, ACTION_IN_FLIGHT, at once.
 */
#ifndef CORE_ACTION_H
#define CORE_ACTION_H

#include "core/engine.h"

#define ACTION_TRY_DEFAULT_NS	  UINT64_C(30000000)	   /* 30 ms: what 0 means */
#define ACTION_TRY_MIN_NS	  UINT64_C(100000)	   /* 100 us */
#define ACTION_TRY_MAX_NS	  UINT64_C(60000000000)	   /* 60 s */
#define ACTION_OVERALL_DEFAULT_NS UINT64_C(5000000000)	   /* 5 s: what 0 means */
#define ACTION_OVERALL_MIN_NS	  UINT64_C(100000)	   /* 100 us */
#define ACTION_OVERALL_MAX_NS	  UINT64_C(86400000000000) /* 24 h */
#define ACTION_PAUSE_FIRST_NS	  UINT64_C(1000000)	   /* between tries; doubles */
#define ACTION_PAUSE_LAST_NS	  UINT64_C(100000000)

enum action_mode {
	ACTION_MODE_RENDEZVOUS, /* all cores stopped */
	ACTION_MODE_GATE, /* by trap bytes; nobody is stopped who does not call a patched function. Where
			     hooks need the world still, or the host says so, a rendezvous all the same */
};

enum action_consistency {
	ACTION_CONSISTENCY_GLOBAL, /* old and new code never run at the same time */
	ACTION_CONSISTENCY_NONE,   /* only the bytes being overwritten must be free */
};

/* All 0 is the default. */
struct action_options {
	enum action_mode mode;
	enum action_consistency consistency;
	bool nodeps; /* apply, replace: do not ask what is on top. The target's build-id is always asked */
	uint64_t try_ns;     /* deadline of one try */
	uint64_t overall_ns; /* after which no other try is made; the running one ends at it too */
};

enum action_text {
	ACTION_TEXT_SAME,  /* every byte as before */
	ACTION_TEXT_NEW,   /* the action happened */
	ACTION_TEXT_MIXED, /* undoing failed as well: engine.sites[].state says what stands where; the intent
			      is kept */
};

/* What the host needs for its sentence to the operator. */
struct action_report {
	int error;
	enum action_reason reason;
	enum action_text text;
	const struct engine_payload *payload; /* whose site or hook it was; else the one asked for */
	const struct engine_payload *other;   /* who is in the way */
	const char *symbol;
	size_t site;	  /* index into payload->sites, or POKE_NO_SITE */
	uint64_t address; /* of the site */
	enum hook_kind hook;
	size_t hook_index;
	int hook_result;
	enum action_mode mode; /* how it was tried in the end */
	unsigned tries;	       /* how many times cores were asked to stop, or the gate was up */
	unsigned syncs;	       /* of the switch */
	size_t n_sites;	       /* of the switch */
	bool unsynced;	       /* bytes are back, but the sync after that failed */
	uint64_t stopped_ns;   /* how long cores stood still in the last try; by gate: the window, from the
				  first trap byte   until everybody held went on */
	/*
	 * The first thing that failed when the outcome was decided already (an unload or post-hook that could
	 * not be run, release, settled). The outcome stands all the same: an action that has happened returns
	 * 0.
	 */
	int after_error;
	enum action_reason after_reason;
	const struct engine_payload *after_payload;
};

/* What is journalled before the first byte is written. The vector is the engine's room: copy it. */
struct action_intent {
	enum action_kind action;
	enum action_mode mode;
	struct engine_payload *payload; /* the one asked for; a replace takes every applied one off besides */
	bool switched;			/* payload->switched after an apply or replace */
	struct poke_site *sites;	/* old and new bytes of every site concerned, sorted */
	size_t n_sites;
	size_t trap; /* ACTION_MODE_GATE: index into arch->traps */
	/* ACTION_MODE_GATE: commit when the tails are new instead of while they are old (gate.c). */
	bool commit_late;
};

/*
 * Takes a payload into the list, CHECKED. Its record stays the host's and must live until it is unloaded. The
 * engine's members are set. Refused: -CORE_EINVAL (malformed, no build-id, another build of the target),
 * -CORE_EEXIST (name, build-id, symbol).
 */
int action_upload(struct engine *engine, struct engine_payload *payload, struct action_report *report);

/*
 * What apply, revert, replace or unload would refuse before anything is run, read or written; nothing changes, the payload's
 * result neither.
 */
int action_check(struct engine *engine, struct engine_payload *payload, enum action_kind kind,
		 const struct action_options *options, struct action_report *report);

/* options NULL: the defaults. A payload that is not uploaded, or NULL: -CORE_ENOENT. */
int action_apply(struct engine *engine, struct engine_payload *payload, const struct action_options *options,
		 struct action_report *report);
int action_revert(struct engine *engine, struct engine_payload *payload, const struct action_options *options,
		  struct action_report *report);
int action_replace(struct engine *engine, struct engine_payload *payload,
		   const struct action_options *options, struct action_report *report);
/* On 0 the payload is off the list, no core is inside its text, and record and memory are the host's to free.
 */
int action_unload(struct engine *engine, struct engine_payload *payload, const struct action_options *options,
		  struct action_report *report);

/*
 * Ends what a killed controller began. The engine holds the states from before the action (engine_adopt());
 * intent is what was journalled (its vector in storage of the host's, it is checked like any), committed
 * whether commit came. Not committed: every byte back, states as they are. Committed: every byte new, states
 * as after the action. -CORE_EBADMSG: a site (index in intent->sites: report->site) holds something that is
 * neither; nothing was written. Cores are stopped for it, and must not be inside the sites. Calls settled at
 * the end. Hooks are not run: which of them ran before is not known.
 */
int action_recover(struct engine *engine, struct action_intent *intent, bool committed,
		   const struct action_options *options, struct action_report *report);

#endif
