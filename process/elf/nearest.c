// SPDX-License-Identifier: MIT
#include "process/elf/nearest.h"

#include <stdio.h>
#include <string.h>

#define LENGTH_MAX 128u

unsigned edit_distance(const char *a, size_t a_length, const char *b, size_t b_length, unsigned max)
{
	unsigned row[LENGTH_MAX + 1];
	size_t difference = a_length > b_length ? a_length - b_length : b_length - a_length;
	if (difference > max || a_length > LENGTH_MAX || b_length > LENGTH_MAX)
		return a_length == b_length && memcmp(a, b, a_length) == 0 ? 0 : max + 1;
	for (size_t j = 0; j <= b_length; j++)
		row[j] = (unsigned)j;
	for (size_t i = 1; i <= a_length; i++) {
		unsigned diagonal = row[0], least = row[0] = (unsigned)i;
		for (size_t j = 1; j <= b_length; j++) {
			unsigned best = diagonal + (a[i - 1] != b[j - 1]);
			diagonal = row[j];
			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
			if (best < least)
				least = best;
		}
		if (least > max)
			return max + 1;
	}
	return row[b_length] > max ? max + 1 : row[b_length];
}

void nearest_init(struct nearest *nearest, const char *wanted)
{
	memset(nearest, 0, sizeof(*nearest));
	nearest->wanted = wanted;
	nearest->wanted_length = strlen(wanted);
}

void nearest_offer(struct nearest *nearest, const char *name)
{
	/* A short name is near to everything: allow it a third of its length, rounded (two swapped letters
	 * in five). */
	unsigned max = NEAREST_DISTANCE;
	if ((nearest->wanted_length + 1) / 3 < max)
		max = (unsigned)((nearest->wanted_length + 1) / 3);
	unsigned distance = edit_distance(nearest->wanted, nearest->wanted_length, name, strlen(name), max);
	if (!max || distance > max)
		return;
	size_t at = nearest->n;
	for (size_t i = 0; i < nearest->n; i++)
		if (strcmp(nearest->v[i].name, name) == 0)
			return;
	while (at > 0 && nearest->v[at - 1].distance > distance)
		at--;
	if (at == NEAREST_MAX)
		return;
	if (nearest->n < NEAREST_MAX)
		nearest->n++;
	memmove(&nearest->v[at + 1], &nearest->v[at], (nearest->n - 1 - at) * sizeof(nearest->v[0]));
	nearest->v[at].name = name;
	nearest->v[at].distance = distance;
}

void nearest_format(const struct nearest *nearest, char *buf, size_t size)
{
	size_t at = 0;
	if (size)
		buf[0] = '\0';
	for (size_t i = 0; i < nearest->n && at < size; i++) {
		int n = snprintf(buf + at, size - at, "%s%s", i ? ", " : "", nearest->v[i].name);
		if (n < 0)
			return;
		at += (size_t)n;
	}
}
