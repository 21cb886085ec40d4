/* SPDX-License-Identifier: MIT */
/*
 * Which names a mistyped name may have meant: the few nearest by edit distance.
 */
#ifndef PROCESS_ELF_NEAREST_H
#define PROCESS_ELF_NEAREST_H

#include <stddef.h>

#define NEAREST_MAX	 5
#define NEAREST_DISTANCE 3

struct nearest {
	const char *wanted;
	size_t wanted_length;
	struct {
		const char *name;
		unsigned distance;
	} v[NEAREST_MAX]; /* nearest first */
	size_t n;
};

void nearest_init(struct nearest *nearest, const char *wanted);
/* Offers a name, which must stay valid; the same name is kept once. */
void nearest_offer(struct nearest *nearest, const char *name);
/* "a, b, c" into buf, cut where it does not fit; "" when there is none. */
void nearest_format(const struct nearest *nearest, char *buf, size_t size);

/* Insertions, deletions and replacements from a to b; more than max gives max + 1. Long names (over 128) only
 * equal. */
unsigned edit_distance(const char *a, size_t a_length, const char *b, size_t b_length, unsigned max);

#endif
