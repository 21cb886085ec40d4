// SPDX-License-Identifier: MIT
/*
 * Unwind information: emit_frame(). The object's .eh_frame says by relocations which FDE is whose; those of a function
 * that is taken in are copied, each with its CIE.
 */
#include <string.h>

#include "build/take/emit_internal.h"
#include "payload/relocation.h"

#define HEADER	8 /* length, and the CIE pointer */
#define PC_SIZE 8 /* pc_begin and its range, of 4 bytes each, at least */

struct entry {
	uint64_t start, size; /* in the section, with the length */
	uint32_t id;
};

static bool read_entry(const struct object_section *s, uint64_t at, struct entry *ret)
{
	uint32_t length;
	if (at > s->size || s->size - at < HEADER)
		return false;
	memcpy(&length, s->data + at, sizeof(length));
	memcpy(&ret->id, s->data + at + 4, sizeof(ret->id));
	if (length < 4 || length > s->size - at - 4 || length >= 0xfffffff0)
		return false;
	ret->start = at;
	ret->size = length + UINT64_C(4);
	return true;
}

static bool has_relocation(const struct object_section *s, uint64_t from, uint64_t to)
{
	size_t k = object_relocation_from(s, from);
	return k < s->n_relocations && s->relocations[k].offset < to;
}

/* The relocation that says whose the FDE is, if it is this piece's. */
static const struct object_relocation *begins_in(const struct object *object, const struct object_section *s,
						 const struct entry *fde, const struct object_piece *p,
						 uint64_t *offset)
{
	size_t k = object_relocation_from(s, fde->start + HEADER);
	if (k >= s->n_relocations || s->relocations[k].offset != fde->start + HEADER)
		return NULL;
	const struct object_relocation *r = &s->relocations[k];
	const struct object_symbol *symbol = &object->symbols[r->symbol];
	uint64_t at = symbol->value + (uint64_t)r->addend;
	if (symbol->section != p->section || at < p->offset || at - p->offset >= p->size)
		return NULL;
	*offset = at - p->offset;
	return r;
}

static struct usp_error *copy(FILE *out, const struct take *take, size_t object, uint32_t piece,
			      const struct object_section *s, const struct entry *fde, uint64_t offset,
			      const struct object_relocation *r)
{
	const struct object_piece *p = &take->objects[object].diff->side[OBJECT_AFTER]->pieces[piece];
	struct entry cie;
	if (fde->id > fde->start + 4 || !read_entry(s, fde->start + 4 - fde->id, &cie) || cie.id ||
	    fde->size < HEADER + PC_SIZE)
		return usp_errorf(USP_BAD_PAYLOAD, "%s: its unwind information is broken", p->name);
	unsigned width = payload_relocation_type(r->type)->width;
	if (has_relocation(s, cie.start, cie.start + cie.size) ||
	    has_relocation(s, fde->start + HEADER + width, fde->start + fde->size))
		return usp_errorf(
			USP_UNSUPPORTED,
			"%s handles exceptions or has clean-ups for them (-fexceptions): such a function "
			"is not taken in",
			p->name);
	char label[64];
	snprintf(label, sizeof(label), "%zu_%u_%llu", object, piece, (unsigned long long)fde->start);
	fprintf(out, "\t.section .eh_frame,\"a\",@unwind\n\t.balign 4\n.Lcie%s:\n", label);
	emit_bytes(out, s->data + cie.start, cie.size);
	fprintf(out, ".Lfde%s:\n", label);
	emit_bytes(out, s->data + fde->start, 4);
	fprintf(out, "\t.long .Lfde%s+4-.Lcie%s\n.Lpc%s:\n", label, label, label);
	emit_bytes(out, s->data + fde->start + HEADER, fde->size - HEADER);
	fprintf(out, "\t.reloc .Lpc%s, %s, ", label, payload_relocation_type(r->type)->name);
	emit_label(out, take, object, piece);
	fprintf(out, "+%llu\n", (unsigned long long)offset);
	return NULL;
}

struct usp_error *emit_frame(FILE *out, const struct take *take, size_t object, uint32_t piece)
{
	const struct object *after = take->objects[object].diff->side[OBJECT_AFTER];
	const struct object_piece *p = &after->pieces[piece];
	for (uint32_t i = 1; i < after->n_sections; i++) {
		const struct object_section *s = &after->sections[i];
		struct entry fde;
		if (strcmp(s->name, ".eh_frame") || !s->data)
			continue;
		for (uint64_t at = 0; read_entry(s, at, &fde); at += fde.size) {
			uint64_t offset;
			const struct object_relocation *r =
				fde.id ? begins_in(after, s, &fde, p, &offset) : NULL;
			struct usp_error *error =
				r ? copy(out, take, object, piece, s, &fde, offset, r) : NULL;
			if (error)
				return error;
		}
	}
	return NULL; /* none: the payload's reader names the function */
}
