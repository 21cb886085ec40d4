/* SPDX-License-Identifier: MIT */
/*
 * A set of address ranges [start, end): what is going away, what a function covers.
 * Built by adding, closed by range_set_seal() (sorts and merges), then asked by binary search.
 */
#ifndef BASE_RANGE_H
#define BASE_RANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

struct range {
	uint64_t start;
	uint64_t end; /* first address after it */
};

struct range_set {
	struct range *v; /* owned */
	size_t n;
	size_t capacity;
};

/* Adds [start, end); empty ranges are ignored. 0 or -ENOMEM. */
_must_check_ int range_set_add(struct range_set *set, uint64_t start, uint64_t end);

/* Sorts and merges; must be called before range_set_contains(). */
void range_set_seal(struct range_set *set);

/* The range that holds address, or NULL. */
const struct range *range_set_find(const struct range_set *set, uint64_t address);

void range_set_deinit(struct range_set *set);

#endif
