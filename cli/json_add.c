// SPDX-License-Identifier: MIT
#include "cli/json_add.h"

#include "base/compiler.h"
#include "cli/text.h"

void json_add(struct json_object *object, const char *key, struct json_object *value, bool *failed)
{
	if (!object || !value || json_object_object_add(object, key, value)) {
		json_object_put(value);
		*failed = true;
	}
}

void json_add_string(struct json_object *object, const char *key, const char *value, bool *failed)
{
	if (!value) {
		*failed |= !object || json_object_object_add(object, key, NULL);
		return;
	}
	_cleanup_(text_freep) char *printable = text_printable(value, false);
	json_add(object, key, json_object_new_string(printable), failed);
}

void json_append(struct json_object *array, struct json_object *value, bool *failed)
{
	if (!array || !value || json_object_array_add(array, value)) {
		json_object_put(value);
		*failed = true;
	}
}

bool json_write(struct json_object *root, bool failed, FILE *out)
{
	const int how = JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED | JSON_C_TO_STRING_NOSLASHESCAPE;
	const char *text = failed ? NULL : json_object_to_json_string_ext(root, how);
	if (text)
		fprintf(out, "%s\n", text);
	return text;
}
