/* SPDX-License-Identifier: MIT */
/*
 * The instructions of a function, and what each of them points at: by a relocation, or by a distance within the section
 * that the assembler knew.
 */
#ifndef BUILD_OBJECT_CODE_H
#define BUILD_OBJECT_CODE_H

#include "build/object/object.h"

/* Fills in insns and references (not bound yet, target.h), or sets opaque. */
_must_check_ struct usp_error *object_code_read(const struct object *object, struct object_piece *piece);

/* Whether all of these bytes are padding that an assembler leaves between functions. */
bool object_code_is_padding(const uint8_t *bytes, size_t size);

#endif
