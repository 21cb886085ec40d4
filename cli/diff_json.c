// SPDX-License-Identifier: MIT
#include "cli/diff_json.h"

#include <json-c/json.h>

#include "base/compiler.h"
#include "cli/text.h"

#define FORMAT 1

static const char *const target_words[] = {
	[USP_DIFF_FUNCTION] = "function", [USP_DIFF_VARIABLE] = "variable", [USP_DIFF_CONSTANT] = "constant",
	[USP_DIFF_STRING] = "string",	  [USP_DIFF_IMPORT] = "import",	    [USP_DIFF_OTHER] = "other"};
static const char *const problem_words[] = {
	[USP_DIFF_PROBLEM_DATA] = "data",	[USP_DIFF_PROBLEM_AMBIGUOUS] = "ambiguous",
	[USP_DIFF_PROBLEM_UNKNOWN] = "unknown", [USP_DIFF_PROBLEM_SECTION] = "section",
	[USP_DIFF_PROBLEM_START] = "start",	[USP_DIFF_PROBLEM_TLS] = "tls",
	[USP_DIFF_PROBLEM_SYMBOL] = "symbol",
};

/* Takes value. */
static void add(struct json_object *object, const char *key, struct json_object *value, bool *failed)
{
	if (!object || !value || json_object_object_add(object, key, value)) {
		json_object_put(value);
		*failed = true;
	}
}

/* NULL is JSON's null. */
static void add_string(struct json_object *object, const char *key, const char *value, bool *failed)
{
	if (!value) {
		*failed |= !object || json_object_object_add(object, key, NULL);
		return;
	}
	_cleanup_(text_freep) char *printable = text_printable(value, false);
	add(object, key, json_object_new_string(printable), failed);
}

static void append(struct json_object *array, struct json_object *value, bool *failed)
{
	if (!array || !value || json_object_array_add(array, value)) {
		json_object_put(value);
		*failed = true;
	}
}

static struct json_object *reference_object(const struct usp_diff_reference *r, bool *failed)
{
	struct json_object *o = json_object_new_object();
	add_string(o, "target", target_words[r->target], failed);
	add_string(o, "name", r->name, failed);
	add(o, "addend", json_object_new_int64(r->addend), failed);
	add(o, "offset", json_object_new_uint64(r->offset), failed);
	add(o, "type", json_object_new_uint64(r->type), failed);
	add_string(o, "verdict", diff_verdict_name(r->verdict), failed);
	return o;
}

static struct json_object *function_object(const struct usp_diff_function *f, bool *failed)
{
	struct json_object *o = json_object_new_object(), *references = json_object_new_array();
	add_string(o, "name", f->name, failed);
	add_string(o, "name_before", f->name_before, failed);
	add_string(o, "part_of", f->part_of, failed);
	add_string(o, "section", f->section, failed);
	add_string(o, "verdict", diff_verdict_name(f->verdict), failed);
	add_string(o, "why", f->why, failed);
	add(o, "size_before", json_object_new_uint64(f->size_before), failed);
	add(o, "size_after", json_object_new_uint64(f->size_after), failed);
	add(o, "global", json_object_new_boolean(f->is_global), failed);
	for (size_t i = 0; i < f->n_references; i++)
		append(references, reference_object(&f->references[i], failed), failed);
	add(o, "references", references, failed);
	return o;
}

static struct json_object *data_object(const struct usp_diff_data *d, bool *failed)
{
	struct json_object *o = json_object_new_object();
	add_string(o, "name", d->name, failed);
	add_string(o, "section", d->section, failed);
	add_string(o, "kind", target_words[d->target], failed);
	add_string(o, "verdict", diff_verdict_name(d->verdict), failed);
	add_string(o, "why", d->why, failed);
	add(o, "size_before", json_object_new_uint64(d->size_before), failed);
	add(o, "size_after", json_object_new_uint64(d->size_after), failed);
	add(o, "global", json_object_new_boolean(d->is_global), failed);
	add(o, "reached", json_object_new_boolean(d->is_reached), failed);
	return o;
}

static struct json_object *problem_object(const struct usp_diff_problem *p, bool *failed)
{
	struct json_object *o = json_object_new_object();
	add_string(o, "kind", problem_words[p->kind], failed);
	add_string(o, "name", p->name, failed);
	add_string(o, "text", p->text, failed);
	return o;
}

static struct json_object *ignored_object(const struct usp_diff_ignored *i, bool *failed)
{
	struct json_object *o = json_object_new_object();
	add_string(o, "section", i->section, failed);
	add_string(o, "why", i->why, failed);
	return o;
}

bool diff_json_print(const struct usp_diff *diff, FILE *out)
{
	bool failed = false;
	struct json_object *root = json_object_new_object(), *functions = json_object_new_array(),
			   *data = json_object_new_array(), *problems = json_object_new_array(),
			   *ignored = json_object_new_array();
	for (size_t i = 0; i < diff->n_functions; i++)
		append(functions, function_object(&diff->functions[i], &failed), &failed);
	for (size_t i = 0; i < diff->n_data; i++)
		append(data, data_object(&diff->data[i], &failed), &failed);
	for (size_t i = 0; i < diff->n_problems; i++)
		append(problems, problem_object(&diff->problems[i], &failed), &failed);
	for (size_t i = 0; i < diff->n_ignored; i++)
		append(ignored, ignored_object(&diff->ignored[i], &failed), &failed);
	add(root, "format", json_object_new_int(FORMAT), &failed);
	add(root, "same", json_object_new_boolean(diff->is_same), &failed);
	add(root, "functions", functions, &failed);
	add(root, "data", data, &failed);
	add(root, "problems", problems, &failed);
	add(root, "ignored", ignored, &failed);
	const char *text = failed ? NULL
				  : json_object_to_json_string_ext(
					    root, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
							  JSON_C_TO_STRING_NOSLASHESCAPE);
	if (text)
		fprintf(out, "%s\n", text);
	json_object_put(root);
	return text;
}
