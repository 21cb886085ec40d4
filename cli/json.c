// SPDX-License-Identifier: MIT
#include "cli/json.h"

#include <inttypes.h>
#include <json-c/json.h>
#include <stdlib.h>

#include "base/compiler.h"
#include "cli/json_add.h"
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

static void add_number(struct json *json, struct json_object *object, const char *key, uint64_t value)
{
	json_add(object, key, json_object_new_uint64(value), &json->failed);
}

static void add_bool(struct json *json, struct json_object *object, const char *key, bool value)
{
	json_add(object, key, json_object_new_boolean(value), &json->failed);
}

/* Addresses are strings: a JSON number need not hold 64 bits. */
static void add_address(struct json *json, struct json_object *object, const char *key, uint64_t value)
{
	char buf[24];
	snprintf(buf, sizeof(buf), "0x%" PRIx64, value);
	json_add_string(object, key, buf, &json->failed);
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
	json_add_string(o, "name", function->name, &json->failed);
	json_add_string(o, "file", function->file, &json->failed);
	json_add_string(o, "module", function->module, &json->failed);
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
			json_append(array, json_object_new_string(names[i]), &json->failed);
	}
	return array;
}

static struct json_object *states_array(struct json *json, const struct usp_payload_info *payload)
{
	struct json_object *array = json_object_new_array();
	for (size_t i = 0; i < payload->n_data_states; i++) {
		struct json_object *o = json_object_new_object();
		json_add_string(o, "name", payload->data_states[i].name, &json->failed);
		add_number(json, o, "version", payload->data_states[i].version);
		json_append(array, o, &json->failed);
	}
	return array;
}

static struct json_object *payload_object(struct json *json, const struct usp_payload_info *payload)
{
	struct json_object *o = json_object_new_object();
	json_add_string(o, "name", payload->name, &json->failed);
	json_add_string(o, "version", payload->version, &json->failed);
	json_add_string(o, "description", payload->description, &json->failed);
	json_add_string(o, "build_id", payload->build_id, &json->failed);
	json_add_string(o, "depends", payload->depends, &json->failed);
	json_add_string(o, "module", payload->module, &json->failed);
	json_add_string(o, "module_build_id", payload->module_build_id, &json->failed);
	json_add_string(o, "state", state_name(payload->state), &json->failed);
	add_number(json, o, "position", payload->position > 0 ? (uint64_t)payload->position : 0);
	add_bool(json, o, "applied_once", payload->applied_once);
	add_bool(json, o, "writable_data", payload->writable_data);
	json_add_string(o, "last_action", payload->last_action, &json->failed);
	json_add_string(o, "last_result", report_code_name(payload->last_result), &json->failed);
	add_address(json, o, "base", payload->base);
	add_number(json, o, "size", payload->size);
	json_add_string(o, "unwind", unwind_name(payload->unwind), &json->failed);
	json_add(o, "hooks", hooks_array(json, payload->hooks), &json->failed);
	json_add(o, "data_states", states_array(json, payload), &json->failed);
	struct json_object *functions = json_object_new_array();
	for (size_t i = 0; i < payload->n_functions; i++)
		json_append(functions, function_object(json, &payload->functions[i]), &json->failed);
	json_add(o, "functions", functions, &json->failed);
	return o;
}

static struct json_object *process_object(struct json *json, int pid)
{
	struct json_object *o = json_object_new_object();
	_cleanup_(text_freep) char *name = text_process_name(pid);
	add_number(json, o, "pid", (uint64_t)pid);
	json_add_string(o, "name", name, &json->failed);
	return o;
}

void json_add_list(struct json *json, int pid, const struct usp_list *list)
{
	struct json_object *o = process_object(json, pid);
	add_bool(json, o, "unfinished", list->unfinished);
	struct json_object *payloads = json_object_new_array();
	for (size_t i = 0; i < list->n_payloads; i++)
		json_append(payloads, payload_object(json, &list->payloads[i]), &json->failed);
	json_add(o, "payloads", payloads, &json->failed);
	json_append(json->processes, o, &json->failed);
}

void json_add_check(struct json *json, int pid, const struct usp_check *check)
{
	struct json_object *o = process_object(json, pid);
	json_add_string(o, "payload", check->name, &json->failed);
	add_bool(json, o, "fits", check->fits);
	json_add_string(o, "result", report_code_name(check->code), &json->failed);
	json_add_string(o, "reason", check->reason, &json->failed);
	json_add_string(o, "unwind", unwind_name(check->unwind), &json->failed);
	struct json_object *functions = json_object_new_array();
	for (size_t i = 0; i < check->n_functions; i++) {
		struct json_object *line = json_object_new_object();
		json_add_string(line, "name", check->functions[i].name, &json->failed);
		add_bool(json, line, "fits", check->functions[i].fits);
		json_add_string(line, "reason", check->functions[i].reason, &json->failed);
		json_append(functions, line, &json->failed);
	}
	json_add(o, "functions", functions, &json->failed);
	struct json_object *busy = json_object_new_array();
	for (size_t i = 0; i < check->n_busy_threads; i++) {
		_cleanup_(text_freep) char *printable = text_printable(check->busy_threads[i], false);
		json_append(busy, json_object_new_string(printable), &json->failed);
	}
	json_add(o, "busy_threads", busy, &json->failed);
	json_append(json->processes, o, &json->failed);
}

bool json_print(struct json *json, FILE *out)
{
	return json_write(json->root, json->failed, out);
}
