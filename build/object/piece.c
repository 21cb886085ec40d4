// SPDX-License-Identifier: MIT
/* What can be asked of one piece (object.h). */
#include "build/object/object.h"

const struct object_section *object_piece_section(const struct object *object,
						  const struct object_piece *piece)
{
	return &object->sections[piece->section];
}

bool object_piece_is_code(const struct object *object, const struct object_piece *piece)
{
	return object->sections[piece->section].kind == OBJECT_KIND_CODE;
}

const uint8_t *object_piece_bytes(const struct object *object, const struct object_piece *piece)
{
	const uint8_t *data = object->sections[piece->section].data;
	return data ? data + piece->offset : NULL;
}

bool object_piece_is_string(const struct object *object, const struct object_piece *p)
{
	const uint8_t *bytes = object_piece_bytes(object, p);
	uint64_t at = 0;
	if (p->n_references || !bytes)
		return false;
	while (at < p->size && (bytes[at] >= 0x20 || (bytes[at] >= '\t' && bytes[at] <= '\r')))
		at++;
	if (at == p->size)
		return false;
	while (at < p->size && !bytes[at])
		at++;
	return at == p->size;
}

/* A table of places in code, so that what follows it is something else. */
static bool is_jump_table(const struct object *object, const struct object_piece *p)
{
	for (size_t i = 0; i < p->n_references; i++) {
		const struct object_reference *r = &p->references[i];
		if (r->target != OBJECT_TARGET_PIECE ||
		    !object_piece_is_code(object, &object->pieces[r->piece]))
			return false;
	}
	return p->n_references;
}

const struct object_piece *object_piece_goes_on(const struct object *object, const struct object_piece *p)
{
	const struct object_piece *next = p + 1, *end = object->pieces + object->n_pieces;
	if (next >= end || next->section != p->section || next->symbol || next->offset != p->offset + p->size)
		return NULL;
	if (object_piece_is_string(object, p) || is_jump_table(object, p))
		return NULL;
	if (object_piece_is_string(object, next) || is_jump_table(object, next))
		return NULL;
	return next;
}

int64_t object_piece_index(const struct object_piece *piece, int64_t offset)
{
	size_t low = 0, high = piece->n_insns;
	while (low < high) {
		size_t middle = (low + high) / 2;
		if (piece->insns[middle].offset < offset)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == piece->n_insns) { /* right behind the last one */
		if (!low || offset != (int64_t)piece->size)
			return -1;
		return (int64_t)piece->insns[low - 1].index + !piece->insns[low - 1].nop;
	}
	return piece->insns[low].offset == offset ? (int64_t)piece->insns[low].index : -1;
}
