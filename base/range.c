// SPDX-License-Identifier: MIT
#include "base/range.h"

#include <errno.h>
#include <stdlib.h>

int range_set_add(struct range_set *set, uint64_t start, uint64_t end)
{
	if (start >= end)
		return 0;
	if (set->n == set->capacity) {
		size_t capacity = set->capacity ? 2 * set->capacity : 8;
		struct range *v = reallocarray(set->v, capacity, sizeof(*v));
		if (!v)
			return -ENOMEM;
		set->v = v;
		set->capacity = capacity;
	}
	set->v[set->n++] = (struct range){start, end};
	return 0;
}

static int range_compare(const void *a, const void *b)
{
	const struct range *x = a, *y = b;
	return x->start < y->start ? -1 : x->start > y->start;
}

void range_set_seal(struct range_set *set)
{
	if (!set->n)
		return;
	qsort(set->v, set->n, sizeof(*set->v), range_compare);
	size_t last = 0;
	for (size_t i = 1; i < set->n; i++) {
		if (set->v[i].start > set->v[last].end)
			set->v[++last] = set->v[i];
		else if (set->v[i].end > set->v[last].end)
			set->v[last].end = set->v[i].end;
	}
	set->n = last + 1;
}

const struct range *range_set_find(const struct range_set *set, uint64_t address)
{
	size_t low = 0, high = set->n;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (address < set->v[middle].start)
			high = middle;
		else if (address >= set->v[middle].end)
			low = middle + 1;
		else
			return &set->v[middle];
	}
	return NULL;
}

void range_set_deinit(struct range_set *set)
{
	free(set->v);
	*set = (struct range_set){0};
}
