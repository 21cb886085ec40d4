/* SPDX-License-Identifier: MIT */
/*
 * Shared by the files of the engine (engine, plan, hooks, quiesce, action, recover); for nobody else.
 */
#ifndef CORE_ENGINE_INTERNAL_H
#define CORE_ENGINE_INTERNAL_H

#include "core/action.h"

/* One action under way. */
struct run {
	struct engine *engine;
	struct engine_payload *payload;
	enum action_kind kind;
	struct action_options options; /* no 0 left in the times */
	struct action_report *report;  /* never NULL */
	struct action_intent intent;   /* its vector is the plan */
	size_t n_ranges;	       /* in engine->ranges: what must be free */
	uint64_t stop_began_ns;
	struct poke poke; /* by gate: of the running try */
	bool gate_open;
};

/* engine.c: the one-action flag; list and stack. */
int engine_enter(struct engine *engine); /* -CORE_EBUSY */
void engine_leave(struct engine *engine);
bool engine_knows(const struct engine *engine, const struct engine_payload *payload);
int engine_check(const struct engine *engine, const struct engine_payload *payload,
		 struct action_report *report);
void engine_link(struct engine *engine, struct engine_payload *payload);
void engine_unlink(struct engine *engine, struct engine_payload *payload);
void engine_push(struct engine *engine, struct engine_payload *payload);
void engine_pop(struct engine *engine);
const struct engine_site *engine_site_at(const struct engine_payload *payload, uint64_t address);
/* A site of payload that shares bytes with this one, identical or not; or NULL. */
const struct engine_site *engine_shares_bytes(const struct engine_payload *payload,
					      const struct engine_site *site);
/* What stood at address before any payload was applied, or NULL: no applied one has a site there. */
const uint8_t *engine_pristine(const struct engine *engine, uint64_t address);

/* plan.c: the vector and the ranges of an action; reads, and refuses what does not fit. Nothing is written.
 */
int plan_apply(struct run *run);
int plan_revert(struct run *run);
int plan_replace(struct run *run);
int plan_interiors(struct run *run); /* only the ranges within the sites of run->intent */
/* An apply hook switched nothing: the payload's own sites end where they would without it. */
void plan_without_payload(struct run *run);
int plan_expect_old(struct run *run);
size_t plan_find(const struct poke_site *sites, size_t n, uint64_t address); /* index, or POKE_NO_SITE */

/* hooks.c */
int hooks_pre(struct run *run, struct engine_payload *payload, enum hook_kind kind);
int hooks_each(struct run *run, struct engine_payload *payload, enum hook_kind kind);
void hooks_after(struct run *run, struct engine_payload *payload, enum hook_kind kind);
/*
 * The hook that takes the place of the built-in switch. Quiescent. Whatever it wrote, the sites hold their
 * old bytes again afterwards; *did: the hook had switched all of the payload's sites. Failed: also put back.
 */
int hooks_action(struct run *run, struct engine_payload *payload, enum hook_kind kind, bool *did);

/*
 * quiesce.c: quiesce_open() once, before the intent. quiesce_begin() 0: no core is inside run's ranges; by
 * rendezvous all stand still, by gate every site traps. quiesce_end() lets them go. quiesce_close() after all
 * of it, whatever came out.
 */
int quiesce_options(struct run *run, const struct action_options *options);
int quiesce_open(struct run *run);
int quiesce_begin(struct run *run);
int quiesce_end(struct run *run);
void quiesce_close(struct run *run);

/* gate.c: one try of it, its end, and the switch: the commit first (gate.c says why). */
int gated_try(struct run *run, uint64_t deadline_ns, enum action_reason *why);
int gated_let_go(struct run *run);
int gated_switch(struct run *run);

/* perform.c: the journal's intent; may come twice, see host.h. */
int perform_intent(struct run *run);

/* perform.c: with cores standing still. 0: the last byte stands and commit was kept. */
int perform_on(struct run *run);
int perform_off(struct run *run);

/* states.c: what an action that happened does to list and stack. */
void states_apply(struct engine *engine, struct engine_payload *payload, bool switched);
void states_revert(struct engine *engine, struct engine_payload *payload);
/* The payloads that came off stay linked by `below`, from the old top on. */
void states_replace(struct engine *engine, struct engine_payload *payload, bool switched);

/* run.c: the frame of every action. begin fails when another one is in flight. */
int run_begin(struct run *run, struct engine *engine, struct engine_payload *payload, enum action_kind kind,
	      struct action_report *report, struct action_report *own);
int run_end(struct run *run, int r);

/* Sets error, reason and whose fault; returns error. Only the first failure counts. */
int run_fail(struct run *run, int error, enum action_reason reason, const struct engine_payload *payload);
/* A failure after the action has happened. */
void run_after(struct run *run, int error, enum action_reason reason, const struct engine_payload *payload);
void run_log(const struct run *run, const struct engine_payload *payload, const char *what, int64_t value);
/* Says whose site of the plan it was. */
void run_blame_site(struct run *run, size_t plan_site);

#endif
