// SPDX-License-Identifier: MIT
/* Whose an exception table is: object_except_read(). */
#include "build/object/except.h"

#include <stdlib.h>
#include <string.h>

#include "payload/relocation.h"

#define HEADER 8 /* of an entry: its length, and 0 or the distance to its CIE */

struct entry {
	uint64_t start, end; /* with the length */
	uint32_t id;
};

bool object_except_is_table(const struct object_section *section)
{
	return section->kind == OBJECT_KIND_SPECIAL && !strncmp(section->name, ".gcc_except_table", 17);
}

static bool read_entry(const struct object_section *s, uint64_t at, struct entry *ret)
{
	uint32_t length;
	if (at > s->size || s->size - at < HEADER)
		return false;
	memcpy(&length, s->data + at, sizeof(length));
	memcpy(&ret->id, s->data + at + 4, sizeof(ret->id));
	if (length < 4 || length >= 0xfffffff0 || length > s->size - at - 4)
		return false;
	ret->start = at;
	ret->end = at + 4 + length;
	return true;
}

/* The k-th relocation in the entry, or NULL. */
static const struct object_relocation *relocation_of(const struct object_section *s,
						     const struct entry *entry, size_t k)
{
	size_t i = object_relocation_from(s, entry->start) + k;
	return i < s->n_relocations && s->relocations[i].offset < entry->end ? &s->relocations[i] : NULL;
}

/* The place that the relocation means; false: it is not in this object. */
static bool place_of(const struct object *object, const struct object_relocation *r, uint32_t *section,
		     uint64_t *at)
{
	const struct object_symbol *symbol = &object->symbols[r->symbol];
	*section = symbol->section;
	*at = symbol->value + (uint64_t)r->addend;
	return *section != SHN_UNDEF && *section < object->n_sections &&
	       *at < object->sections[*section].size;
}

/* "zPLR" and its like: the entries of this CIE have a length behind the range, and then the LSDA's place. */
static bool read_personality(const struct object_section *s, const struct entry *cie, uint32_t *ret)
{
	const uint8_t *text = s->data + cie->start + HEADER + 1;
	size_t room = cie->end > cie->start + HEADER + 1 ? cie->end - cie->start - HEADER - 1 : 0;
	const struct object_relocation *r = relocation_of(s, cie, 0);
	if (!room || !memchr(text, 0, room) || *text != 'z' || !strchr((const char *)text, 'L') ||
	    !strchr((const char *)text, 'P') || !r || relocation_of(s, cie, 1))
		return false;
	*ret = r->symbol;
	return true;
}

/* False: it is not understood. */
static bool read_fde(const struct object *object, const struct object_section *s, const struct entry *fde,
		     struct object_except *ret)
{
	const struct object_relocation *begin = relocation_of(s, fde, 0), *lsda = relocation_of(s, fde, 1);
	struct entry cie;
	uint32_t section;
	uint64_t at;
	if (!begin || begin->offset != fde->start + HEADER)
		return false;
	if (!lsda)
		return true;
	const struct object_piece *p =
		place_of(object, begin, &section, &at) ? object_piece_at(object, section, at) : NULL;
	unsigned width = payload_relocation_type(begin->type)->width;
	if (!p || !object_piece_is_code(object, p) || p->offset != at || relocation_of(s, fde, 2) ||
	    lsda->offset != fde->start + HEADER + 2 * width + 1 || fde->id > fde->start + 4 ||
	    !read_entry(s, fde->start + 4 - fde->id, &cie) || cie.id)
		return false;
	struct object_lsda *to = &ret->of[p - object->pieces];
	if (to->section || !place_of(object, lsda, &section, &at) ||
	    !object_except_is_table(&object->sections[section]) || !object->sections[section].data)
		return false;
	*to = (struct object_lsda){.section = section, .start = at};
	return read_personality(s, &cie, &to->personality);
}

static bool read_frames(const struct object *object, const struct object_section *s,
			struct object_except *ret)
{
	struct entry entry;
	for (uint64_t at = 0; at < s->size; at = entry.end)
		if (!read_entry(s, at, &entry) || (entry.id && !read_fde(object, s, &entry, ret)))
			return false;
	return true;
}

static int by_place(const void *a, const void *b)
{
	const struct object_lsda *x = *(struct object_lsda *const *)a, *y = *(struct object_lsda *const *)b;
	if (x->section != y->section)
		return x->section < y->section ? -1 : 1;
	return x->start < y->start ? -1 : x->start > y->start;
}

static struct usp_error *find_ends(const struct object *object, struct object_except *ret)
{
	_cleanup_free_ struct object_lsda **order =
		calloc(object->n_pieces + (size_t)1, sizeof(struct object_lsda *));
	size_t n = 0;
	if (!order)
		return &usp_error_no_memory;
	for (uint32_t i = 0; i < object->n_pieces; i++)
		if (ret->of[i].section)
			order[n++] = &ret->of[i];
	if (n)
		qsort(order, n, sizeof(struct object_lsda *), by_place);
	for (size_t i = n; i-- > 0;) {
		const struct object_lsda *next = i + 1 < n ? order[i + 1] : NULL;
		order[i]->end = !next || next->section != order[i]->section
					? object->sections[order[i]->section].size
				: next->start == order[i]->start ? next->end
								 : next->start;
	}
	return NULL;
}

struct usp_error *object_except_read(const struct object *object, struct object_except *ret)
{
	*ret = (struct object_except){.known = true,
				      .of = calloc(object->n_pieces + (size_t)1, sizeof(*ret->of))};
	if (!ret->of)
		return &usp_error_no_memory;
	for (uint32_t i = 1; i < object->n_sections && ret->known; i++) {
		const struct object_section *s = &object->sections[i];
		if (!strcmp(s->name, ".eh_frame") && s->size)
			ret->known = s->data && read_frames(object, s, ret);
	}
	return find_ends(object, ret);
}

void object_except_deinit(struct object_except *except)
{
	free(except->of);
	*except = (struct object_except){0};
}

bool object_except_covers(const struct object *object, const struct object_except *except, uint32_t section)
{
	/* From one to the next there is nothing that is nobody's; before the first one there may be. */
	for (uint32_t i = 0; i < object->n_pieces && except->known; i++)
		if (except->of[i].section == section && !except->of[i].start)
			return true;
	return false;
}
