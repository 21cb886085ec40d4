/* SPDX-License-Identifier: MIT */
/*
 * Two versions of one function, instruction by instruction: NOPs left out (they align), jumps by where they go and not by
 * their width, operands by what they point at. A number that is another one is no difference if both builds' line
 * tables say that it is the __LINE__ of that very instruction, and nothing else differs.
 */
#ifndef BUILD_OBJECT_COMPARE_H
#define BUILD_OBJECT_COMPARE_H

#include "build/object/equal.h"

enum object_same {
	OBJECT_SAME,
	OBJECT_SAME_BUT_LINES,
	OBJECT_DIFFERENT,
};

/* Where the first difference is; instructions are indexes, n_insns: behind the last one. */
struct object_difference {
	size_t insn[2];
	const struct object_reference *reference[2]; /* NULL: not in what it points at */
	size_t line[2];				     /* the first instruction whose line moved */
	bool opaque;				     /* cannot be judged: there is code that is none */
};

enum object_same object_compare(struct object_equal *equal, const struct object_piece *before,
				const struct object_piece *after, struct object_difference *difference);

#endif
