// SPDX-License-Identifier: MIT
#include "build/object/target.h"

#include <stdlib.h>
#include <string.h>

#include "payload/relocation.h"

int64_t object_string_length(const struct object_section *section, int64_t at)
{
	static const uint8_t zero[4];
	uint64_t unit = section->entry_size;
	if (at < 0 || (uint64_t)at >= section->size || !section->data)
		return -1;
	for (uint64_t end = (uint64_t)at; section->size - end >= unit; end += unit)
		if (!memcmp(section->data + end, zero, unit))
			return (int64_t)end - at;
	return -1;
}

/* A place relative to a string or constant: the content is what counts, and where in it. */
static void target_content(const struct object_section *in, int64_t base, int64_t addend,
			   struct object_reference *r)
{
	bool strings = in->kind == OBJECT_KIND_STRINGS;
	int64_t unit = (int64_t)in->entry_size;
	if (strings) {
		int64_t length = object_string_length(in, base);
		if (addend > 0 && addend <= length && addend % unit == 0) { /* the tail is a string, too */
			base += addend;
			addend = 0;
			length = object_string_length(in, base);
		}
		r->target = length < 0 ? OBJECT_TARGET_UNKNOWN : OBJECT_TARGET_STRING;
	} else if (base < 0 || (uint64_t)base >= in->size || !in->data) {
		r->target = OBJECT_TARGET_UNKNOWN;
	} else {
		addend += base % unit;
		base -= base % unit;
		if (addend >= unit && (uint64_t)(base + addend) < in->size) {
			base += addend - addend % unit;
			addend %= unit;
		}
		r->target = OBJECT_TARGET_CONSTANT;
	}
	r->at = base;
	r->addend = addend;
}

void object_target_place(const struct object *object, uint32_t section, int64_t at,
			 struct object_reference *r)
{
	const struct object_section *in = &object->sections[section];
	r->section = section;
	r->by_section = true;
	if (in->kind == OBJECT_KIND_STRINGS || in->kind == OBJECT_KIND_MERGED) {
		target_content(in, at, 0, r);
		return;
	}
	r->target = OBJECT_TARGET_PIECE;
	r->piece = OBJECT_NONE;
	r->at = at;
	r->addend = 0;
}

/* A symbol that stands for a thing, not for a place where one happens to be. */
static bool names_thing(const struct object_symbol *s)
{
	return s->binding != STB_LOCAL || s->type == STT_FUNC || s->type == STT_GNU_IFUNC ||
	       ((s->type == STT_OBJECT || s->type == STT_TLS) && s->size);
}

void object_target_symbol(const struct object *object, uint32_t symbol, int64_t addend,
			  struct object_reference *r)
{
	const struct object_symbol *s = &object->symbols[symbol];
	r->symbol = 0;
	r->by_section = false;
	r->addend = addend;
	if (!symbol || s->section == SHN_ABS) {
		r->target = OBJECT_TARGET_VALUE;
		r->addend += symbol ? (int64_t)s->value : 0;
		return;
	}
	if (s->section == SHN_UNDEF || s->section == SHN_COMMON) {
		r->target = OBJECT_TARGET_NAME;
		r->symbol = symbol;
		return;
	}
	const struct object_section *in = &object->sections[s->section];
	if (in->kind == OBJECT_KIND_STRINGS || in->kind == OBJECT_KIND_MERGED) {
		r->section = s->section;
		r->by_section = s->type == STT_SECTION;
		if (r->by_section)
			target_content(in, (int64_t)s->value + addend, 0, r);
		else
			target_content(in, (int64_t)s->value, addend, r);
		return;
	}
	if (!names_thing(s)) {
		object_target_place(object, s->section, (int64_t)s->value + addend, r);
		return;
	}
	r->target = OBJECT_TARGET_PIECE;
	r->symbol = s->binding != STB_LOCAL ? symbol : 0;
	r->section = s->section;
	r->piece = OBJECT_NONE;
	r->at = (int64_t)s->value;
}

/* The piece of the section that holds the place, or the one before it, or the first; NULL: there is none. */
static const struct object_piece *nearest(const struct object *object, uint32_t section, int64_t at)
{
	const struct object_section *in = &object->sections[section];
	if (!in->n_pieces)
		return NULL;
	const struct object_piece *pieces = object->pieces + in->first_piece;
	size_t low = 0, high = in->n_pieces;
	while (low < high) {
		size_t middle = (low + high) / 2;
		if ((int64_t)pieces[middle].offset <= at)
			low = middle + 1;
		else
			high = middle;
	}
	return pieces + (low ? low - 1 : 0);
}

const struct object_piece *object_piece_at(const struct object *object, uint32_t section, uint64_t offset)
{
	const struct object_piece *p = nearest(object, section, (int64_t)offset);
	return p && offset >= p->offset && offset - p->offset < p->size ? p : NULL;
}

void object_target_bind(const struct object *object, struct object_reference *r)
{
	if (r->target != OBJECT_TARGET_PIECE)
		return;
	const struct object_piece *p = nearest(object, r->section, r->at);
	if (!p) {
		r->target = OBJECT_TARGET_UNKNOWN;
		return;
	}
	int64_t within = r->at - (int64_t)p->offset;
	bool inside = within >= 0 && (uint64_t)within < p->size;
	const struct object_section *in = &object->sections[r->section];
	/* What is read or written must be there, and so must a branch's target (right behind the end: after a
	 * call that never returns). */
	if (!inside && (r->access || in->kind == OBJECT_KIND_CODE) && (uint64_t)within != p->size)
		r->target = OBJECT_TARGET_UNKNOWN;
	r->piece = (uint32_t)(p - object->pieces);
	r->addend += within;
	if (r->by_section && !r->access && !within && in->kind != OBJECT_KIND_CODE && p > object->pieces &&
	    p[-1].section == p->section && p[-1].offset + p[-1].size == p->offset)
		r->edge = true;
}

static bool is_relative(const struct payload_relocation_type *type)
{
	return type->formula == PAYLOAD_FORMULA_PC || type->formula == PAYLOAD_FORMULA_BRANCH;
}

struct usp_error *object_target_data(const struct object *object, uint32_t section, uint64_t offset,
				     uint64_t size, struct object_reference **ret, size_t *ret_n)
{
	const struct object_section *in = &object->sections[section];
	size_t n = 0;
	*ret = NULL;
	*ret_n = 0;
	size_t first = object_relocation_from(in, offset);
	while (first + n < in->n_relocations && in->relocations[first + n].offset - offset < size)
		n++;
	if (!n)
		return NULL;
	struct object_reference *v = calloc(n, sizeof(*v));
	if (!v)
		return &usp_error_no_memory;
	for (size_t k = 0; k < n; k++) {
		const struct object_relocation *r = &in->relocations[first + k];
		const struct payload_relocation_type *type = payload_relocation_type(r->type);
		struct object_reference *to = &v[k];
		to->offset = r->offset - offset;
		to->width = type->width;
		to->type = r->type;
		const int64_t addend = r->addend;
		if (is_relative(type) && in->kind == OBJECT_KIND_CONSTANT)
			to->skew = -(int64_t)to->offset;
		object_target_symbol(object, r->symbol, addend + to->skew, to);
	}
	*ret = v;
	*ret_n = n;
	return NULL;
}
