/* SPDX-License-Identifier: MIT */
/*
 * One entry of the debug information (a DIE), read as a whole and checked: its attributes, the entries that
 * they name, its children. Nothing else in build/types*.c asks libdw for anything. References are followed
 * inside the file only, and children come in the order of the file, so no walk over them goes round.
 */
#ifndef BUILD_TYPES_DIE_H
#define BUILD_TYPES_DIE_H

#include <dwarf.h>
#include <elfutils/libdw.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum types_attr {
	TYPES_AT_NAME,
	TYPES_AT_LINKAGE_NAME,
	TYPES_AT_TYPE,
	TYPES_AT_ORIGIN,
	TYPES_AT_SPECIFICATION,
	TYPES_AT_SIGNATURE,
	TYPES_AT_CALL_ORIGIN,
	TYPES_AT_BYTE_SIZE,
	TYPES_AT_BIT_SIZE,
	TYPES_AT_DATA_BIT_OFFSET,
	TYPES_AT_BIT_OFFSET,
	TYPES_AT_MEMBER_LOCATION,
	TYPES_AT_UPPER_BOUND,
	TYPES_AT_COUNT,
	TYPES_AT_CONST_VALUE,
	TYPES_AT_ENCODING,
	TYPES_AT_DECLARATION,
	TYPES_AT_EXTERNAL,
	TYPES_AT_PROTOTYPED,
	TYPES_AT_LOCATION,
	TYPES_AT_ALIGNMENT,
	TYPES_AT_VTABLE_SLOT,
	TYPES_AT_DWO_NAME,
	TYPES_AT_LOW_PC,
	TYPES_AT_RANGES,
	TYPES_N_ATTRS,
};

struct types_die {
	Dwarf_Die die;
	unsigned tag;
	uint32_t present; /* a bit for each enum types_attr */
	Dwarf_Attribute attr[TYPES_N_ATTRS];
};

/* Broken debug information; the message says of what kind, the caller adds the file. */
#define types_broken(...) usp_errorf(USP_BAD_PAYLOAD, "broken debug information: " __VA_ARGS__)

_must_check_ struct usp_error *types_die_read(const Dwarf_Die *die, struct types_die *ret);

static inline bool types_die_has(const struct types_die *d, enum types_attr a)
{
	return d->present & (1u << a);
}

/* A flag that is set. */
bool types_die_flag(const struct types_die *d, enum types_attr a);
/* False: it is absent or no constant. Of a block that is "plus a constant" (DWARF 2), that constant. */
bool types_die_number(const struct types_die *d, enum types_attr a, uint64_t *ret);
/* Whether its location is a fixed place in memory or in each thread's own. */
bool types_die_is_static(const struct types_die *d);
/* Where the code of a function is: each part of it, one after the other. Begins with all zeros. */
struct types_die_range {
	ptrdiff_t next; /* 0 afterwards: there is no further one */
	uint64_t base, start, end;
};
_must_check_ struct usp_error *types_die_next_range(const struct types_die *d, struct types_die_range *range);
/* The expression's bytes hashed, for comparing; 0 of none. */
uint64_t types_die_expression_hash(const struct types_die *d, enum types_attr a);
/* NULL when absent or empty. It lives as long as the file is open. */
_must_check_ struct usp_error *types_die_string(const struct types_die *d, enum types_attr a,
						const char **ret);
/* The entry that the attribute names; *found: it has the attribute. ret may be d. */
_must_check_ struct usp_error *types_die_follow(const struct types_die *d, enum types_attr a,
						struct types_die *ret, bool *found);
/* The first of the children (before: NULL), or the next. *found: there is one. */
_must_check_ struct usp_error *types_die_child(const struct types_die *parent, const struct types_die *before,
					       struct types_die *ret, bool *found);

/* A struct, class or union; and: one of these or an enumeration, the whole of it and not a declaration. */
bool types_die_is_composite(const struct types_die *d);
bool types_die_is_definition(const struct types_die *d);

/*
 * The type of a variable, parameter or function and its name are often written at what it stands for: goes
 * on from d over abstract_origin and specification to the first that has the attribute. *found: there is
 * one.
 */
_must_check_ struct usp_error *types_die_find(const struct types_die *d, enum types_attr a,
					      struct types_die *ret, bool *found);
/* The linkage name of a function or variable, else its name; NULL: none. */
_must_check_ struct usp_error *types_die_symbol(const struct types_die *d, const char **ret);
/* Away with const, volatile and their like. *found: something is left (it is not void). */
_must_check_ struct usp_error *types_die_type(const struct types_die *d, struct types_die *ret, bool *found);
/* Whether what d, a variable, holds (be it an array of it) is const. */
_must_check_ struct usp_error *types_die_is_constant(const struct types_die *d, bool *ret);

#endif
