/* SPDX-License-Identifier: MIT */
/*
 * A simulated host: an array as text memory, a clock that only moves when somebody waits, cores that are
 * addresses, hooks that are entries in a table. It checks the engine's promises on the way (text written only
 * while cores stand still and after the intent was kept, every stop released, commit only when the last byte
 * stands) and fails any operation on demand.
 */
#ifndef TESTS_CORE_SIM_H
#define TESTS_CORE_SIM_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/action.h"
#include "core/errno.h"
#include "core/host.h"
#include "core/poke.h"

#define SIM_BASE   UINT64_C(0x400000)
#define SIM_SIZE   ((size_t)1 << 16)
#define SIM_EVENTS 4096

enum sim_fault {
	SIM_NOT_DONE,  /* the operation fails and has done nothing */
	SIM_DONE,      /* it fails, but was done (a read-back that failed) */
	SIM_HALF_DONE, /* a write fails half way */
};

/* What a hook does besides returning a number. */
enum sim_hook {
	SIM_HOOK_PLAIN,
	SIM_HOOK_SWITCHES_ALL,	/* apply: to the new bytes; revert: to the saved ones */
	SIM_HOOK_SWITCHES_SOME, /* only the first site */
	SIM_HOOK_WRITES_JUNK,
	SIM_HOOK_CANNOT_RUN,
};

struct sim {
	struct host_ops ops;
	uint8_t *text;
	uint8_t *pristine;
	uint64_t base;
	size_t size;
	uint64_t now_ns;
	bool check_stopped; /* text may be written only while stopped and after an intent */

	unsigned reads, writes, syncs, stops, releases, pauses;
	bool stopped;
	/* By gate: open, nobody gets in (drained); and how gate_open ends if not well. */
	unsigned opens, closes, drains, let_goes, retracts;
	bool gate_open, drained;
	unsigned not_ready; /* so many times */
	int open_error;
	size_t trap;
	bool commit_late;
	unsigned never_stop; /* so many stops time out */
	int stop_error;	     /* instead of -CORE_ETIMEDOUT */
	uint64_t core;	     /* somebody is here ... */
	unsigned core_looks; /* ... for so many looks */
	int quiescent_error; /* instead of looking */
	struct host_range ranges[256];
	size_t n_ranges; /* of the last look */

	/* The k-th fallible operation (from 1) fails; 0: none. sticky: all later ones too. */
	unsigned fallible, fail_at;
	bool sticky, only_writes_and_syncs;
	enum sim_fault how;
	bool faulted;

	/* Die: longjmp out of the k-th operation of any kind; 0: never. */
	unsigned ops_done, die_at;
	jmp_buf death;

	/* Journal. */
	bool has_intent, committed;
	struct action_intent intent;
	struct poke_site *journal;
	unsigned intents, commits, settles;
	int settled_status;

	enum sim_hook hook_does[HOOK_KINDS];
	int hook_result[HOOK_KINDS];
	const struct engine_payload *hook_only; /* the two above count for this payload only; NULL: all */
	char trace[4096];   /* "name:kind#index " for each hook, "[" stop, "]" release, "(" gate_open, "|"
			       drained,
				"~" let_go, ")" gate_close */
	const char *symbol; /* the target has it */
	unsigned logs, logs_without_name;
	void (*on_stop)(struct sim *sim);
	void (*on_settled)(struct sim *sim);
	void *user;

	/* Every byte written and every sync, in order, for the model of cores. */
	struct sim_event {
		enum {
			SIM_WRITE,
			SIM_SYNC,
			SIM_DRAIN
		} kind;
		uint64_t address;
		uint8_t byte;
	} events[SIM_EVENTS];
	size_t n_events;
};

struct sim *sim_create(size_t size);
void sim_destroy(struct sim *sim);
uint8_t *sim_at(struct sim *sim, uint64_t address);
bool sim_pristine(const struct sim *sim);

extern const uint8_t sim_trap[1];

#endif
