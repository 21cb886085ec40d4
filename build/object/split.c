// SPDX-License-Identifier: MIT
/*
 * Sections into pieces: object_split().
 *
 *  1. what symbols with a size name: functions and variables; several names of one range are one piece
 *  2. code that no symbol covers: pieces without a name, unless it is padding
 *  3. all references of these; then what has no name in data is cut where an address is formed that points into it
 *     (a compiler's constants and jump tables), never where something is only read: that may be the middle
 *  4. each reference finds its piece
 */
#define _GNU_SOURCE
#include "build/object/object.h"

#include <stdlib.h>
#include <string.h>

#include "build/object/code.h"
#include "build/object/cut.h"
#include "build/object/name.h"
#include "build/object/target.h"

struct splitter {
	struct object *object;
	size_t capacity; /* of object->pieces */
	struct object_cuts cuts;
};

static bool has_pieces(const struct object_section *s)
{
	switch (s->kind) {
	case OBJECT_KIND_CODE:
	case OBJECT_KIND_CONSTANT:
	case OBJECT_KIND_DATA:
	case OBJECT_KIND_BSS:
	case OBJECT_KIND_TLS:
	case OBJECT_KIND_RECORDS:
		return true;
	default:
		return false;
	}
}

static bool is_whole(const struct object_section *s)
{
	return s->kind == OBJECT_KIND_START || s->kind == OBJECT_KIND_SPECIAL;
}

static struct usp_error *add_piece(struct splitter *splitter, uint32_t section, uint64_t offset,
				   uint64_t size, uint32_t symbol)
{
	struct object *object = splitter->object;
	if (object->n_pieces == UINT32_MAX - 1 ||
	    !object_grow(&object->pieces, object->n_pieces, &splitter->capacity, sizeof(*object->pieces)))
		return &usp_error_no_memory;
	struct object_piece *p = &object->pieces[object->n_pieces];
	*p = (struct object_piece){
		.section = section, .offset = offset, .size = size, .symbol = symbol, .parent = OBJECT_NONE};
	if (symbol) {
		p->name = object->symbols[symbol].name;
		p->base = object_name_base(p->name, &p->numbered);
		if (!p->base)
			return &usp_error_no_memory;
	}
	object->n_pieces++;
	return NULL;
}

static bool makes_piece(const struct object *object, const struct object_symbol *s)
{
	if (!s->size || !*s->name || s->section == SHN_UNDEF || s->section >= object->n_sections ||
	    !has_pieces(&object->sections[s->section]))
		return false;
	return s->type == STT_FUNC || s->type == STT_GNU_IFUNC || s->type == STT_OBJECT ||
	       s->type == STT_TLS || s->type == STT_NOTYPE;
}

/* By place, the larger first; of several names the global one, then the one with a type. */
static int by_place(const void *a, const void *b, void *context)
{
	const struct object_symbol *symbols = context, *x = &symbols[*(const uint32_t *)a],
				   *y = &symbols[*(const uint32_t *)b];
	if (x->section != y->section)
		return x->section < y->section ? -1 : 1;
	if (x->value != y->value)
		return x->value < y->value ? -1 : 1;
	if (x->size != y->size)
		return x->size > y->size ? -1 : 1;
	if ((x->binding == STB_GLOBAL) != (y->binding == STB_GLOBAL))
		return x->binding == STB_GLOBAL ? -1 : 1;
	if ((x->type == STT_GNU_IFUNC) != (y->type == STT_GNU_IFUNC)) /* the resolver goes by its own name */
		return x->type == STT_GNU_IFUNC ? 1 : -1;
	if ((x->type == STT_NOTYPE) != (y->type == STT_NOTYPE))
		return x->type == STT_NOTYPE ? 1 : -1;
	return strcmp(x->name, y->name);
}

static void note_symbol(struct object_piece *p, const struct object_symbol *s)
{
	p->global |= s->binding != STB_LOCAL;
	p->weak |= s->binding == STB_WEAK;
	p->strong |= s->binding != STB_LOCAL && s->binding != STB_WEAK;
	p->ifunc |= s->type == STT_GNU_IFUNC;
}

static struct usp_error *take_symbol(struct splitter *splitter, uint32_t symbol)
{
	struct object *object = splitter->object;
	const struct object_symbol *s = &object->symbols[symbol];
	struct object_piece *last = object->n_pieces ? &object->pieces[object->n_pieces - 1] : NULL;
	if (last && last->section == s->section && s->value < last->offset + last->size) {
		if (s->value != last->offset || s->size != last->size)
			return usp_errorf(USP_UNSUPPORTED, "%s and %s overlap in section %s", last->name,
					  s->name, object->sections[s->section].name);
		note_symbol(last, s);
		return NULL;
	}
	struct usp_error *error = add_piece(splitter, s->section, s->value, s->size, symbol);
	if (!error)
		note_symbol(&object->pieces[object->n_pieces - 1], s);
	return error;
}

