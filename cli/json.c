// SPDX-License-Identifier: MIT
#include "cli/json.h"

#include <inttypes.h>
#include <json-c/json.h>
#include <stdlib.h>

#include "base/compiler.h"
#include "cli/report.h"
#include "cli/text.h"

#define FORMAT 1

struct json {
	struct json_object *root, *processes;
	bool failed; /* memory ran out: what there is, is not the answer */
};

struct json *json_create(void)
{
	struct json *json = calloc(1, sizeof(*json));
	if (!json)
		return NULL;
	json->root = json_object_new_object();
	json->processes = json_object_new_array();
	struct json_object *format = json_object_new_int(FORMAT);
	if (!json->root || !json->processes || !format ||
	    json_object_object_add(json->root, "format", format) ||
	    json_object_object_add(json->root, "processes", json_object_get(json->processes))) {
		json_destroy(json);
		return NULL;
	}
	return json;
}

void json_destroy(struct json *json)
{
	if (!json)
		return;
	json_object_put(json->processes);
	json_object_put(json->root);
	free(json);
}

void json_destroyp(struct json **json)
{
	json_destroy(*json);
}

/* Takes value; NULL: it could not be made. */
static void add(struct json *json, struct json_object *object, const char *key, struct json_object *value)
{
	if (!object || !value || json_object_object_add(object, key, value)) {
		json_object_put(value);
		json->failed = true;
	}
}

static void add_null(struct json *json, struct json_object *object, const char *key)
{
	if (!object || json_object_object_add(object, key, NULL))
		json->failed = true;
}

/* JSON is UTF-8 and names from a target are anything: what is not printable is escaped as everywhere else. */
static void add_string(struct json *json, struct json_object *object, const char *key, const char *value)
{
	if (!value) {
		add_null(json, object, key);
		return;
	}
	_cleanup_(text_freep) char *printable = text_printable(value, false);
	add(json, object, key, json_object_new_string(printable));
}

static void add_number(struct json *json, struct json_object *object, const char *key, uint64_t value)
{
	add(json, object, key, json_object_new_uint64(value));
}

static void add_bool(struct json *json, struct json_object *object, const char *key, bool value)
{
	add(json, object, key, json_object_new_boolean(value));
}

/* Addresses are strings: a JSON number need not hold 64 bits. */
static void add_address(struct json *json, struct json_object *object, const char *key, uint64_t value)
{
	char buf[24];
	snprintf(buf, sizeof(buf), "0x%" PRIx64, value);
	add(json, object, key, json_object_new_string(buf));
}

/* Takes value. */
static void append(struct json *json, struct json_object *array, struct json_object *value)
{
	if (!array || !value || json_object_array_add(array, value)) {
		json_object_put(value);
		json->failed = true;
	}
}

static const char *state_name(enum usp_state state)
{
	return state == USP_STATE_APPLIED ? "applied" : state == USP_STATE_CHECKED ? "checked" : "unknown";
}

static const char *unwind_name(enum usp_unwind unwind)
{
	static const char *const names[] = {"none", "registered", "no-unwinder", "no-thread"};
	return (unsigned)unwind < sizeof(names) / sizeof(*names) ? names[unwind] : "unknown";
}

static struct json_object *function_object(struct json *json, const struct usp_function_info *function)
{
	struct json_object *o = json_object_new_object();
	add_string(json, o, "name", function->name);
	add_string(json, o, "file", function->file);
	add_string(json, o, "module", function->module);
	add_address(json, o, "old_address", function->old_address);
	add_number(json, o, "old_size", function->old_size);
	add_address(json, o, "new_address", function->new_address);
	add_number(json, o, "new_size", function->new_size);
	add_address(json, o, "site", function->site);
	add_number(json, o, "site_length", function->site_length);
	return o;
}

