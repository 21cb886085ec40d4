// SPDX-License-Identifier: MIT
#include "cli/diff_json.h"

#include <json-c/json.h>

#include "base/compiler.h"
#include "cli/json_add.h"

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

static struct json_object *reference_object(const struct usp_diff_reference *r, bool *failed)
{
	struct json_object *o = json_object_new_object();
	json_add_string(o, "target", target_words[r->target], failed);
	json_add_string(o, "name", r->name, failed);
	json_add(o, "addend", json_object_new_int64(r->addend), failed);
	json_add(o, "offset", json_object_new_uint64(r->offset), failed);
	json_add(o, "type", json_object_new_uint64(r->type), failed);
	json_add_string(o, "verdict", diff_verdict_name(r->verdict), failed);
	return o;
}

static struct json_object *function_object(const struct usp_diff_function *f, bool *failed)
{
	struct json_object *o = json_object_new_object(), *references = json_object_new_array();
	json_add_string(o, "name", f->name, failed);
	json_add_string(o, "name_before", f->name_before, failed);
	json_add_string(o, "part_of", f->part_of, failed);
	json_add_string(o, "section", f->section, failed);
	json_add_string(o, "verdict", diff_verdict_name(f->verdict), failed);
	json_add_string(o, "why", f->why, failed);
	json_add(o, "size_before", json_object_new_uint64(f->size_before), failed);
	json_add(o, "size_after", json_object_new_uint64(f->size_after), failed);
	json_add(o, "global", json_object_new_boolean(f->is_global), failed);
	for (size_t i = 0; i < f->n_references; i++)
		json_append(references, reference_object(&f->references[i], failed), failed);
	json_add(o, "references", references, failed);
	return o;
}

static struct json_object *data_object(const struct usp_diff_data *d, bool *failed)
{
	struct json_object *o = json_object_new_object();
	json_add_string(o, "name", d->name, failed);
	json_add_string(o, "section", d->section, failed);
	json_add_string(o, "kind", target_words[d->target], failed);
	json_add_string(o, "verdict", diff_verdict_name(d->verdict), failed);
	json_add_string(o, "why", d->why, failed);
	json_add(o, "size_before", json_object_new_uint64(d->size_before), failed);
	json_add(o, "size_after", json_object_new_uint64(d->size_after), failed);
	json_add(o, "global", json_object_new_boolean(d->is_global), failed);
	json_add(o, "reached", json_object_new_boolean(d->is_reached), failed);
	return o;
}

static struct json_object *problem_object(const struct usp_diff_problem *p, bool *failed)
{
	struct json_object *o = json_object_new_object();
	json_add_string(o, "kind", problem_words[p->kind], failed);
	json_add_string(o, "name", p->name, failed);
	json_add_string(o, "text", p->text, failed);
	return o;
}

static struct json_object *ignored_object(const struct usp_diff_ignored *i, bool *failed)
{
	struct json_object *o = json_object_new_object();
	json_add_string(o, "section", i->section, failed);
	json_add_string(o, "why", i->why, failed);
	return o;
}

bool diff_json_print(const struct usp_diff *diff, FILE *out)
{
	bool failed = false;
	struct json_object *root = json_object_new_object(), *functions = json_object_new_array(),
			   *data = json_object_new_array(), *problems = json_object_new_array(),
			   *ignored = json_object_new_array();
	for (size_t i = 0; i < diff->n_functions; i++)
		json_append(functions, function_object(&diff->functions[i], &failed), &failed);
	for (size_t i = 0; i < diff->n_data; i++)
		json_append(data, data_object(&diff->data[i], &failed), &failed);
	for (size_t i = 0; i < diff->n_problems; i++)
		json_append(problems, problem_object(&diff->problems[i], &failed), &failed);
	for (size_t i = 0; i < diff->n_ignored; i++)
		json_append(ignored, ignored_object(&diff->ignored[i], &failed), &failed);
	json_add(root, "format", json_object_new_int(FORMAT), &failed);
	json_add(root, "same", json_object_new_boolean(diff->is_same), &failed);
	json_add(root, "functions", functions, &failed);
	json_add(root, "data", data, &failed);
	json_add(root, "problems", problems, &failed);
	json_add(root, "ignored", ignored, &failed);
	bool written = json_write(root, failed, out);
	json_object_put(root);
	return written;
}
