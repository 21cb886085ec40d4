/* SPDX-License-Identifier: MIT */
/* An engine over a simulated host, with functions to patch and payloads to patch them with. */
#ifndef TESTS_CORE_WORLD_H
#define TESTS_CORE_WORLD_H

#include "sim.h"

#define WORLD_PAYLOADS 8
#define WORLD_SITES    6

/* A payload of the tests with all its storage. */
struct thing {
	struct engine_payload p;
	char name[80];
	struct engine_site sites[WORLD_SITES];
	struct host_range old[WORLD_SITES];
};

struct world {
	struct sim *sim;
	struct engine engine;
	struct thing things[WORLD_PAYLOADS];
	size_t n_things;
	/* What lies with the target: as of the last settled(), or world_keep(). */
	struct thing kept[WORLD_PAYLOADS];
	struct engine_payload *kept_list[WORLD_PAYLOADS], *kept_stack[WORLD_PAYLOADS];
	size_t n_kept, n_kept_stack;
	struct poke_site sites[WORLD_PAYLOADS * WORLD_SITES];
	struct host_range ranges[WORLD_PAYLOADS * (3 * WORLD_SITES + 1)];
	struct action_report report;
};

struct world *world_create(void);
void world_destroy(struct world *world);

/* The i-th function of the target: 0x40 bytes, entry at this address. */
uint64_t world_function(size_t i);

/* A payload, not uploaded, that replaces the functions named by the bits of mask. depends may be NULL. */
struct engine_payload *world_payload(struct world *world, const char *name, unsigned mask,
				     const struct engine_payload *depends);

/* What calling function i gives: the name of the payload whose bytes stand there, "original", or "broken". */
const char *world_call(struct world *world, size_t i);

/* The stack from the bottom up, "hello bye". */
const char *world_stack(struct world *world);

/* What the host keeps with the target when an action has settled. */
void world_keep(struct world *world);

/* Forgets all but what was kept, and builds a new engine from it, as the next controller does. */
void world_next_controller(struct world *world);

#define UPLOAD(w, x)	      action_upload(&(w)->engine, x, &(w)->report)
#define APPLY(w, x)	      action_apply(&(w)->engine, x, NULL, &(w)->report)
#define REVERT(w, x)	      action_revert(&(w)->engine, x, NULL, &(w)->report)
#define REPLACE(w, x)	      action_replace(&(w)->engine, x, NULL, &(w)->report)
#define UNLOAD(w, x)	      action_unload(&(w)->engine, x, NULL, &(w)->report)
#define LOAD(w, x)	      load(w, x)
#define V(w)		      world_call(w, 0)
#define assert_reason(w, why) assert_int_equal((w)->report.reason, ACTION_##why)

static inline int load(struct world *world, struct engine_payload *payload)
{
	int r = UPLOAD(world, payload);
	return r < 0 ? r : APPLY(world, payload);
}

#endif
