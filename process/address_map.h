/* SPDX-License-Identifier: MIT */
/*
 * A map from addresses to 64-bit values: what an analysis of code has seen where. Grows; nothing is ever
 * removed.
 */
#ifndef PROCESS_ADDRESS_MAP_H
#define PROCESS_ADDRESS_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

struct address_map {
	struct address_entry {
		uint64_t address; /* + 1; 0: free */
		uint64_t value;
	} * v;
	size_t n, capacity; /* capacity: a power of two or 0 */
};

/* The value at address; where there is none, 0 is put there. NULL: no memory. Valid until the next call. */
uint64_t *address_map_at(struct address_map *map, uint64_t address);
/* The value at address, or NULL. */
const uint64_t *address_map_find(const struct address_map *map, uint64_t address);
void address_map_deinit(struct address_map *map);

#endif
