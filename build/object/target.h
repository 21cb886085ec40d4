/* SPDX-License-Identifier: MIT */
/*
 * From a relocation, or a distance that the assembler has filled in, to what is meant: a symbol, a piece and an offset,
 * a string, a constant. In two steps, because what the pieces of read-only data are is known only when all references
 * are.
 */
#ifndef BUILD_OBJECT_TARGET_H
#define BUILD_OBJECT_TARGET_H

#include "build/object/object.h"

/* Fills in all of `reference` that tells its target, but the piece: from a symbol with this much added... */
void object_target_symbol(const struct object *object, uint32_t symbol, int64_t addend,
			  struct object_reference *reference);
/* ...or from a place in a section. */
void object_target_place(const struct object *object, uint32_t section, int64_t at,
			 struct object_reference *reference);

/* The second step: finds the piece, makes `addend` relative to it, tells what is ambiguous. */
void object_target_bind(const struct object *object, struct object_reference *reference);

/*
 * The references that the relocations in [offset, offset + size) of a data section make, relative to offset. What the
 * entries of a jump table are relative to is where the table begins, so that must be where it does.
 */
_must_check_ struct usp_error *object_target_data(const struct object *object, uint32_t section,
						  uint64_t offset, uint64_t size,
						  struct object_reference **ret, size_t *ret_n);

/* Length in bytes of the string at this place of a section of strings, without its end; -1: it has no end. */
int64_t object_string_length(const struct object_section *section, int64_t at);

#endif
