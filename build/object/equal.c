// SPDX-License-Identifier: MIT
#include "build/object/equal.h"

#include <stdlib.h>
#include <string.h>

#include "build/object/target.h"

#define DEPTH_MAX 200u

enum {
	KNOWN_NOTHING,
	KNOWN_BUSY, /* being compared: a circle; equal as far as this goes */
	KNOWN_SAME,
	KNOWN_DIFFERENT,
};

struct usp_error *object_equal_init(const struct object_pairs *pairs, struct object_equal *ret)
{
	size_t n = pairs->side[0]->n_pieces + (size_t)1;
	*ret = (struct object_equal){
		.pairs = pairs, .with = calloc(n, sizeof(uint32_t)), .known = calloc(n, 1)};
	return ret->with && ret->known ? NULL : &usp_error_no_memory;
}

void object_equal_deinit(struct object_equal *equal)
{
	free(equal->with);
	free(equal->known);
	*equal = (struct object_equal){0};
}

/* Bytes of a piece that count: what is behind them are zeros that align the next. */
static uint64_t used_size(const struct object_piece *p, const uint8_t *bytes)
{
	uint64_t size = p->size, least = 0;
	if (p->n_references) {
		const struct object_reference *r = &p->references[p->n_references - 1];
		least = r->offset + r->width;
	}
	if (p->symbol || !bytes)
		return size;
	while (size > least && !bytes[size - 1])
		size--;
	return size;
}

static bool same_bytes(const struct object_piece *b, const uint8_t *x, const struct object_piece *a,
		       const uint8_t *y, uint64_t size)
{
	uint64_t at = 0;
	if (!x || !y) { /* zeros */
		const uint8_t *z = x ? x : y;
		while (z && at < size && !z[at])
			at++;
		return !z || at == size;
	}
	for (size_t i = 0; i < b->n_references; i++) {
		const struct object_reference *r = &b->references[i];
		if (r->offset > size || r->offset < at || a->references[i].offset != r->offset)
			return false;
		if (memcmp(x + at, y + at, r->offset - at))
			return false;
		at = r->offset + r->width;
	}
	return at <= size && !memcmp(x + at, y + at, size - at);
}

static bool contents(struct object_equal *equal, const struct object_piece *b, const struct object_piece *a)
{
	const struct object *before = equal->pairs->side[0], *after = equal->pairs->side[1];
	const uint8_t *x = object_piece_bytes(before, b), *y = object_piece_bytes(after, a);
	uint64_t size = used_size(b, x);
	if (size != used_size(a, y) || b->n_references != a->n_references || !same_bytes(b, x, a, y, size))
		return false;
	for (size_t i = 0; i < b->n_references; i++)
		if (!object_equal_references(equal, &b->references[i], &a->references[i]))
			return false;
	return true;
}

bool object_equal_contents(struct object_equal *equal, const struct object_piece *b,
			   const struct object_piece *a)
{
	uint32_t i = (uint32_t)(b - equal->pairs->side[0]->pieces),
		 k = (uint32_t)(a - equal->pairs->side[1]->pieces);
	if (equal->known[i] != KNOWN_NOTHING && equal->with[i] == k) {
		equal->assumed += equal->known[i] == KNOWN_BUSY;
		return equal->known[i] != KNOWN_DIFFERENT;
	}
	if (equal->depth >= DEPTH_MAX)
		return false;
	unsigned assumed = equal->assumed;
	equal->known[i] = KNOWN_BUSY;
	equal->with[i] = k;
	equal->depth++;
	bool same = contents(equal, b, a);
	equal->depth--;
	equal->with[i] = k;
	/* What was only assumed on the way may yet turn out wrong. */
	bool certain = !same || !equal->depth || equal->assumed == assumed;
	equal->known[i] = !certain ? KNOWN_NOTHING : same ? KNOWN_SAME : KNOWN_DIFFERENT;
	return same;
}

/*
 * Constants without a name. Where one ends is not known: up to the next place that somebody points at, and on behind
 * that if it might only be a part of this one.
 */
static bool nameless_constants(struct object_equal *equal, const struct object_piece *b,
			       const struct object_piece *a)
{
	while (b && a) {
		if (!object_equal_contents(equal, b, a))
			return false;
		b = object_piece_goes_on(equal->pairs->side[0], b);
		a = object_piece_goes_on(equal->pairs->side[1], a);
	}
	return !b && !a;
}

