// SPDX-License-Identifier: MIT
#include "cli/build_json.h"

#include <inttypes.h>

#include "cli/json_add.h"

#define FORMAT 1

static const char *const verdict_words[] = {
	[USP_BUILD_READY] = "ready", [USP_BUILD_NO_CHANGE] = "no-change", [USP_BUILD_REFUSED] = "refused"};
static const char *const role_words[] = {
	[USP_BUILD_REPLACED] = "replaced",   [USP_BUILD_PART] = "part",	    [USP_BUILD_NEW] = "new",
	[USP_BUILD_UNREACHED] = "unreached", [USP_BUILD_ABSENT] = "absent", [USP_BUILD_GONE] = "gone",
	[USP_BUILD_LINE_ONLY] = "line-only"};

const char *build_role_name(enum usp_build_role role)
{
	return role_words[role];
}

static struct json_object *function_object(const struct usp_build_function *f, bool *failed)
{
	struct json_object *o = json_object_new_object();
	json_add_string(o, "object", f->object, failed);
	json_add_string(o, "name", f->name, failed);
	json_add_string(o, "role", build_role_name(f->role), failed);
	json_add_string(o, "why", f->why, failed);
	json_add(o, "size_before", json_object_new_uint64(f->size_before), failed);
	json_add(o, "size_after", json_object_new_uint64(f->size_after), failed);
	char address[24] = "";
	snprintf(address, sizeof(address), "0x%" PRIx64, f->address);
	json_add_string(o, "address", f->address ? address : NULL, failed);
	return o;
}

static struct json_object *finding_object(const struct usp_build_finding *f, bool *failed)
{
	struct json_object *o = json_object_new_object();
	json_add_string(o, "kind", f->kind, failed);
	json_add_string(o, "object", f->object, failed);
	json_add_string(o, "name", f->name, failed);
	json_add_string(o, "text", f->text, failed);
	json_add(o, "note", json_object_new_boolean(f->is_note), failed);
	json_add_string(o, "allowed", f->allowed, failed);
	return o;
}

bool build_json_print(const struct usp_build_report *report, const char *output, FILE *out)
{
	bool failed = false;
	struct json_object *root = json_object_new_object(), *functions = json_object_new_array(),
			   *findings = json_object_new_array();
	for (size_t i = 0; i < report->n_functions; i++)
		json_append(functions, function_object(&report->functions[i], &failed), &failed);
	for (size_t i = 0; i < report->n_findings; i++)
		json_append(findings, finding_object(&report->findings[i], &failed), &failed);
	json_add(root, "format", json_object_new_int(FORMAT), &failed);
	json_add_string(root, "verdict", verdict_words[report->verdict], &failed);
	json_add_string(root, "payload", output, &failed);
	json_add_string(root, "linked", report->linked, &failed);
	json_add(root, "objects_rebuilt", json_object_new_uint64(report->n_rebuilt), &failed);
	json_add(root, "objects_identical", json_object_new_uint64(report->n_identical), &failed);
	json_add(root, "objects_elsewhere", json_object_new_uint64(report->n_elsewhere), &failed);
	json_add(root, "functions_proven", json_object_new_uint64(report->n_proven), &failed);
	json_add(root, "seconds_builds", json_object_new_double(report->seconds_builds), &failed);
	json_add(root, "seconds_comparing", json_object_new_double(report->seconds_comparing), &failed);
	json_add(root, "functions", functions, &failed);
	json_add(root, "findings", findings, &failed);
	bool written = json_write(root, failed, out);
	json_object_put(root);
	return written;
}
