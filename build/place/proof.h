/* SPDX-License-Identifier: MIT */
/*
 * Whether the program that runs was made from this object: each of its functions and variables, where place.h has found
 * it, byte for byte, the relocated fields by what they mean. And if it was not, what may be the cause.
 */
#ifndef BUILD_PLACE_PROOF_H
#define BUILD_PLACE_PROOF_H

#include "build/place/place.h"

/*
 * *difference: NULL if the program has the same, else where it does not, in a sentence ("rebuilt: mov ...; target:
 * lea ..."), to be freed. Of code also the read-only data that it refers to and that is the object's own (jump tables);
 * not the variables and functions: those are pieces, too. What is in no file (.bss) is always the same.
 * What has no place, because the program has something else by its name or beside it: that is the difference.
 * USP_NOT_FOUND: the program has nothing like the piece (the linker left it out).
 */
_must_check_ struct usp_error *proof_piece(const struct object *object, const struct place *place,
					   uint32_t piece, struct module *target, char **difference);

/*
 * *cause: how the object was compiled differently from the program, as far as both tell (.comment; DW_AT_producer, of the
 * program also from its debug file), to be freed. NULL: alike, or nothing is known.
 */
_must_check_ struct usp_error *proof_cause(const struct object *object, struct module *names, char **cause);

#endif