static struct json_object *hooks_array(struct json *json, unsigned hooks)
{
	static const char *const names[] = {"load",	  "unload",	 "pre-apply", "post-apply",
					    "pre-revert", "post-revert", "apply",     "revert"};
	struct json_object *array = json_object_new_array();
	for (unsigned i = 0; i < sizeof(names) / sizeof(*names); i++) {
		if (hooks & (1u << i))
			append(json, array, json_object_new_string(names[i]));
	}
	return array;
}

static struct json_object *payload_object(struct json *json, const struct usp_payload_info *payload)
{
	struct json_object *o = json_object_new_object();
	add_string(json, o, "name", payload->name);
	add_string(json, o, "version", payload->version);
	add_string(json, o, "description", payload->description);
	add_string(json, o, "build_id", payload->build_id);
	add_string(json, o, "depends", payload->depends);
	add_string(json, o, "module", payload->module);
	add_string(json, o, "module_build_id", payload->module_build_id);
	add_string(json, o, "state", state_name(payload->state));
	add_number(json, o, "position", payload->position > 0 ? (uint64_t)payload->position : 0);
	add_bool(json, o, "applied_once", payload->applied_once);
	add_bool(json, o, "writable_data", payload->writable_data);
	add_string(json, o, "last_action", payload->last_action);
	add_string(json, o, "last_result", report_code_name(payload->last_result));
	add_address(json, o, "base", payload->base);
	add_number(json, o, "size", payload->size);
	add_string(json, o, "unwind", unwind_name(payload->unwind));
	add(json, o, "hooks", hooks_array(json, payload->hooks));
	struct json_object *functions = json_object_new_array();
	for (size_t i = 0; i < payload->n_functions; i++)
		append(json, functions, function_object(json, &payload->functions[i]));
	add(json, o, "functions", functions);
	return o;
}

static struct json_object *process_object(struct json *json, int pid)
{
	struct json_object *o = json_object_new_object();
	_cleanup_(text_freep) char *name = text_process_name(pid);
	add_number(json, o, "pid", (uint64_t)pid);
	add_string(json, o, "name", name);
	return o;
}

void json_add_list(struct json *json, int pid, const struct usp_list *list)
{
	struct json_object *o = process_object(json, pid);
	add_bool(json, o, "unfinished", list->unfinished);
	struct json_object *payloads = json_object_new_array();
	for (size_t i = 0; i < list->n_payloads; i++)
		append(json, payloads, payload_object(json, &list->payloads[i]));
	add(json, o, "payloads", payloads);
	append(json, json->processes, o);
}

void json_add_check(struct json *json, int pid, const struct usp_check *check)
{
	struct json_object *o = process_object(json, pid);
	add_string(json, o, "payload", check->name);
	add_bool(json, o, "fits", check->fits);
	add_string(json, o, "result", report_code_name(check->code));
	add_string(json, o, "reason", check->reason);
	add_string(json, o, "unwind", unwind_name(check->unwind));
	struct json_object *functions = json_object_new_array();
	for (size_t i = 0; i < check->n_functions; i++) {
		struct json_object *line = json_object_new_object();
		add_string(json, line, "name", check->functions[i].name);
		add_bool(json, line, "fits", check->functions[i].fits);
		add_string(json, line, "reason", check->functions[i].reason);
		append(json, functions, line);
	}
	add(json, o, "functions", functions);
	struct json_object *busy = json_object_new_array();
	for (size_t i = 0; i < check->n_busy_threads; i++) {
		_cleanup_(text_freep) char *printable = text_printable(check->busy_threads[i], false);
		append(json, busy, json_object_new_string(printable));
	}
	add(json, o, "busy_threads", busy);
	append(json, json->processes, o);
}

bool json_print(struct json *json, FILE *out)
{
	const char *text = json->failed
				   ? NULL
				   : json_object_to_json_string_ext(
					     json->root, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
								 JSON_C_TO_STRING_NOSLASHESCAPE);
	if (!text)
		return false;
	fprintf(out, "%s\n", text);
	return true;
}
