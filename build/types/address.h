/* SPDX-License-Identifier: MIT */
/*
 * Which debug information is a symbol's: by where its code is. Names are not enough, the debug information has the
 * source's own: "helper" of _ZL6helperP1Ti and of its clone _ZL6helperP1Ti.isra.0, one name of an alias' two. In an
 * object each section begins at 0, so libdwfl has laid them out one behind the other, and an address says its section.
 */
#ifndef BUILD_TYPES_ADDRESS_H
#define BUILD_TYPES_ADDRESS_H

#include "build/types/side.h"

/* Fills side->symbols and side->ranges. The bodies are known. */
_must_check_ struct usp_error *types_address_read(struct types_side *side);

/* The symbols of this name: *n of them (0: none), from the result on. The name is the first length bytes. */
const struct types_symbol *types_address_symbols(const struct types_side *side, const char *name,
						 size_t length, size_t *n);

#endif
