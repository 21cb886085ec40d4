/* SPDX-License-Identifier: MIT */
/*
 * The answers of list, info and check as JSON. The schema is in usplice(1), JSON; members may be added, never
 * renamed or taken away while "format" is 1.
 */
#ifndef CLI_JSON_H
#define CLI_JSON_H

#include <usplice/list.h>

#include "cli/cli.h"

struct json;

struct json *json_create(void); /* NULL: out of memory */
void json_destroy(struct json *json);
void json_destroyp(struct json **json);

void json_add_list(struct json *json, int pid, const struct usp_list *list);
void json_add_check(struct json *json, int pid, const struct usp_check *check);

/* Prints the document. False: memory had run out somewhere, nothing is printed. */
bool json_print(struct json *json, FILE *out);

#endif
