/* SPDX-License-Identifier: MIT */
/* What the parts of emit.h share. */
#ifndef BUILD_TAKE_EMIT_INTERNAL_H
#define BUILD_TAKE_EMIT_INTERNAL_H

#include "build/take/emit.h"

struct content {
	size_t object;
	uint32_t section;
	int64_t at;
};

struct emitter {
	struct take *take;
	FILE *out;
	struct content *contents; /* strings and constants that somebody refers to */
	size_t n_contents, content_capacity;
};

/* A symbol's name as the assembler reads it. */
void emit_symbol(FILE *out, const char *name);
/* The label of a piece that is taken in. */
void emit_label(FILE *out, const struct take *take, size_t object, uint32_t piece);
void emit_bytes(FILE *out, const uint8_t *bytes, size_t n);

/* The unwind information of a function or a part of one (emit_frame.c). */
_must_check_ struct usp_error *emit_frame(FILE *out, const struct take *take, size_t object, uint32_t piece);
/* Which functions are replaced, and where the target has what is referred to (emit_records.c). */
void emit_records(FILE *out, const struct take *take);

/* What is meant, as the assembler reads it; notes what content has to be written. */
_must_check_ struct usp_error *emit_meaning(struct emitter *e, const struct take_meaning *meaning);
/* A relocation of a field, `offset` behind the piece's label. */
_must_check_ struct usp_error *emit_relocation(struct emitter *e, size_t object, uint32_t piece,
					       int64_t offset, uint32_t type,
					       const struct take_meaning *meaning, int64_t addend);
/* An absolute value stands for itself: put into the bytes of the piece called name. */
_must_check_ struct usp_error *emit_number(const char *name, uint8_t *bytes,
					   const struct object_reference *r);
bool emit_fits(unsigned width, int64_t value);
void emit_put(uint8_t *to, unsigned width, int64_t value);

/* A function, with its unwind information. */
_must_check_ struct usp_error *emit_code(struct emitter *e, size_t object, uint32_t piece);

#endif
