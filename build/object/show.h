/* SPDX-License-Identifier: MIT */
/*
 * Instructions and what they point at, for people.
 */
#ifndef BUILD_OBJECT_SHOW_H
#define BUILD_OBJECT_SHOW_H

#include <stdio.h>

#include "build/object/compare.h"

/* What a piece is called: its name, or "constant in .rodata". */
void object_show_piece(FILE *out, const struct object *object, const struct object_piece *piece);
/* "malloc", "f+0x12", "the string "usage"", … */
void object_show_reference(FILE *out, const struct object *object, const struct object_reference *reference);
/* The instruction with this index of a function, in AT&T's notation; "(end)" behind the last one. */
void object_show_insn(FILE *out, const struct object *object, const struct object_piece *piece, size_t insn);
/* The first difference of two functions, both sides. */
void object_show_difference(FILE *out, const struct object_pairs *pairs, const struct object_piece *before,
			    const struct object_piece *after, enum object_same same,
			    const struct object_difference *difference);

#endif
