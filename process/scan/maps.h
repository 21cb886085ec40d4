/* SPDX-License-Identifier: MIT */
/*
 * What of a target's memory can hold a suspended context: its writable mappings, and of these the pages that
 * exist. From /proc/PID/smaps, which says what a mapping is besides its protection, and /proc/PID/pagemap.
 */
#ifndef PROCESS_SCAN_MAPS_H
#define PROCESS_SCAN_MAPS_H

#include "base/range.h"
#include "process/maps.h"

/* Of the line VmFlags. */
#define SCAN_FLAG_DEVICE    1u /* io, pf: memory of a device; there are no page structures behind it */
#define SCAN_FLAG_USERFAULT 2u /* um, ui: somebody else serves its pages; reading one may wait for him */
#define SCAN_FLAG_HUGE	    4u /* ht: hugetlbfs */

struct scan_maps {
	struct maps maps;
	uint8_t *flags; /* of maps.v[] of the same index */
};

/* USP_UNSUPPORTED: the kernel does not tell. */
_must_check_ struct usp_error *scan_maps_read(const struct target *target, struct scan_maps *ret);
/* From text in the form of /proc/PID/smaps. -EBADMSG: not that form, or a mapping without flags; -ENOMEM. */
_must_check_ int scan_maps_parse(const char *text, size_t n, struct scan_maps *ret);
void scan_maps_deinit(struct scan_maps *maps);

/* Whether a page that neither exists nor is swapped out holds zeroes: it has never been written to. */
bool scan_maps_starts_empty(const struct scan_maps *maps, size_t i);

/* What pagemap says of pages. */
struct scan_pages {
	int fd;		 /* -1: it could not be opened; then every page counts as one that exists */
	uint64_t *entry; /* of pages from `start` on */
	uint64_t start, end;
};
_must_check_ struct usp_error *scan_pages_open(const struct target *target, struct scan_pages *ret);
void scan_pages_close(struct scan_pages *pages);
/* The first run of pages that exist in [start, end); start == end: there is none. */
struct range scan_pages_next(struct scan_pages *pages, uint64_t start, uint64_t end);

#endif
