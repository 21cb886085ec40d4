// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include "build/take/emit_internal.h"

#include <stdlib.h>
#include <string.h>

#include "build/object/target.h"
#include "payload/relocation.h"

#define ALIGN_MAX 4096u

static void quote(FILE *out, const char *name)
{
	for (; *name; name++) {
		if (*name == '"' || *name == '\\')
			fputc('\\', out);
		fputc(*name, out);
	}
}

void emit_symbol(FILE *out, const char *name)
{
	fputc('"', out);
	quote(out, name);
	fputc('"', out);
}

void emit_bytes(FILE *out, const uint8_t *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		fprintf(out, "%s%u%s", i % 24 ? "," : "\t.byte ", bytes ? bytes[i] : 0,
			i % 24 == 23 || i + 1 == n ? "\n" : "");
}

/* Whether another object's piece of this name is taken in, too. */
static bool is_shared(const struct take *take, size_t object, const char *name)
{
	for (size_t i = 0; i < take->n; i++) {
		const struct object *after = take_after(&take->objects[i]);
		for (uint32_t k = 0; k < after->n_pieces && i != object; k++)
			if (take->objects[i].taken[k] && after->pieces[k].name &&
			    !strcmp(after->pieces[k].name, name))
				return true;
	}
	return false;
}

void emit_label(FILE *out, const struct take *take, size_t object, uint32_t piece)
{
	const struct object_piece *p = &take_after(&take->objects[object])->pieces[piece];
	if (!p->name) {
		fprintf(out, ".Lpiece%zu_%u", object, piece);
		return;
	}
	fputc('"', out);
	quote(out, p->name);
	fputs(".usplice", out);
	if (is_shared(take, object, p->name))
		fprintf(out, "~%zu", object + 1);
	fputc('"', out);
}

/* ---- references ---- */

static struct usp_error *content_label(struct emitter *e, const struct take_meaning *meaning)
{
	size_t i = 0;
	while (i < e->n_contents &&
	       (e->contents[i].object != meaning->object || e->contents[i].section != meaning->section ||
		e->contents[i].at != meaning->at))
		i++;
	if (i == e->n_contents) {
		if (!object_grow(&e->contents, e->n_contents, &e->content_capacity, sizeof(*e->contents)))
			return &usp_error_no_memory;
		e->contents[e->n_contents++] =
			(struct content){meaning->object, meaning->section, meaning->at};
	}
	fprintf(e->out, ".Lcontent%zu", i);
	return NULL;
}

struct usp_error *emit_meaning(struct emitter *e, const struct take_meaning *meaning)
{
	if (meaning->where == TAKE_CONTENT)
		return content_label(e, meaning);
	if (meaning->where == TAKE_COPY)
		emit_label(e->out, e->take, meaning->object, meaning->piece);
	else
		emit_symbol(e->out, e->take->imports[meaning->import].name);
	return NULL;
}

/* offset: of the field, from the piece's label. */
struct usp_error *emit_relocation(struct emitter *e, size_t object, uint32_t piece, int64_t offset,
				  uint32_t type, const struct take_meaning *meaning, int64_t addend)
{
	fputs("\t.reloc ", e->out);
	emit_label(e->out, e->take, object, piece);
	fprintf(e->out, "%+lld, %s, ", (long long)offset, payload_relocation_type(type)->name);
	struct usp_error *error = emit_meaning(e, meaning);
	fprintf(e->out, "%+lld\n", (long long)addend);
	return error;
}

void emit_put(uint8_t *to, unsigned width, int64_t value)
{
	memcpy(to, &value, width);
}

bool emit_fits(unsigned width, int64_t value)
{
	int64_t limit = width >= 8 ? INT64_MAX : (INT64_C(1) << (8 * width - 1)) - 1;
	return value <= limit && value >= -limit - 1;
}

/* An absolute value stands for itself. */
struct usp_error *emit_number(const char *name, uint8_t *bytes, const struct object_reference *r)
{
	if (payload_relocation_type(r->type)->formula != PAYLOAD_FORMULA_ABSOLUTE ||
	    !emit_fits(r->width, r->addend - r->skew))
		return usp_errorf(USP_UNSUPPORTED,
				  "%s+0x%llx: a relocation of type %s against an absolute value", name,
				  (unsigned long long)r->offset, payload_relocation_type(r->type)->name);
	emit_put(bytes + r->offset, r->width, r->addend - r->skew);
	return NULL;
}

/* ---- data ---- */

static uint64_t alignment(uint64_t offset, uint64_t section)
{
	uint64_t own = offset ? offset & -offset : section;
	uint64_t align = own < section ? own : section;
	return !align ? 1 : align > ALIGN_MAX ? ALIGN_MAX : align;
}

