/* SPDX-License-Identifier: MIT */
/*
 * Who calls or jumps to an address, directly. Found by looking at every byte of the text: a 32-bit
 * displacement that leads exactly there is a branch (by chance it is one in 2^32), whatever a linear decoding
 * might make of it; so code that no symbol or FDE covers is found too. Short jumps are common bytes, and
 * count only where decoding from a function's start meets them.
 */
#ifndef PROCESS_CLOBBER_SITES_H
#define PROCESS_CLOBBER_SITES_H

#include "process/clobber/flow.h"

struct sites {
	uint64_t *v; /* addresses of the branch instructions */
	size_t n, capacity;
};

/* All branches with a target in [start, end). */
_must_check_ struct usp_error *sites_find(struct analysis *a, uint64_t start, uint64_t end,
					  struct sites *ret);
/*
 * Whether the address is (or could be) used other than by direct branches: an instruction forms it, or an
 * aligned word of the file holds it (a relocation's addend, a pointer in a file that is not position
 * independent). exports: also if all that holds it is the dynamic symbol table.
 */
bool sites_address_taken(struct analysis *a, uint64_t address, bool exports);
void sites_deinit(struct sites *sites);

#endif
