/* SPDX-License-Identifier: MIT */
/*
 * One of the two builds: its debug information as a list of what has a name. Relocated by libdwfl, in a
 * copy of the file; no other file is opened (debug links, .dwo). Everything that can be found wrong with it
 * is found here.
 */
#ifndef BUILD_TYPES_SIDE_H
#define BUILD_TYPES_SIDE_H

#include <elfutils/libdwfl.h>
#include <stddef.h>
#include <stdint.h>

#include "build/types/layout.h"

enum types_entry_kind {
	TYPES_ENTRY_TAG,     /* a struct, union, class or enumeration by its tag: one name space */
	TYPES_ENTRY_TYPEDEF, /* of one of these, with or without a tag */
	TYPES_ENTRY_ENUM,    /* an enumeration without a tag */
	TYPES_ENTRY_FUNCTION,
	TYPES_ENTRY_STATIC, /* a variable with static storage */
};

struct types_entry {
	enum types_entry_kind kind;
	const char *key;  /* what pairs it with the other build's, within its kind; there may be several */
	const char *name; /* for people */
	Dwarf_Die die;	  /* of the type itself, of a typedef's too */
	uint32_t unit;
	bool shared;		     /* layout belongs to another entry of the same DIE */
	struct types_layout *layout; /* never NULL once read */
};

/* A function with code, or with the source that was inlined: where to look for what it uses. */
struct types_body {
	const char *
		symbol; /* as far as the debug information says: the linkage name, else the source's; NULL: none */
	Dwarf_Die die;
	uint32_t unit;
	bool placed; /* where its code is, is said */
};

/* A place with a name, and where a body's code is; in addresses as libdwfl has laid out the sections (address.h). */
struct types_symbol {
	const char *name;
	uint64_t address;
};

struct types_range {
	uint64_t start, end;
	size_t body;
};

struct types_side {
	const char *path;
	uint8_t *data;
	size_t size;
	Dwfl *dwfl;
	Dwarf *dwarf;
	struct types_pool pool;
	struct types_reader reader;
	struct types_entry *entries; /* by kind and key; those of equal ones by address */
	size_t n_entries, entries_capacity;
	uint32_t *by_address; /* indices of entries by their DIE's address */
	struct types_body *bodies;
	size_t n_bodies, bodies_capacity;
	struct types_symbol *symbols; /* by name */
	size_t n_symbols;
	struct types_range *ranges;
	size_t n_ranges;
	uint32_t n_units;
};

/* Errors: the file cannot be read, or is no relocatable object for x86-64. path must outlive it. */
_must_check_ struct usp_error *types_side_open(const char *path, struct types_side *ret);
/* Fills the lists. USP_BAD_PAYLOAD, USP_NOT_FOUND or USP_UNSUPPORTED: it cannot be found out, and why. */
_must_check_ struct usp_error *types_side_read(struct types_side *side);
void types_side_close(struct types_side *side); /* also of one that could not be opened */

/* The step in between: all entries and bodies (walk.c). */
_must_check_ struct usp_error *types_walk(struct types_side *side);

/*
 * The entries of this DIE: by_address[i] from the result on, as long as the address is the same; n_entries:
 * none.
 */
size_t types_side_at(const struct types_side *side, const void *address);

#endif
