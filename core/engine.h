/* SPDX-License-Identifier: MIT */
/*
 * What the engine remembers: the payloads that were uploaded and the stack of those that are applied. All
 * storage is the host's: a payload's record, its sites and the room to work in. Nothing here touches the
 * target.
 */
#ifndef CORE_ENGINE_H
#define CORE_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/arch/arch.h"
#include "core/host.h"
#include "core/poke.h"

#define ENGINE_NAME_MAX	    63
#define ENGINE_BUILD_ID_MAX 64

struct engine_build_id {
	uint8_t size; /* 0: none */
	uint8_t bytes[ENGINE_BUILD_ID_MAX];
};

/* One place that a payload rewrites. */
struct engine_site {
	uint64_t address;
	uint8_t length; /* 1 to POKE_LENGTH_MAX */
	bool has_expected;
	uint8_t new_bytes[32];
	uint8_t expected[32]; /* `length` bytes of the untouched target; when has_expected */
	uint8_t saved[32];    /* the engine's, while applied: what stood there before, put back by a revert */
};

enum payload_state {
	PAYLOAD_STATE_CHECKED,
	PAYLOAD_STATE_APPLIED,
};

enum action_kind {
	ACTION_NONE,
	ACTION_UPLOAD,
	ACTION_APPLY,
	ACTION_REVERT,
	ACTION_REPLACE,
	ACTION_UNLOAD,
};

/* Why an action was refused or failed. */
enum action_reason {
	ACTION_OK,
	ACTION_MALFORMED,	 /* the request or the record itself; see site, address */
	ACTION_NOT_FOUND,	 /* not an uploaded payload of this engine */
	ACTION_DUPLICATE_NAME,	 /* other: who has it */
	ACTION_DUPLICATE_BUILD,	 /* other: who has it */
	ACTION_DUPLICATE_SYMBOL, /* symbol; other: who has it, NULL: the target */
	ACTION_NO_BUILD_ID,	 /* it has none, or does not say for which build of the target it is */
	ACTION_TARGET_BUILD,	 /* payload->target is not payload->found: name both */
	ACTION_WRONG_STATE,
	ACTION_STALE_DATA,	/* applied once already and has writable data: upload it afresh */
	ACTION_DEPENDS,		/* payload->depends is not on top; other: what is, NULL: nothing */
	ACTION_STATE,		/* other has `symbol`, a state, in a version that this one does not know */
	ACTION_NOT_ON_TOP,	/* other: what is */
	ACTION_OVERLAP,		/* site lies partly over a site of other */
	ACTION_EXPECTED_BYTES,	/* the bytes at address are not the expected ones */
	ACTION_IN_FLIGHT,	/* another action runs */
	ACTION_NEEDS_RECOVERY,	/* an interrupted or half undone action comes first */
	ACTION_NO_ROOM,		/* the room given to the engine is too small: engine_room() */
	ACTION_BAD_OPTION,	/* mode, consistency or a time out of bounds */
	ACTION_VETO,		/* hook, hook_index, hook_result */
	ACTION_HOOK_FAILED,	/* a hook could not be run, or an apply/revert hook returned not 0 */
	ACTION_HOOK_LEFT_MIXED, /* an apply/revert hook switched some sites and not others: undone */
	ACTION_NOT_STOPPED,	/* the cores did not come to a stop in time */
	ACTION_NOT_QUIESCENT,	/* somebody stayed inside until the deadline */
	ACTION_HOST,		/* an operation of the host failed: error */
	ACTION_WRITE,		/* a write or sync failed: site, address */
	ACTION_JOURNAL,		/* the intent or commit could not be kept */
};

/* How the last action ended that this payload was asked for. Set when it has ended, never in between. */
struct action_result {
	enum action_kind action; /* ACTION_NONE: none yet */
	int error;		 /* 0 or -errno */
	enum action_reason reason;
};

/*
 * What a payload makes of the target's data and leaves to the next one. One that goes on top of another, or in its place,
 * has to know each state that both have in at least the other's version; one that goes in its place has to know all of them.
 */