static struct usp_error *take_symbols(struct splitter *splitter)
{
	struct object *object = splitter->object;
	_cleanup_free_ uint32_t *order = calloc(object->n_symbols, sizeof(*order));
	size_t n = 0;
	if (!order)
		return &usp_error_no_memory;
	for (uint32_t i = 1; i < object->n_symbols; i++)
		if (makes_piece(object, &object->symbols[i]))
			order[n++] = i;
	qsort_r(order, n, sizeof(*order), by_place, object->symbols);
	for (size_t i = 0; i < n; i++) {
		struct usp_error *error = take_symbol(splitter, order[i]);
		if (error)
			return error;
	}
	return NULL;
}

static int by_section(const void *a, const void *b)
{
	const struct object_piece *x = a, *y = b;
	if (x->section != y->section)
		return x->section < y->section ? -1 : 1;
	return x->offset < y->offset ? -1 : x->offset > y->offset;
}

/* Puts the pieces in order and tells each section which are its own. */
static void sort_pieces(struct object *object)
{
	if (object->n_pieces)
		qsort(object->pieces, object->n_pieces, sizeof(*object->pieces), by_section);
	for (uint32_t i = 0; i < object->n_sections; i++)
		object->sections[i].n_pieces = 0;
	for (uint32_t i = 0; i < object->n_pieces; i++) {
		struct object_section *s = &object->sections[object->pieces[i].section];
		if (!s->n_pieces++)
			s->first_piece = i;
	}
}

static bool has_relocation(const struct object_section *s, uint64_t start, uint64_t end)
{
	size_t k = object_relocation_from(s, start);
	return k < s->n_relocations && s->relocations[k].offset < end;
}

/* Bytes between variables that only align the next one. */
static bool is_padding(const struct object_section *s, uint64_t start, uint64_t end)
{
	if (has_relocation(s, start, end))
		return false;
	if (s->kind == OBJECT_KIND_CODE)
		return object_code_is_padding(s->data + start, end - start);
	if (end - start >= s->align)
		return false;
	for (uint64_t i = start; s->data && i < end; i++)
		if (s->data[i])
			return false;
	return true;
}

typedef struct usp_error *gap_fn(struct splitter *splitter, uint32_t section, uint64_t start, uint64_t end);

/* Calls fn for each range of the section that no piece covers. The pieces are sorted. */
static struct usp_error *each_gap(struct splitter *splitter, uint32_t section, gap_fn *fn)
{
	struct object *object = splitter->object;
	uint64_t at = 0;
	uint32_t first = object->sections[section].first_piece, n = object->sections[section].n_pieces;
	for (uint32_t i = 0; i <= n; i++) {
		uint64_t end = i < n ? object->pieces[first + i].offset : object->sections[section].size;
		struct usp_error *error = at < end ? fn(splitter, section, at, end) : NULL;
		if (error)
			return error;
		if (i < n)
			at = end + object->pieces[first + i].size;
	}
	return NULL;
}

static struct usp_error *take_code_gap(struct splitter *splitter, uint32_t section, uint64_t start,
				       uint64_t end)
{
	if (is_padding(&splitter->object->sections[section], start, end))
		return NULL;
	return add_piece(splitter, section, start, end - start, 0);
}

/* What has no name may point at what has none: a table of strings that are not merged. */
static struct usp_error *cut_gap(struct splitter *splitter, uint32_t section, uint64_t start, uint64_t end)
{
	struct object_reference *v;
	size_t n;
	struct usp_error *error = object_target_data(splitter->object, section, start, end - start, &v, &n);
	size_t kept = 0;
	for (size_t i = 0; !error && i < n; i++)
		if (v[i].type == R_X86_64_64) /* where a relative one points depends on the cuts */
			v[kept++] = v[i];
	if (!error)
		error = object_cuts_add(&splitter->cuts, splitter->object, v, kept);
	free(v);
	return error;
}

static struct usp_error *take_data_gap(struct splitter *splitter, uint32_t section, uint64_t start,
				       uint64_t end)
{
	const struct object_section *s = &splitter->object->sections[section];
	/* An empty string looks like padding, but for somebody pointing at it. */
	bool wanted =
		s->kind == OBJECT_KIND_CONSTANT && object_cuts_from(&splitter->cuts, section, start) < end;
	if (!wanted && is_padding(s, start, end))
		return NULL;
	while (start < end) {
		uint64_t stop = object_cuts_from(&splitter->cuts, section, start + 1);
		if (stop > end)
			stop = end;
		struct usp_error *error = add_piece(splitter, section, start, stop - start, 0);
		if (error)
			return error;
		start = stop;
	}
	return NULL;
}

