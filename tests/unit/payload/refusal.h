/* SPDX-License-Identifier: MIT */
/* A table of malformed payloads: each spoils a good one, and says what the message must name. */
#ifndef TESTS_REFUSAL_H
#define TESTS_REFUSAL_H

#include <stdbool.h>

#include "elfmaker.h"

struct refusal {
	const char *what;
	void (*spoil)(struct elfmaker *e);
	const char *message; /* a part of it */
	bool source;	     /* read as not finished */
};

/* Runs them as cmocka tests; the good payload itself is read first. Returns the number of failures. */
int refusals_run(const char *group, const struct refusal *refusals, unsigned n);

#define REFUSALS_RUN(group, table) refusals_run(group, table, sizeof(table) / sizeof((table)[0]))

#endif
