/* SPDX-License-Identifier: MIT */
/* The answer of `usplice build` as JSON; usplice(1) has the schema. */
#ifndef CLI_BUILD_JSON_H
#define CLI_BUILD_JSON_H

#include <stdbool.h>
#include <stdio.h>

#include <usplice/build.h>

/* "replaced" and so on. */
const char *build_role_name(enum usp_build_role role);
/* False: out of memory. output: the payload, or NULL. */
bool build_json_print(const struct usp_build_report *report, const char *output, FILE *out);

#endif
