// SPDX-License-Identifier: MIT
#include "process/scan/words.h"

#include <errno.h>
#include <stdlib.h>

#define BLOCK 256 /* words between two looks at whether any was in the box */

int scan_set_add(struct scan_set *set, uint64_t start, uint64_t end, bool call_at_end)
{
	return start < end ? range_set_add(&set->ranges, start, call_at_end ? end + 1 : end) : 0;
}

int scan_set_add_entry(struct scan_set *set, uint64_t entry)
{
	if (set->n_entries == set->capacity) {
		size_t capacity = set->capacity ? 2 * set->capacity : 32;
		uint64_t *v = reallocarray(set->entries, capacity, sizeof(*v));
		if (!v)
			return -ENOMEM;
		set->entries = v;
		set->capacity = capacity;
	}
	set->entries[set->n_entries++] = entry;
	return 0;
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return x < y ? -1 : x > y;
}

void scan_set_seal(struct scan_set *set)
{
	range_set_seal(&set->ranges);
	if (set->n_entries)
		qsort(set->entries, set->n_entries, sizeof(*set->entries), compare);
	if (!set->ranges.n)
		return;
	set->low = set->ranges.v[0].start;
	set->span = set->ranges.v[set->ranges.n - 1].end - set->low;
}

void scan_set_deinit(struct scan_set *set)
{
	range_set_deinit(&set->ranges);
	free(set->entries);
	*set = (struct scan_set){0};
}

bool scan_set_has(const struct scan_set *set, uint64_t word)
{
	return range_set_find(&set->ranges, word) &&
	       !(set->n_entries && bsearch(&word, set->entries, set->n_entries, sizeof(word), compare));
}

static void look_closely(const struct scan_set *set, const uint64_t *words, size_t n, uint64_t address,
			 struct scan_hits *hits)
{
	for (size_t i = 0; i < n; i++) {
		if (words[i] - set->low >= set->span || !scan_set_has(set, words[i]))
			continue;
		hits->total++;
		if (hits->n < SCAN_HITS_MAX)
			hits->v[hits->n++] = (struct scan_hit){address + 8 * i, words[i]};
	}
}

/* Without a branch a word: this is the whole cost of a scan beside the copying. */
void scan_words(const struct scan_set *set, const uint64_t *words, size_t n, uint64_t address,
		struct scan_hits *hits)
{
	uint64_t low = set->low, span = set->span;
	for (size_t done = 0; done < n;) {
		size_t count = n - done < BLOCK ? n - done : BLOCK;
		unsigned near = 0;
		for (size_t i = 0; i < count; i++)
			near |= words[done + i] - low < span;
		if (near)
			look_closely(set, words + done, count, address + 8 * done, hits);
		done += count;
	}
}

/* e8 and four bytes; ff /2 with 0 to 5 bytes of address behind ModRM. What only looks like one counts too. */
bool scan_call_ends(const uint8_t *bytes, size_t n)
{
	if (!n)
		return true;
	if (n >= 5 && bytes[n - 5] == 0xe8)
		return true;
	for (size_t length = 2; length <= SCAN_CALL_MAX && length <= n; length++)
		if (bytes[n - length] == 0xff && (bytes[n - length + 1] >> 3 & 7) == 2)
			return true;
	return false;
}