static struct usp_error *each_section_gap(struct splitter *splitter, bool code, gap_fn *fn)
{
	struct object *object = splitter->object;
	for (uint32_t i = 1; i < object->n_sections; i++) {
		const struct object_section *s = &object->sections[i];
		if (!has_pieces(s) || (s->kind == OBJECT_KIND_CODE) != code)
			continue;
		struct usp_error *error = each_gap(splitter, i, fn);
		if (error)
			return error;
	}
	return NULL;
}

static struct usp_error *take_whole_sections(struct splitter *splitter)
{
	for (uint32_t i = 1; i < splitter->object->n_sections; i++) {
		const struct object_section *s = &splitter->object->sections[i];
		struct usp_error *error =
			is_whole(s) && s->size ? add_piece(splitter, i, 0, s->size, 0) : NULL;
		if (error)
			return error;
	}
	return NULL;
}

static struct usp_error *read_references(struct splitter *splitter)
{
	struct object *object = splitter->object;
	for (uint32_t i = 0; i < object->n_pieces; i++) {
		struct object_piece *p = &object->pieces[i];
		struct usp_error *error = object_piece_is_code(object, p)
						  ? object_code_read(object, p)
						  : object_target_data(object, p->section, p->offset, p->size,
								       &p->references, &p->n_references);
		if (!error)
			error = object_cuts_add(&splitter->cuts, object, p->references, p->n_references);
		if (error)
			return error;
	}
	return NULL;
}

/* Of the pieces without a name that step 3 has added. */
static struct usp_error *read_gap_references(struct object *object)
{
	for (uint32_t i = 0; i < object->n_pieces; i++) {
		struct object_piece *p = &object->pieces[i];
		if (p->symbol || p->references || object_piece_is_code(object, p))
			continue;
		struct usp_error *error = object_target_data(object, p->section, p->offset, p->size,
							     &p->references, &p->n_references);
		if (error)
			return error;
	}
	return NULL;
}

/* ".cold" parts find what they were split off. */
static void find_parents(struct object *object)
{
	for (uint32_t i = 0; i < object->n_pieces; i++) {
		struct object_piece *p = &object->pieces[i];
		size_t length = p->name && object_piece_is_code(object, p) ? object_name_cold(p->name) : 0;
		for (uint32_t k = 0; length && k < object->n_pieces; k++) {
			const struct object_piece *q = &object->pieces[k];
			if (q->name && object_piece_is_code(object, q) &&
			    !strncmp(q->name, p->name, length) && !q->name[length])
				p->parent = k;
		}
	}
}

/* All words of it are places in the midst of functions. */
static bool is_labels(const struct object *object, const struct object_piece *p)
{
	uint64_t size = 0;
	if (object_piece_is_code(object, p) || !p->symbol || p->global)
		return false;
	for (size_t i = 0; i < p->n_references; i++) {
		const struct object_reference *r = &p->references[i];
		if (r->target != OBJECT_TARGET_PIECE || !r->addend ||
		    !object_piece_is_code(object, &object->pieces[r->piece]))
			return false;
		size += r->width;
	}
	return size && size == p->size;
}

static struct usp_error *split(struct splitter *splitter)
{
	struct object *object = splitter->object;
	struct usp_error *error = take_symbols(splitter);
	if (!error)
		error = take_whole_sections(splitter);
	if (error)
		return error;
	sort_pieces(object);
	error = each_section_gap(splitter, true, take_code_gap);
	if (!error)
		error = read_references(splitter);
	if (error)
		return error;
	sort_pieces(object);
	error = each_section_gap(splitter, false, cut_gap);
	if (error)
		return error;
	object_cuts_sort(&splitter->cuts);
	error = each_section_gap(splitter, false, take_data_gap);
	if (error)
		return error;
	sort_pieces(object);
	return read_gap_references(object);
}

struct usp_error *object_split(struct object *object)
{
	struct splitter splitter = {.object = object};
	struct usp_error *error = split(&splitter);
	free(splitter.cuts.v);
	if (error)
		return error;
	for (uint32_t i = 0; i < object->n_pieces; i++)
		for (size_t k = 0; k < object->pieces[i].n_references; k++)
			object_target_bind(object, &object->pieces[i].references[k]);
	for (uint32_t i = 0; i < object->n_pieces; i++)
		object->pieces[i].labels = is_labels(object, &object->pieces[i]);
	find_parents(object);
	return NULL;
}
