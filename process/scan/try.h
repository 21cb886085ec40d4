/* SPDX-License-Identifier: MIT */
/*
 * --scan all, as part of a try to become quiescent: first with everybody running, which refuses cheaply and
 * tells how long the real scan will take, and then, when all are stopped and no thread is inside, with
 * everybody standing still: the one that counts. Why it must be so: docs/gate.md, "Coroutines".
 */
#ifndef PROCESS_SCAN_TRY_H
#define PROCESS_SCAN_TRY_H

#include "core/host.h"
#include "process/scan/scan.h"

struct host;

struct scan_try { /* all 0: no scan */
	bool wanted;
	uint64_t limit_ns; /* how long it may hold the threads */

	struct scan_set set;
	struct host_range *ranges; /* that the set was made of */
	size_t n_ranges;
	bool settled;		 /* set and ranges are valid */
	struct scan_hits before; /* that were there with everybody running */
	char *found;		 /* by the last try: what there is to tell; NULL: nothing */
};

/* Before anybody is stopped. *found: there is no use in stopping. */
_must_check_ struct usp_error *scan_try_running(struct host *host, bool *found);
/* Everybody is stopped, and no thread is inside the ranges. *found: somebody may come back into them. */
_must_check_ struct usp_error *scan_try_stopped(struct host *host, const struct host_range *ranges, size_t n,
						bool *found);
void scan_try_deinit(struct scan_try *scan);

#endif
