/* SPDX-License-Identifier: MIT */
/*
 * The places that a section may have by the names in it: those at which the linked program has every one of them, of
 * the right size and from a source file of the right name. The whole set, never the first match.
 */
#ifndef BUILD_PLACE_NAMES_H
#define BUILD_PLACE_NAMES_H

#include "build/place/place.h"
#include "process/elf/symbol_table.h"

struct place_candidate {
	uint64_t address;
	uint32_t group; /* the linked object that its local symbols are of (struct entry), 0: it has none */
};

struct place_candidates {
	struct place_candidate *v;
	size_t n;
	uint32_t file; /* the object's STT_FILE symbol that its local ones come under, 0: none */
	bool named;    /* something in it has a name that the program's symbols can know */
	bool strong;   /* something in it is global, and the object's own: neither weak nor COMDAT */
	bool shared;   /* all that has a name may be another object's: weak or COMDAT */
};

struct place_names {
	const struct object *object;
	const struct module *target;
	struct symbol_table *table;
	const struct symbol_set *set;
	uint64_t tls_start, tls_size;
	uint32_t *order; /* the symbols that count, by section */
	size_t n_order;
	uint32_t *files; /* by symbol: the STT_FILE that it comes under */
};

_must_check_ struct usp_error *place_names_init(const struct object *object, struct module *names,
						const struct module *target, struct place_names *ret);
void place_names_deinit(struct place_names *names);

/* *ret: v to be freed. USP_AMBIGUOUS: far too many. */
_must_check_ struct usp_error *place_names_candidates(const struct place_names *names, uint32_t section,
						      struct place_candidates *ret);

/* Where the program has a symbol that is not local; PLACE_NONE: nowhere, or in several places. */
uint64_t place_names_global(const struct place_names *names, uint32_t symbol);

/* Where the program has a symbol that counts, whatever its size. */
struct place_hint place_names_hint(const struct place_names *names, uint32_t symbol);

/* How many linked objects bear the name of this STT_FILE symbol. */
size_t place_names_files(const struct place_names *names, uint32_t file);

/* Whether the section can lie at this address: aligned, and within one segment. */
bool place_names_sound(const struct place_names *names, uint32_t section, uint64_t address);

#endif
