/* SPDX-License-Identifier: MIT */
/*
 * The line table of an object (DWARF 2 to 5), as far as it tells which source line an instruction comes from: the only
 * witness for a number in the code being a __LINE__. A table that is missing, compressed or cannot be understood is no
 * error: then nothing is known. The file's numbers are not read: the line is all that __LINE__ has.
 */
#ifndef BUILD_OBJECT_LINES_H
#define BUILD_OBJECT_LINES_H

#include "build/object/object.h"

/* Whether the table says that this instruction (a place in a section) comes from a line of this number. */
bool object_lines_have(const struct object *object, uint32_t section, uint64_t offset, uint64_t line);

/* Some line of it, for messages; 0: not known. */
uint32_t object_lines_of(const struct object *object, uint32_t section, uint64_t offset);

#endif
