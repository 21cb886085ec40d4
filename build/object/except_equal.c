// SPDX-License-Identifier: MIT
/*
 * Whether two exception tables (LSDAs) say the same: object_except_equal(). One is a header, the ranges of the code with
 * what to do in each, a list of actions, and the classes that they name, at negative offsets from a place that the header
 * tells; behind that, lists of classes. Where it lies decides how much padding is before the classes.
 */
#include <string.h>

#include "build/object/except.h"

#define OMITTED	 0xff
#define ULEB128	 0x01
#define UDATA4	 0x03
#define N_FIELDS 4 /* of a range: begin, length, landing pad (0: none), action */

struct table {
	const struct object *object;
	const struct object_piece *code, *whole; /* the function; the section as a piece */
	const uint8_t *data;			 /* of the section; what follows are places in it */
	uint64_t sites, sites_end, classes, end;
	uint8_t class_encoding, site_encoding;
};

static bool read_uleb128(const uint8_t *data, uint64_t *at, uint64_t end, uint64_t *ret)
{
	*ret = 0;
	for (unsigned shift = 0; *at < end && shift < 63; shift += 7) {
		uint8_t byte = data[(*at)++];
		*ret |= (uint64_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80))
			return true;
	}
	return false;
}

static bool read_header(struct table *t, uint64_t at)
{
	uint64_t distance, size;
	if (t->end - at < 3 || t->data[at++] != OMITTED) /* the landing pads are relative to something else */
		return false;
	t->class_encoding = t->data[at++];
	t->classes = t->end;
	if (t->class_encoding != OMITTED) {
		if (!read_uleb128(t->data, &at, t->end, &distance) || distance > t->end - at)
			return false;
		t->classes = at + distance;
	}
	if (at == t->end)
		return false;
	t->site_encoding = t->data[at++];
	if (!read_uleb128(t->data, &at, t->end, &size) || at > t->classes || size > t->classes - at)
		return false;
	t->sites = at;
	t->sites_end = at + size;
	return t->site_encoding == ULEB128 || t->site_encoding == UDATA4;
}

/* One that is not understood is nothing but bytes and what they refer to. */
static struct table open_table(const struct object *object, const struct object_except *except,
			       uint32_t piece)
{
	const struct object_lsda *lsda = &except->of[piece];
	const struct object_section *s = &object->sections[lsda->section];
	struct table t = {.object = object,
			  .code = &object->pieces[piece],
			  .whole = &object->pieces[s->first_piece],
			  .data = s->data,
			  .end = lsda->end};
	if (!read_header(&t, lsda->start)) {
		t.site_encoding = t.class_encoding = OMITTED;
		t.sites = t.sites_end = lsda->start;
		t.classes = t.end;
	}
	return t;
}

static bool read_field(const struct table *t, uint64_t *at, bool action, uint64_t *ret)
{
	uint32_t value;
	if (action || t->site_encoding == ULEB128)
		return read_uleb128(t->data, at, t->sites_end, ret);
	if (t->sites_end - *at < sizeof(value))
		return false;
	memcpy(&value, t->data + *at, sizeof(value));
	*at += sizeof(value);
	*ret = value;
	return true;
}

static bool read_site(const struct table *t, uint64_t *at, uint64_t field[N_FIELDS])
{
	for (int i = 0; i < N_FIELDS; i++)
		if (!read_field(t, at, i == N_FIELDS - 1, &field[i]))
			return false;
	return field[0] <= t->code->size && field[1] <= t->code->size - field[0];
}

/* A place in the code, by its instruction: distances change with the width of a jump to somewhere else. */
static bool same_place(const struct table *b, uint64_t x, const struct table *a, uint64_t y)
{
	int64_t i = object_piece_index(b->code, (int64_t)x), k = object_piece_index(a->code, (int64_t)y);
	return i < 0 || k < 0 ? x == y : i == k;
}