/* Whether it must lie right behind the piece before it. */
static bool goes_on(const struct take *take, size_t object, uint32_t piece)
{
	const struct object *after = take_after(&take->objects[object]);
	return piece && take->objects[object].taken[piece - 1] && !after->pieces[piece - 1].symbol &&
	       object_piece_goes_on(after, &after->pieces[piece - 1]) == &after->pieces[piece];
}

static void data_section(FILE *out, const struct object_section *s, const struct object_piece *p)
{
	if (s->kind == OBJECT_KIND_RECORDS)
		fprintf(out, "\n\t.section \"%s\",\"a\",@progbits\n", s->name);
	else if (s->kind == OBJECT_KIND_BSS)
		fputs("\n\t.section .bss,\"aw\",@nobits\n", out);
	else if (s->kind == OBJECT_KIND_DATA && !p->labels)
		fputs("\n\t.section .data,\"aw\",@progbits\n", out);
	else if (p->n_references) /* one kind for all that may go on in each other */
		fputs("\n\t.section .data.rel.ro,\"aw\",@progbits\n", out);
	else
		fputs("\n\t.section .rodata,\"a\",@progbits\n", out);
}

static struct usp_error *emit_data(struct emitter *e, size_t object, uint32_t piece)
{
	const struct object *after = take_after(&e->take->objects[object]);
	const struct object_piece *p = &after->pieces[piece];
	const struct object_section *s = object_piece_section(after, p);
	const uint8_t *from = object_piece_bytes(after, p);
	_cleanup_free_ uint8_t *bytes = calloc(p->size + 1, 1);
	struct usp_error *error = NULL;
	if (!bytes)
		return &usp_error_no_memory;
	if (from)
		memcpy(bytes, from, p->size);
	if (!goes_on(e->take, object, piece)) {
		data_section(e->out, s, p);
		fprintf(e->out, "\t.balign %llu\n", (unsigned long long)alignment(p->offset, s->align));
	}
	emit_label(e->out, e->take, object, piece);
	fputs(":\n", e->out);
	for (size_t i = 0; i < p->n_references && !error; i++) {
		const struct object_reference *r = &p->references[i];
		struct take_meaning m;
		error = take_meaning(e->take, object, piece, r, &m);
		if (!error && m.where == TAKE_NUMBER)
			error = emit_number(p->name ? p->name : "a constant", bytes, r);
		else if (!error)
			error = emit_relocation(e, object, piece, (int64_t)r->offset, r->type, &m,
						m.addend - r->skew);
	}
	if (s->kind == OBJECT_KIND_BSS)
		fprintf(e->out, "\t.skip %llu\n", (unsigned long long)p->size);
	else
		emit_bytes(e->out, bytes, p->size);
	return error;
}

static struct usp_error *emit_content(struct emitter *e, size_t i)
{
	const struct content *c = &e->contents[i];
	const struct object_section *s = &take_after(&e->take->objects[c->object])->sections[c->section];
	int64_t size = s->kind == OBJECT_KIND_STRINGS ? object_string_length(s, c->at) : 0;
	if (size < 0 || c->at < 0 || (uint64_t)c->at >= s->size || !s->data ||
	    s->size - (uint64_t)c->at < s->entry_size)
		return usp_errorf(USP_BAD_PAYLOAD, "section %s: a string without an end", s->name);
	fprintf(e->out, "\n\t.section .rodata,\"a\",@progbits\n\t.balign %llu\n.Lcontent%zu:\n",
		(unsigned long long)alignment(0, s->align), i);
	emit_bytes(e->out, s->data + c->at, (size_t)size + s->entry_size);
	return NULL;
}

static struct usp_error *emit_all(struct emitter *e)
{
	struct usp_error *error = NULL;
	for (int code = 1; code >= 0; code--)
		for (size_t i = 0; i < e->take->n; i++)
			for (uint32_t k = 0; k < take_after(&e->take->objects[i])->n_pieces && !error; k++) {
				const struct object *after = take_after(&e->take->objects[i]);
				if (!e->take->objects[i].taken[k] ||
				    object_piece_is_code(after, &after->pieces[k]) != code)
					continue;
				error = code ? emit_code(e, i, k) : emit_data(e, i, k);
			}
	for (size_t i = 0; i < e->n_contents && !error; i++)
		error = emit_content(e, i);
	return error;
}

struct usp_error *emit(struct take *take, FILE *out)
{
	struct emitter e = {.take = take, .out = out};
	struct usp_error *error = emit_all(&e);
	free(e.contents);
	if (error)
		return error;
	emit_records(out, take);
	fputs("\n\t.section .note.GNU-stack,\"\",@progbits\n", out);
	return NULL;
}
