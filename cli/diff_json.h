/* SPDX-License-Identifier: MIT */
/*
 * The answer of diff as JSON. The schema is in usplice(1), JSON; members may be added, never renamed or taken away while
 * "format" is 1.
 */
#ifndef CLI_DIFF_JSON_H
#define CLI_DIFF_JSON_H

#include <stdbool.h>
#include <stdio.h>

#include <usplice/build.h>

/* "same", "line-only", "changed", "added", "removed" */
const char *diff_verdict_name(enum usp_diff_verdict verdict);

/* Prints the document. False: memory had run out somewhere, nothing is printed. */
bool diff_json_print(const struct usp_diff *diff, FILE *out);

#endif