static bool same_sites(const struct table *b, const struct table *a)
{
	uint64_t x = b->sites, y = a->sites, f[N_FIELDS], g[N_FIELDS];
	while (x < b->sites_end && y < a->sites_end) {
		if (!read_site(b, &x, f) || !read_site(a, &y, g) || f[3] != g[3] || !f[2] != !g[2] ||
		    !same_place(b, f[0], a, g[0]) || !same_place(b, f[0] + f[1], a, g[0] + g[1]) ||
		    (f[2] && (f[2] > b->code->size || g[2] > a->code->size || !same_place(b, f[2], a, g[2]))))
			return false;
	}
	return x == b->sites_end && y == a->sites_end;
}

static size_t reference_from(const struct object_piece *p, uint64_t offset)
{
	size_t low = 0, high = p->n_references;
	while (low < high) {
		size_t middle = (low + high) / 2;
		if (p->references[middle].offset < offset)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* A word without a name that holds a class' address: what clang goes through. */
static const struct object_reference *through(const struct object *object, const struct object_reference *r)
{
	if (r->target != OBJECT_TARGET_PIECE || object->pieces[r->piece].symbol || r->addend < 0)
		return NULL;
	const struct object_piece *p = &object->pieces[r->piece];
	size_t k = reference_from(p, (uint64_t)r->addend);
	return k < p->n_references && p->references[k].offset == (uint64_t)r->addend ? &p->references[k]
										     : NULL;
}

static bool same_class(struct object_equal *equal, const struct table *b, const struct object_reference *x,
		       const struct table *a, const struct object_reference *y)
{
	const struct object_reference *to_x = through(b->object, x), *to_y = through(a->object, y);
	if (x->type == y->type && to_x && to_y)
		return object_equal_references(equal, to_x, to_y);
	return object_equal_references(equal, x, y);
}

/* The same but for zeros at the end. */
static bool same_bytes(const struct table *b, uint64_t x, uint64_t x_end, const struct table *a, uint64_t y,
		       uint64_t y_end)
{
	while (x_end > x && !b->data[x_end - 1])
		x_end--;
	while (y_end > y && !a->data[y_end - 1])
		y_end--;
	return x_end - x == y_end - y && !memcmp(b->data + x, a->data + y, x_end - x);
}

static bool same_actions_and_classes(struct object_equal *equal, const struct table *b, const struct table *a)
{
	size_t i = reference_from(b->whole, b->sites_end), i_end = reference_from(b->whole, b->classes),
	       k = reference_from(a->whole, a->sites_end), k_end = reference_from(a->whole, a->classes);
	uint64_t x = i < i_end ? b->whole->references[i].offset : b->classes,
		 y = k < k_end ? a->whole->references[k].offset : a->classes;
	if (i_end - i != k_end - k || b->classes - x != a->classes - y ||
	    memcmp(b->data + x, a->data + y, b->classes - x) != 0 ||
	    !same_bytes(b, b->sites_end, x, a, a->sites_end, y))
		return false;
	for (; i < i_end; i++, k++) {
		const struct object_reference *r = &b->whole->references[i], *s = &a->whole->references[k];
		if (b->classes - r->offset != a->classes - s->offset || !same_class(equal, b, r, a, s))
			return false;
	}
	return true;
}

/* Lists of classes that a function may throw, by number: no references. */
static bool same_lists(const struct table *b, const struct table *a)
{
	return reference_from(b->whole, b->classes) == reference_from(b->whole, b->end) &&
	       reference_from(a->whole, a->classes) == reference_from(a->whole, a->end) &&
	       same_bytes(b, b->classes, b->end, a, a->classes, a->end);
}

bool object_except_equal(struct object_equal *equal, const struct object_except *const sides[2],
			 uint32_t before, uint32_t after)
{
	const struct object *objects[2] = {equal->pairs->side[0], equal->pairs->side[1]};
	const struct object_lsda *x = &sides[0]->of[before], *y = &sides[1]->of[after];
	if (!sides[0]->known || !sides[1]->known || (!x->section && !y->section))
		return true;
	if (!x->section || !y->section ||
	    strcmp(objects[0]->symbols[x->personality].name, objects[1]->symbols[y->personality].name) != 0)
		return false;
	const struct table b = open_table(objects[0], sides[0], before),
			   a = open_table(objects[1], sides[1], after);
	return b.site_encoding == a.site_encoding && b.class_encoding == a.class_encoding &&
	       same_sites(&b, &a) && same_actions_and_classes(equal, &b, &a) && same_lists(&b, &a);
}
