/* SPDX-License-Identifier: MIT */
/*
 * Actions on a running process: upload, apply, revert, replace, unload. Each either is done as a whole or
 * changes nothing. The idea of the states and actions is xSplice's (Xen, 2016).
 */
#ifndef USPLICE_ACTION_H
#define USPLICE_ACTION_H

#include <stdbool.h>
#include <stdint.h>

#include <usplice/process.h>
#include <usplice/timeline.h>

#ifdef __cplusplus
extern "C" {
#endif

#define USP_TRY_DEFAULT_MS     30u /* one try to become quiescent */
#define USP_TRY_MIN_MS	       1u
#define USP_TRY_MAX_MS	       10000u
#define USP_TIMEOUT_DEFAULT_MS 5000u /* all tries together */
#define USP_TIMEOUT_MAX_MS     86400000u
#define USP_SCAN_DEFAULT_MS    1000u /* how long a scan of the memory may hold the threads */
#define USP_SCAN_MAX_MS	       60000u

enum usp_log_level {
	USP_LOG_WARNING,
	USP_LOG_INFO,
	USP_LOG_DEBUG
};

/* How nobody comes to run a half-written function. */
enum usp_mode {
	USP_MODE_DEFAULT,    /* the gate */
	USP_MODE_RENDEZVOUS, /* all threads are stopped */
	USP_MODE_GATE, /* trap bytes at the entries: only who calls a patched function is held. Where hooks
			  need the world still, or the functions or the process rule it out, a rendezvous all
			  the same */
};

enum usp_consistency {
	USP_CONSISTENCY_GLOBAL, /* old and new code never run at the same time */
	USP_CONSISTENCY_NONE,	/* each function flips by itself; who is inside an old one goes on in it */
};

/* Where somebody is looked for who would come back into the code that is going away. */
enum usp_scan {
	USP_SCAN_THREADS, /* on the stacks of threads */
	USP_SCAN_ALL, /* in all writable memory, too: coroutines that are suspended. All threads are stopped
			 meanwhile, whatever the mode */
};

/* Zero-initialise; set size = sizeof(struct usp_options). A NULL pointer to it means all defaults. */
struct usp_options {
	size_t size;
	uint32_t timeout_ms; /* overall deadline of the action; 0: 5000 */
	uint32_t try_ms;     /* deadline of one try; 0: 30; 1 to 10000 */
	bool wait;	     /* another controller acts on the process: wait for it (else USP_BUSY) */
	bool nodeps;  /* do not check the order on the stack; the target's build-id is always checked */
	bool dry_run; /* everything but writing: all checks, nothing changed */
	void (*log)(void *context, enum usp_log_level level, const char *line);
	void *log_context;
	enum usp_mode mode;
	enum usp_consistency consistency;
	struct usp_timeline *timeline; /* what happens is written into it; or NULL */
	enum usp_scan scan;
	uint32_t scan_ms; /* how long USP_SCAN_ALL may hold the threads; 0: 1000; up to 60000 */
};

/* What an action did; filled in when not NULL, also on failure as far as it came. */
struct usp_outcome {
	char name[64];	     /* of the payload; "" when it was not found out */
	char build_id[129];  /* of the payload, hex; "" when it was not found out */
	uint32_t tries;	     /* rendezvous held */
	uint32_t threads;    /* threads stopped in the last one */
	uint32_t sites;	     /* sites written */
	uint32_t syncs;	     /* core syncs */
	uint64_t stopped_ns; /* how long threads stood still in the last rendezvous */
	uint64_t wall_ns;    /* the whole action */
	bool recovered;	     /* an action that a killed controller left was finished or undone first */
	enum usp_mode mode;  /* how it was done in the end */
};

/*
 * Checks the payload in file, lays it out, and puts it into the process: state CHECKED. Nothing calls it yet.
 * USP_BAD_PAYLOAD, USP_EXISTS, USP_MISMATCH, USP_NOT_FOUND (function, symbol), USP_AMBIGUOUS,
 * USP_UNSUPPORTED, …
 */
USP_API struct usp_error *usp_upload(struct usp_process *process, const char *file,
				     const struct usp_options *options, struct usp_outcome *outcome);

/* The following take a payload's name, or the path of its file (anything with a '/' in it or ending in
 * ".usp"). */

/* CHECKED -> APPLIED, on top of the stack. USP_WRONG_STATE, USP_ORDER, USP_VETO, USP_NOT_QUIESCENT, … */
USP_API struct usp_error *usp_apply(struct usp_process *process, const char *payload,
				    const struct usp_options *options, struct usp_outcome *outcome);
/* APPLIED and on top -> CHECKED; the original bytes are back exactly. */
USP_API struct usp_error *usp_revert(struct usp_process *process, const char *payload,
				     const struct usp_options *options, struct usp_outcome *outcome);
/* Every applied payload off and this one on, as one switch. If anything fails, all that was applied still is.
 */
USP_API struct usp_error *usp_replace(struct usp_process *process, const char *payload,
				      const struct usp_options *options, struct usp_outcome *outcome);
/* CHECKED -> gone; its memory is given back. */
USP_API struct usp_error *usp_unload(struct usp_process *process, const char *payload,
				     const struct usp_options *options, struct usp_outcome *outcome);

/* upload and apply; if the apply fails the upload is undone. */
USP_API struct usp_error *usp_load(struct usp_process *process, const char *file,
				   const struct usp_options *options, struct usp_outcome *outcome);

/*
 * Finishes or undoes an action whose controller was killed. Every other action does so first by itself.
 * *recovered says whether there was one.
 */
USP_API struct usp_error *usp_recover(struct usp_process *process, const struct usp_options *options,
				      bool *recovered);

#ifdef __cplusplus
}
#endif
#endif
