/* SPDX-License-Identifier: MIT */
/*
 * Building JSON without a check at each step: *failed becomes true when memory is out, and all goes on. Values are taken.
 * JSON is UTF-8 and names from a target are anything: what is not printable is escaped as everywhere else (text.h).
 */
#ifndef CLI_JSON_ADD_H
#define CLI_JSON_ADD_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stdio.h>

void json_add(struct json_object *object, const char *key, struct json_object *value, bool *failed);
/* value NULL: JSON's null. */
void json_add_string(struct json_object *object, const char *key, const char *value, bool *failed);
void json_append(struct json_object *array, struct json_object *value, bool *failed);

/* Prints the document. False: memory had run out somewhere, nothing is printed. */
bool json_write(struct json_object *root, bool failed, FILE *out);

#endif
