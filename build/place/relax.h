/* SPDX-License-Identifier: MIT */
/*
 * What a linker writes over an instruction when it knows more than the compiler did: a load from the GOT becomes the
 * address itself, a thread-local variable's offset is filled in instead of asked for. Only the forms, as the psABI has
 * them (B.2, and the TLS chapter of "ELF Handling For Thread-Local Storage") and as GNU ld, gold and lld write them; what
 * stands in their fields is for bytes.h to judge.
 */
#ifndef BUILD_PLACE_RELAX_H
#define BUILD_PLACE_RELAX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "build/object/object.h"

#define PLACE_RELAX_MAX 4

enum place_value {
	PLACE_VALUE_NONE,     /* no field */
	PLACE_VALUE_DISTANCE, /* from the field's end to the symbol */
	PLACE_VALUE_ADDRESS,  /* the symbol's */
	PLACE_VALUE_TPOFF,    /* the variable's, from the thread pointer */
	PLACE_VALUE_GOT,      /* distance to a word or pair of the GOT */
};

struct place_relax {
	uint64_t start; /* in the piece: where it is written over */
	uint8_t bytes[20];
	uint8_t size;
	uint8_t field; /* in bytes: where its 4 bytes are */
	enum place_value value;
	uint8_t relocations; /* how many of the object's are used up: the second is a call of __tls_get_addr */
};

/*
 * All that the instruction around relocation k of its section may have become, at most PLACE_RELAX_MAX; the number of them.
 * bytes, size: the object's piece at `offset` of the section.
 */
size_t place_relax_forms(const struct object_section *section, size_t k, const uint8_t *bytes,
			 uint64_t offset, uint64_t size, struct place_relax *ret);

/* Whether these bytes of the linked program, as long as the piece, have this form, whatever is in the field. */
bool place_relax_fits(const struct place_relax *form, const uint8_t *linked);

#endif
