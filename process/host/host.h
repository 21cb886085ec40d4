/* SPDX-License-Identifier: MIT */
/*
 * The process host as the engine sees it: the payloads of the registry as the engine's, and the table of
 * operations (rendezvous by ptrace, text through /proc/PID/mem, membarrier inside the target, hooks on a
 * borrowed thread, the registry as the journal). One host serves one action.
 */
#ifndef PROCESS_HOST_HOST_H
#define PROCESS_HOST_HOST_H

#include "core/action.h"
#include "core/errno.h"
#include "process/callable.h"
#include "process/gate/gate.h"
#include "process/scan/try.h"
#include "process/session.h"

struct host_payload { /* engine_payload.user points here */
	struct engine_payload engine;
	const struct record *record; /* the registry's, or the upload's */
	int index;		     /* in the registry; -1: not in it yet */
	struct engine_site *sites;   /* sorted by address */
	uint32_t *site_function;     /* which function of the record each site belongs to */
	struct host_range *old_ranges;
	struct engine_state *states;
};

/* Who was inside at the last look that found somebody, for the message. */
struct host_blocker {
	pid_t tid;
	char name[16];
	struct stack_trace *trace; /* owned */
	bool unknown;		   /* the walk was incomplete */
	unsigned seen;		   /* at how many tries it was this thread */
};

struct host {
	struct session *session;
	struct engine engine;
	struct host_payload *payloads; /* REGISTRY_PAYLOADS_MAX + 1 */
	size_t n_payloads;
	struct poke_site *room_sites;
	struct host_range *room_ranges;

	struct module *module; /* of an upload: whose symbols count for "exists already"; else NULL */
	struct stack_image *images;
	struct stack_checker *checker;
	struct callable *callable;
	struct threads *threads; /* while stopped */
	struct remote *remote;	 /* one of them, while stopped and needed */
	struct gate *gate;	 /* while one is open */
	bool gate_stops_all;	 /* at its end, because more ptrace follows */
	char *blockers;		 /* who was in the way of a gate, for the message; owned */
	size_t threads_stopped;
	uint64_t seize_ns;   /* what seizing took in this try: nobody stood still for it, so the try gets it
				back */
	uint64_t stopped_ns; /* how long the threads stood still the last time */
	struct registry_entry *before; /* the table as it was, while an action is in flight */

	struct host_blocker blocker;
	struct scan_try scan;
	struct host_marks *marks; /* timeline.c; NULL: there is no timeline */
	struct usp_error *error;  /* what an operation had to say beyond its errno; owned */
};

_must_check_ struct usp_error *host_create(struct session *session, struct host **ret);
void host_destroy(struct host *host); /* NULL is fine */

/* Makes the engine's payload of a record that is not in the registry yet (an upload). */
_must_check_ struct usp_error *host_add(struct host *host, const struct record *record,
					struct host_payload **ret);
/* Gives the engine the room that any action may take now. Before each action. */
_must_check_ struct usp_error *host_room(struct host *host);

/* Loads what looking at stacks needs, before anyone is stopped. Before each action. */
_must_check_ struct usp_error *host_prepare_looks(struct host *host);

struct host_payload *host_find(struct host *host, int index);

/* Brings the registry's table in line with the engine's states and results, if they differ. */
_must_check_ struct usp_error *host_keep_states(struct host *host);

/* The engine's payload as registry->entries[] holds it after the action. */
void host_fill_entry(const struct host *host, const struct host_payload *payload,
		     struct registry_entry *entry);

/* Keeps who was in the way of host->gate. */
void host_note_blockers(struct host *host);

/* The sentence for the operator. Takes host->error. */
_must_check_ struct usp_error *host_report(struct host *host, const struct action_report *report);

/* The table of operations (ops.c). */
extern const struct host_ops process_host_ops;

#endif
