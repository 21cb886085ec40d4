// SPDX-License-Identifier: MIT
#include "build/object/cut.h"

#include <stdlib.h>

struct usp_error *object_cuts_add(struct object_cuts *cuts, const struct object *object,
				  const struct object_reference *references, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct object_reference *r = &references[i];
		if (r->target != OBJECT_TARGET_PIECE || !r->by_section || r->access || r->at < 0 ||
		    object->sections[r->section].kind == OBJECT_KIND_CODE)
			continue;
		if (!object_grow(&cuts->v, cuts->n, &cuts->capacity, sizeof(*cuts->v)))
			return &usp_error_no_memory;
		cuts->v[cuts->n++] = (struct object_cut){.section = r->section, .place = (uint64_t)r->at};
	}
	return NULL;
}

static int compare(const void *a, const void *b)
{
	const struct object_cut *x = a, *y = b;
	if (x->section != y->section)
		return x->section < y->section ? -1 : 1;
	return x->place < y->place ? -1 : x->place > y->place;
}

void object_cuts_sort(struct object_cuts *cuts)
{
	if (cuts->n)
		qsort(cuts->v, cuts->n, sizeof(*cuts->v), compare);
}

uint64_t object_cuts_from(const struct object_cuts *cuts, uint32_t section, uint64_t place)
{
	size_t low = 0, high = cuts->n;
	while (low < high) {
		size_t middle = (low + high) / 2;
		const struct object_cut *cut = &cuts->v[middle];
		if (cut->section < section || (cut->section == section && cut->place < place))
			low = middle + 1;
		else
			high = middle;
	}
	return low < cuts->n && cuts->v[low].section == section ? cuts->v[low].place : UINT64_MAX;
}
