/* SPDX-License-Identifier: MIT */
/*
 * One piece of an object against the bytes at an address of the linked program: equal outside of the relocated fields,
 * and in them what the linker must have filled in. Where it had a choice (relax.h; a PLT entry instead of
 * the function), any of what it may do is right.
 */
#ifndef BUILD_PLACE_BYTES_H
#define BUILD_PLACE_BYTES_H

#include "build/place/place.h"

struct place_bytes {
	const struct object *object;
	const struct place *place;
	struct module *target;
	/* While places are looked for: what has none may be anywhere. Else a reference to it is a difference. */
	bool guess;
	/* NULL, or told where a reference has it if the section `section`, which has no place yet, is at `address`. */
	void (*found)(void *context, uint32_t section, uint64_t address);
	void *context;
};

#define PLACE_SAME UINT64_MAX

/*
 * *difference: where in the piece the first byte is that should not be so, or PLACE_SAME. Of a piece that
 * is not in the file at that address: 0. Nothing is ever wrong with a piece without bytes (.bss).
 */
_must_check_ struct usp_error *place_bytes_compare(const struct place_bytes *with,
						   const struct object_piece *piece, uint64_t address,
						   uint64_t *difference);

/* The TLS segment: false when there is none. *size: rounded up as the thread pointer's offsets need it. */
bool place_tls(const struct module *target, uint64_t *start, uint64_t *size);

#endif