/* Exactly the bytes that an instruction reads; wherever they are, if no relocation is among them. */
static bool same_access(const struct object_equal *equal, const struct object_reference *b,
			const struct object_piece *pb, const struct object_reference *a,
			const struct object_piece *pa)
{
	const struct object_section *in[2] = {object_piece_section(equal->pairs->side[0], pb),
					      object_piece_section(equal->pairs->side[1], pa)};
	const uint64_t at[2] = {pb->offset + (uint64_t)b->addend, pa->offset + (uint64_t)a->addend};
	for (int i = 0; i < 2; i++) {
		if (!in[i]->data || at[i] > in[i]->size || in[i]->size - at[i] < b->access)
			return false;
		size_t k = object_relocation_from(in[i], at[i] < 8 ? 0 : at[i] - 7);
		if (k < in[i]->n_relocations && in[i]->relocations[k].offset < at[i] + b->access)
			return false;
	}
	return !memcmp(in[0]->data + at[0], in[1]->data + at[1], b->access);
}

static bool same_constant(struct object_equal *equal, const struct object_reference *b,
			  const struct object_piece *pb, const struct object_reference *a,
			  const struct object_piece *pa)
{
	uint32_t i = (uint32_t)(pb - equal->pairs->side[0]->pieces),
		 k = (uint32_t)(pa - equal->pairs->side[1]->pieces);
	if (pb->global || pa->global)
		return equal->pairs->other[0][i] == k && b->addend == a->addend;
	if (!pb->symbol != !pa->symbol)
		return false;
	if (pb->symbol)
		return !strcmp(pb->base, pa->base) && b->addend == a->addend &&
		       object_equal_contents(equal, pb, pa);
	if (b->access && b->access < 255 && b->access == a->access && same_access(equal, b, pb, a, pa))
		return true;
	return b->addend == a->addend && nameless_constants(equal, pb, pa);
}

/* Variables without a name have nothing but their place. */
static bool same_nameless_variable(struct object_equal *equal, const struct object_piece *b,
				   const struct object_piece *a)
{
	return !b->symbol && !a->symbol && b->offset == a->offset &&
	       !strcmp(object_piece_section(equal->pairs->side[0], b)->name,
		       object_piece_section(equal->pairs->side[1], a)->name) &&
	       b->size == a->size && object_equal_contents(equal, b, a);
}

static bool same_piece(struct object_equal *equal, const struct object_reference *b,
		       const struct object_reference *a)
{
	const struct object *before = equal->pairs->side[0], *after = equal->pairs->side[1];
	const struct object_piece *pb = &before->pieces[b->piece], *pa = &after->pieces[a->piece];
	enum object_kind kind = object_piece_section(before, pb)->kind;
	bool twins = equal->pairs->other[0][b->piece] == a->piece;
	if (b->symbol && a->symbol && strcmp(before->symbols[b->symbol].name, after->symbols[a->symbol].name))
		return false;
	if (kind == OBJECT_KIND_CODE) {
		if (!twins || (!b->addend && !a->addend))
			return twins;
		int64_t x = object_piece_index(pb, b->addend), y = object_piece_index(pa, a->addend);
		return x >= 0 && x == y;
	}
	if (pb->labels && pa->labels)
		return same_constant(equal, b, pb, a, pa);
	if (kind == OBJECT_KIND_CONSTANT && object_piece_section(after, pa)->kind == kind)
		return same_constant(equal, b, pb, a, pa);
	return (twins && b->addend == a->addend) || (b->addend == a->addend && kind != OBJECT_KIND_CONSTANT &&
						     same_nameless_variable(equal, pb, pa));
}

static bool same_string(const struct object_section *x, const struct object_reference *b,
			const struct object_section *y, const struct object_reference *a)
{
	int64_t n = object_string_length(x, b->at);
	return x->entry_size == y->entry_size && n >= 0 && n == object_string_length(y, a->at) &&
	       b->addend == a->addend && !memcmp(x->data + b->at, y->data + a->at, (size_t)n);
}

bool object_equal_references(struct object_equal *equal, const struct object_reference *b,
			     const struct object_reference *a)
{
	const struct object *before = equal->pairs->side[0], *after = equal->pairs->side[1];
	if (b->type != a->type || b->width != a->width || b->branch != a->branch || b->target != a->target)
		return b->branch && a->branch && b->type == a->type && b->target == a->target &&
		       b->target == OBJECT_TARGET_PIECE && same_piece(equal, b, a);
	switch (b->target) {
	case OBJECT_TARGET_NAME:
		return b->addend == a->addend &&
		       !strcmp(before->symbols[b->symbol].name, after->symbols[a->symbol].name);
	case OBJECT_TARGET_VALUE:
		return b->addend == a->addend;
	case OBJECT_TARGET_STRING:
		return same_string(&before->sections[b->section], b, &after->sections[a->section], a);
	case OBJECT_TARGET_CONSTANT: {
		const struct object_section *x = &before->sections[b->section],
					    *y = &after->sections[a->section];
		return x->entry_size == y->entry_size && b->addend == a->addend &&
		       !memcmp(x->data + b->at, y->data + a->at, x->entry_size);
	}
	case OBJECT_TARGET_PIECE:
		return same_piece(equal, b, a);
	case OBJECT_TARGET_UNKNOWN:
		break;
	}
	return false;
}
