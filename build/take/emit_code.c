// SPDX-License-Identifier: MIT
/*
 * A function, or a part of one, as it was assembled: emit_code(). Only the fields that lead out of it are given relocations.
 */
#include <stdlib.h>
#include <string.h>

#include "build/take/emit_internal.h"
#include "payload/relocation.h"

#define CODE_ALIGN 16u
#define THUNK_SIZE 5 /* jmp rel32 */

/* A jump of one byte out of the function gets a longer one exactly where it leads to: beside the function. */
struct thunk {
	int64_t at; /* from the piece's start; outside of the piece */
	struct take_meaning meaning;
};

struct code {
	size_t object;
	uint32_t piece;
	const struct object_piece *p;
	uint8_t *bytes;
	struct take_meaning *meanings; /* of each reference */
	bool *done;		       /* the bytes say it already */
	struct thunk *thunks;
	size_t n_thunks;
};

static struct usp_error *add_thunk(struct code *code, const struct object_reference *r,
				   const struct take_meaning *meaning)
{
	int64_t at = (int64_t)r->offset + r->skew + (int8_t)code->bytes[r->offset];
	bool room = at + THUNK_SIZE <= 0 || at >= (int64_t)code->p->size;
	for (size_t i = 0; i < code->n_thunks && room; i++) {
		int64_t distance = code->thunks[i].at - at;
		if (!distance)
			return NULL; /* the same place means the same thing */
		room = distance >= THUNK_SIZE || distance <= -THUNK_SIZE;
	}
	if (!room || meaning->addend)
		return usp_errorf(
			USP_UNSUPPORTED,
			"%s+0x%llx: a jump of one byte into the midst of something else, with no room for "
			"a longer one",
			code->p->name, (unsigned long long)r->offset);
	code->thunks[code->n_thunks++] = (struct thunk){.at = at, .meaning = *meaning};
	return NULL;
}

static bool is_plain(const struct object_reference *r)
{
	return r->skew && (r->type == R_X86_64_PLT32 || r->type == R_X86_64_PC32);
}

static struct usp_error *resolve_reference(struct emitter *e, struct code *code, size_t i)
{
	const struct object_reference *r = &code->p->references[i];
	struct take_meaning *m = &code->meanings[i];
	struct usp_error *error = take_meaning(e->take, code->object, code->piece, r, m);
	if (error)
		return error;
	bool self = m->where == TAKE_COPY && m->object == code->object && m->piece == code->piece;
	code->done[i] = true;
	if (m->where == TAKE_NUMBER)
		return emit_number(code->p->name, code->bytes, r);
	if (self && is_plain(r)) {
		int64_t distance = m->addend - ((int64_t)r->offset + r->skew);
		if (!emit_fits(r->width, distance))
			return usp_errorf(USP_UNSUPPORTED, "%s+0x%llx: a distance that does not fit",
					  code->p->name, (unsigned long long)r->offset);
		emit_put(code->bytes + r->offset, r->width, distance);
		return NULL;
	}
	if (r->width == 1)
		return add_thunk(code, r, m);
	code->done[i] = false;
	if (r->width && r->width != payload_relocation_type(r->type)->width)
		return usp_errorf(USP_UNSUPPORTED, "%s+0x%llx: a reference of %u bytes", code->p->name,
				  (unsigned long long)r->offset, r->width);
	if (r->width)
		emit_put(code->bytes + r->offset, r->width, 0);
	return NULL;
}

static int by_place(const void *a, const void *b)
{
	const struct thunk *x = a, *y = b;
	return x->at < y->at ? -1 : x->at > y->at;
}

static void emit_int3(FILE *out, int64_t n)
{
	for (; n > 0; n--)
		fputs("\t.byte 0xcc\n", out);
}

static void thunk_label(FILE *out, const struct code *code, size_t i)
{
	fprintf(out, ".Lthunk%zu_%u_%zu", code->object, code->piece, i);
}

