/* SPDX-License-Identifier: MIT */
/*
 * Which words of memory may be the place where somebody goes on: an address inside code that is going away.
 *
 * Every address inside counts, not only those behind a call: a context that was saved in a signal handler, or
 * by a switch of the program's own, goes on anywhere. Two addresses are not inside: the entry of a function
 * (it is a function pointer; ranges given here begin behind it), and the end of a range, unless a call may be
 * the last instruction before it: then it is what the call returns to.
 *
 * No system here, and no allocation while words are looked at.
 */
#ifndef PROCESS_SCAN_WORDS_H
#define PROCESS_SCAN_WORDS_H

#include "base/range.h"

#define SCAN_HITS_MAX 64
#define SCAN_CALL_MAX 7 /* bytes of the longest call that is looked for */

struct scan_set {
	struct range_set ranges;
	uint64_t *entries; /* addresses inside that count as function pointers all the same; ascending */
	size_t n_entries, capacity;
	uint64_t low, span; /* box around all ranges: nearly every word is outside it */
};

struct scan_hit {
	uint64_t at, word;
};

struct scan_hits {
	struct scan_hit v[SCAN_HITS_MAX]; /* the first ones */
	size_t n;
	uint64_t total;
};

/* The range [start, end); call_at_end: a call may be its last instruction. 0 or -ENOMEM. */
_must_check_ int scan_set_add(struct scan_set *set, uint64_t start, uint64_t end, bool call_at_end);
/* The entry of a function that lies inside a range (a payload's text is one range). 0 or -ENOMEM. */
_must_check_ int scan_set_add_entry(struct scan_set *set, uint64_t entry);
/* After the last of these, before the first look. */
void scan_set_seal(struct scan_set *set);
void scan_set_deinit(struct scan_set *set);

bool scan_set_has(const struct scan_set *set, uint64_t word);

/* Looks at n words that lie at address in the target. */
void scan_words(const struct scan_set *set, const uint64_t *words, size_t n, uint64_t address,
		struct scan_hits *hits);

/* Whether a call instruction may end where the n bytes end (no bytes: it may). */
bool scan_call_ends(const uint8_t *bytes, size_t n);

#endif
