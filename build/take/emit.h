/* SPDX-License-Identifier: MIT */
/*
 * The payload as assembler source: each piece that is taken in as its bytes and `.reloc` lines, its unwind information,
 * the records of <usplice/payload.h>. An assembler makes the object; what is in it can be read.
 */
#ifndef BUILD_TAKE_EMIT_H
#define BUILD_TAKE_EMIT_H

#include <stdio.h>

#include "build/take/take.h"

/* USP_UNSUPPORTED names what cannot be taken over. */
_must_check_ struct usp_error *emit(struct take *take, FILE *out);

#endif
