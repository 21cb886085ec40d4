/* SPDX-License-Identifier: MIT */
/*
 * The target's memory mappings, read from /proc/PID/maps. File names in it are hostile: they are only shown
 * or compared, never opened as they stand.
 */
#ifndef PROCESS_MAPS_H
#define PROCESS_MAPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "process/target.h"

struct mapping {
	uint64_t start, end; /* page multiples */
	uint64_t offset;     /* in the file */
	int prot;	     /* PROT_READ | PROT_WRITE | PROT_EXEC */
	bool shared;
	dev_t device;
	ino_t inode;	  /* 0: anonymous or special */
	const char *name; /* as shown, unescaped, " (deleted)" kept; "" when anonymous; owned by the maps */
};

struct maps {
	struct mapping *v; /* ascending, disjoint */
	size_t n;
	char *names; /* what the mappings' names point into */
};

/* USP_GONE when the target has no address space any more. */
_must_check_ struct usp_error *maps_read(const struct target *target, struct maps *ret);
/* The same from text in the form of /proc/PID/maps (n bytes). -EBADMSG: not that form, -ENOMEM; *ret is empty
 * then. */
_must_check_ int maps_parse(const char *text, size_t n, struct maps *ret);
void maps_deinit(struct maps *maps);

/* The mapping that holds address, or NULL. Binary search. */
const struct mapping *maps_find(const struct maps *maps, uint64_t address);

/*
 * The start of a free area of `size` bytes (page multiple) whose every byte is within `reach` bytes of every
 * byte of [start, end), keeping a page free on either side and clear of the stack's and the heap's room to
 * grow; nearest first. 0 when there is none. Respects mmap_min_addr and the 47-bit end of user space.
 */
uint64_t maps_find_gap(const struct maps *maps, uint64_t start, uint64_t end, uint64_t size, uint64_t reach);

#endif