/* Those before the piece or those behind it. at: where the output is, from the piece's start. */
static void emit_thunks(struct emitter *e, const struct code *code, bool before, int64_t at)
{
	static const uint8_t jump[THUNK_SIZE] = {0xe9};
	for (size_t i = 0; i < code->n_thunks; i++) {
		int64_t to = code->thunks[i].at;
		if ((to < 0) != before)
			continue;
		emit_int3(e->out, to - at);
		thunk_label(e->out, code, i);
		fputs(":\n", e->out);
		emit_bytes(e->out, jump, sizeof(jump));
		at = to + THUNK_SIZE;
	}
	if (before)
		emit_int3(e->out, -at);
}

static struct usp_error *write_code(struct emitter *e, struct code *code)
{
	const struct object_piece *p = code->p;
	int64_t first = 0;
	qsort(code->thunks, code->n_thunks, sizeof(*code->thunks), by_place);
	if (code->n_thunks && code->thunks[0].at < 0)
		first = -((-code->thunks[0].at + CODE_ALIGN - 1) / CODE_ALIGN * CODE_ALIGN);
	fprintf(e->out, "\n\t.section .text,\"ax\",@progbits\n\t.balign %u, 0xcc\n", CODE_ALIGN);
	emit_thunks(e, code, true, first);
	fputs("\t.type ", e->out);
	emit_label(e->out, e->take, code->object, code->piece);
	fputs(", @function\n", e->out);
	emit_label(e->out, e->take, code->object, code->piece);
	fputs(":\n", e->out);
	emit_bytes(e->out, code->bytes, p->size);
	fputs("\t.size ", e->out);
	emit_label(e->out, e->take, code->object, code->piece);
	fprintf(e->out, ", %llu\n", (unsigned long long)p->size);
	emit_thunks(e, code, false, (int64_t)p->size);
	struct usp_error *error = NULL;
	for (size_t i = 0; i < code->n_thunks && !error; i++) {
		fputs("\t.reloc ", e->out);
		thunk_label(e->out, code, i);
		fputs("+1, R_X86_64_PLT32, ", e->out);
		error = emit_meaning(e, &code->thunks[i].meaning);
		fputs("-4\n", e->out);
	}
	for (size_t i = 0; i < p->n_references && !error; i++) {
		const struct object_reference *r = &p->references[i];
		if (!code->done[i])
			error = emit_relocation(e, code->object, code->piece, (int64_t)r->offset, r->type,
						&code->meanings[i], code->meanings[i].addend - r->skew);
	}
	return error ? error : emit_frame(e->out, e->take, code->object, code->piece);
}

struct usp_error *emit_code(struct emitter *e, size_t object, uint32_t piece)
{
	const struct object_piece *p = &take_after(&e->take->objects[object])->pieces[piece];
	const uint8_t *bytes = object_piece_bytes(take_after(&e->take->objects[object]), p);
	struct code code = {.object = object, .piece = piece, .p = p, .bytes = malloc(p->size + 1)};
	size_t n = p->n_references + 1;
	code.meanings = calloc(n, sizeof(*code.meanings));
	code.done = calloc(n, sizeof(*code.done));
	code.thunks = calloc(n, sizeof(*code.thunks));
	struct usp_error *error = NULL;
	if (!code.bytes || !code.meanings || !code.done || !code.thunks)
		error = &usp_error_no_memory;
	else if (!p->name || !bytes)
		error = usp_errorf(USP_UNSUPPORTED, "code without a name has to be taken in");
	else
		memcpy(code.bytes, bytes, p->size);
	for (size_t i = 0; i < p->n_references && !error; i++)
		error = resolve_reference(e, &code, i);
	if (!error)
		error = write_code(e, &code);
	free(code.bytes);
	free(code.meanings);
	free(code.done);
	free(code.thunks);
	return error;
}
