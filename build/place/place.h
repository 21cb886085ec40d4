/* SPDX-License-Identifier: MIT */
/*
 * Where the parts of an object lie in the linked program: link-time addresses, found by names and confirmed by
 * what refers to what. The linker keeps each section in one piece, so a section has one address, and all that the
 * object names in it must be there. Says where something would be; whether it is the same there is asked of proof.h.
 */
#ifndef BUILD_PLACE_PLACE_H
#define BUILD_PLACE_PLACE_H

#include "build/object/object.h"
#include "process/elf/dynamic.h"
#include "process/elf/module.h"

#define PLACE_NONE UINT64_MAX

enum place_state {
	PLACE_ABSENT, /* the object was not linked into the program */
	PLACE_FOUND,  /* it was, as it is; some of its sections may have been left out */
	/* The program has a source file and something global of these names, but not as they are in the object: it was
	 * compiled in another way, or it is another one. Nothing has a place; proof_piece() tells what differs. */
	PLACE_OTHER,
};

/* Where the program has something of a symbol's name, whatever its size: for messages only. */
struct place_hint {
	uint64_t address, size; /* PLACE_NONE: nowhere, or in several places */
};

struct place {
	enum place_state state;
	/*
	 * By section index; PLACE_NONE: it is not in the program, or that cannot be told. Of a thread-local section: the
	 * address in the TLS segment's image (PT_TLS's p_vaddr and on).
	 */
	uint64_t *sections;
	uint32_t n;
	/*
	 * By symbol index, of those that are not local: where the program has what bears this name, whichever object it
	 * came from; PLACE_NONE: not in this file (imported), or more than one.
	 */
	uint64_t *symbols;
	struct place_hint *hints;  /* by symbol index */
	const struct slot **slots; /* the target's, by address; not owned */
	size_t n_slots;
};

/*
 * names: the module with the symbols, the target itself or, if that is stripped, its twin (twin.h). Both
 * must outlive the place. An object that was not linked into the program has no place: all PLACE_NONE, no error.
 * USP_AMBIGUOUS: neither names, references nor bytes tell which of several places it is; they are listed.
 */
_must_check_ struct usp_error *place_object(const struct object *object, struct module *names,
					    struct module *target, struct place *ret);
void place_deinit(struct place *place); /* also of one that is all zero */

/* PLACE_NONE: nowhere; also when it is weak, and the program has somebody else's. */
uint64_t place_of_piece(const struct object *object, const struct place *place, uint32_t piece);
/* Of any symbol: a common, imported or global one by name, a local one by its section. */
uint64_t place_of_symbol(const struct object *object, const struct place *place, uint32_t symbol);

#endif
