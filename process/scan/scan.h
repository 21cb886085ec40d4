/* SPDX-License-Identifier: MIT */
/*
 * The look through all writable memory of a target: coroutines that are suspended, on whose stacks no thread
 * stands, have their return addresses there and nowhere else.
 *
 * Whatever cannot be read is an error, not "nothing found"; but for the memory of devices, and pages of a
 * file beyond its end, which cannot hold anything. With the target running (tolerant) the result is a hint
 * and what vanishes under the scan is passed over.
 *
 * Not seen: addresses that are kept in another form (xored, as setjmp() does it; compressed; not aligned to 8
 * bytes), or outside of the process' memory.
 */
#ifndef PROCESS_SCAN_SCAN_H
#define PROCESS_SCAN_SCAN_H

#include "process/scan/maps.h"
#include "process/scan/words.h"

struct scan {
	const struct target *target;
	pid_t tid;		      /* of a thread that lives */
	const struct scan_set *set;   /* what is looked for */
	const struct range_set *skip; /* what is not looked at; sealed */
	uint64_t deadline_ns;
	bool tolerant;

	struct scan_maps maps; /* the mappings, read before */

	/* the result */
	struct scan_hits hits;
	uint64_t bytes, ns; /* that were read, and how long it took */
	uint64_t cpu_ns;    /* of it, on a CPU: what it takes when nobody else wants that */
};

/* USP_NOT_QUIESCENT: something could not be read (named), or the deadline has passed. */
_must_check_ struct usp_error *scan_run(struct scan *scan);

/* Whether one of the hits is what it was when it was found. */
bool scan_still_hits(const struct scan_hits *hits, const struct target *target);

/* "[heap]", "anonymous memory" or the name, and from where to where. */
void scan_describe_mapping(const struct mapping *mapping, char *buf, size_t size);

#endif
