/* SPDX-License-Identifier: MIT */
/*
 * One command's view of a target: its maps, modules and registry, read once under the lock. What
 * usplice/process.h calls an open process holds a target; every action makes a session on it and drops it at
 * the end.
 */
#ifndef PROCESS_SESSION_H
#define PROCESS_SESSION_H

#include <usplice/action.h>

#include "process/registry.h"
#include "process/elf/symbols.h"

struct usp_process {
	struct target *target;
};

struct session {
	struct target *target;	    /* not owned */
	struct usp_options options; /* defaults filled in */
	struct maps maps;
	struct modules *modules;
	struct registry *registry;
	uint64_t began_ns, deadline_ns; /* CLOCK_MONOTONIC */
	uint64_t timeline_ns;		/* when it began with waiting for the lock, on its timeline */
};

/*
 * Reads maps, modules and registry. locked: takes the lock first (waiting when options say so). Does not
 * recover. options may be NULL.
 */
_must_check_ struct usp_error *session_open(struct usp_process *process, const struct usp_options *options,
					    bool locked, struct session **ret);
/* Maps and registry alone, unlocked: for looking. modules is NULL. */
_must_check_ struct usp_error *session_open_registry(struct usp_process *process, struct session **ret);
void session_close(struct session *session); /* NULL is fine; gives the lock back */

/*
 * What to tell when something failed: when the target has ended meanwhile, that (USP_GONE), for whatever else
 * failed then failed for that. Takes error; NULL stays NULL.
 */
_must_check_ struct usp_error *session_reason(const struct target *target, struct usp_error *error);

/* Reads the maps again (after something was mapped). */
_must_check_ struct usp_error *session_refresh_maps(struct session *session);

/*
 * Makes sure that the target has usplice's area and registry, with one thread borrowed for it. remote: an
 * open one.
 */
_must_check_ struct usp_error *session_need_registry(struct session *session, struct remote *remote,
						     const struct remote_area *area);

/* A line to options.log, with the payload's name in front. */
void session_log(const struct session *session, enum usp_log_level level, const char *payload,
		 const char *format, ...) __attribute__((format(printf, 4, 5)));

uint64_t now_ns(void); /* CLOCK_MONOTONIC */

#endif