struct engine_state {
	const char *name;
	uint32_t version;
};

struct engine_payload {
	/* Filled in by the host before action_upload() or engine_adopt(); constant from then on. */
	const char *name; /* 1 to ENGINE_NAME_MAX characters */
	struct engine_build_id build_id;
	struct engine_build_id depends; /* of the payload it goes on top of; none: on whatever is there */
	struct engine_build_id target;	/* of the module it was made for */
	struct engine_build_id found;	/* of that module as found in the target */
	bool has_writable_data;
	struct engine_site *sites; /* sorted by address; `saved` is written by the engine */
	size_t n_sites;
	const struct host_range
		*old_ranges; /* old code that must be free before it is replaced; from entry + 1 on */
	size_t n_old_ranges;
	struct host_range text; /* its own code; empty: none */
	struct host_range
		pads; /* more code of its own, not of its functions: looked at by unload alone. Empty: none */
	uint32_t hooks[HOOK_KINDS]; /* how many of each kind */
	const char *const *symbols; /* new global symbols it brings */
	size_t n_symbols;
	const struct engine_state *states;
	size_t n_states;
	void *user; /* the host's */

	/* The engine's; a host keeps them with the target and gives them back to engine_adopt(). */
	enum payload_state state;
	bool was_applied; /* at least once */
	bool switched;	  /* applied, and its sites stand (an apply hook may have switched none) */
	bool entered;	  /* a core may have been inside its text */
	struct action_result result;

	struct engine_payload *next;	      /* in the order of upload */
	struct engine_payload *below, *above; /* in the stack */
};

struct engine {
	const struct host_ops *ops;
	void *host;
	const struct arch_ops *arch;
	struct engine_payload *payloads, *last;
	size_t n_payloads;
	struct engine_payload *bottom, *top; /* of the stack of applied payloads */
	size_t n_applied;
	uint64_t generation; /* changes whenever list, stack or a state does */
	bool needs_recovery;
	uint8_t in_flight; /* atomic */

	/* Room to work in, see engine_room(). */
	struct poke_site *sites;
	size_t sites_max;
	struct host_range *ranges;
	size_t ranges_max;
};

/* ops, host and arch must outlive the engine. */
void engine_init(struct engine *engine, const struct host_ops *ops, void *host, const struct arch_ops *arch);

/*
 * How much room any action may take with the payloads uploaded now and one more (extra, may be NULL); the
 * host gives at least that with engine_give_room() before an action. An action that finds too little is
 * refused, and changes nothing.
 */
void engine_room(const struct engine *engine, const struct engine_payload *extra, size_t *n_sites,
		 size_t *n_ranges);
void engine_give_room(struct engine *engine, struct poke_site *sites, size_t n_sites,
		      struct host_range *ranges, size_t n_ranges);

/*
 * Takes in a payload that an earlier controller left with the target: state, flags and saved bytes as kept.
 * The APPLIED ones first, the bottom of the stack first; then the others. Checked as an upload is, but
 * without the host.
 */
int engine_adopt(struct engine *engine, struct engine_payload *payload, enum action_reason *reason);

struct engine_payload *engine_find(const struct engine *engine, const char *name);
struct engine_payload *engine_find_build_id(const struct engine *engine,
					    const struct engine_build_id *build_id);

/* One line of a list. name is the payload's own storage. */
struct engine_entry {
	const char *name;
	struct engine_build_id build_id;
	enum payload_state state;
	struct action_result result;
	size_t depth; /* in the stack, 1 is the bottom; 0: not applied */
};

/*
 * Up to max entries from number `first` on; *n gets how many, *total how many there are. *generation: 0 for
 * the first page, as it came back for the next ones. -CORE_EBUSY: an action is in flight, or something
 * changed between the pages: start over. So what was put together from pages is complete.
 */
int engine_list(struct engine *engine, size_t first, uint64_t *generation, struct engine_entry *entries,
		size_t max, size_t *n, size_t *total);

bool engine_same_name(const char *a, const char *b);
bool engine_same_build_id(const struct engine_build_id *a, const struct engine_build_id *b);

#endif
