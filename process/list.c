// SPDX-License-Identifier: MIT
/*
 * usplice/list.h: what the registry says, as plain structures. Takes no lock: tables change by one word, so
 * what is read is whole; when the generation moved meanwhile it is read again.
 */
#define _GNU_SOURCE
#include <usplice/list.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "process/recover.h"
#include "process/session.h"

#define READ_TRIES 16

struct list { /* what usp_list_get() allocates; `public` first */
	struct usp_list public;
	struct session *session;
	char **strings;
	size_t n_strings;
};

static const char *action_name(uint32_t action)
{
	static const char *const names[] = {"none", "upload", "apply", "revert", "replace", "unload"};
	return action < sizeof(names) / sizeof(names[0]) ? names[action] : "?";
}

/* Hex of a build-id, owned by the list; NULL when empty or out of memory (*ok tells). */
static const char *hex(struct list *list, const uint8_t *bytes, size_t size, bool *ok)
{
	if (!size)
		return NULL;
	char *text = malloc(2 * size + 1);
	if (!text) {
		*ok = false;
		return NULL;
	}
	build_id_format(bytes, size, text);
	list->strings[list->n_strings++] = text;
	return text;
}

static bool fill_functions(const struct record *record, struct usp_payload_info *info)
{
	struct usp_function_info *functions = calloc(record->n_functions + 1, sizeof(*functions));
	info->functions = functions;
	info->n_functions = functions ? record->n_functions : 0;
	for (size_t i = 0; i < info->n_functions; i++) {
		const struct record_function *from = &record->functions[i];
		functions[i] = (struct usp_function_info){
			.name = from->name,
			.file = from->file,
			.module = record->module,
			.old_address = from->old_address,
			.old_size = from->old_size,
			.new_address = from->new_address,
			.new_size = from->new_size,
			.site = from->site,
			.site_length = from->site_length,
		};
	}
	return functions != NULL;
}

static bool fill_states(const struct record *record, struct usp_payload_info *info)
{
	struct usp_data_state *states = calloc(record->n_states + 1, sizeof(*states));
	info->data_states = states;
	info->n_data_states = states ? record->n_states : 0;
	for (size_t i = 0; i < info->n_data_states; i++)
		states[i] = (struct usp_data_state){record->states[i].name, record->states[i].version};
	return states;
}

static bool fill(struct list *list, int index, struct usp_payload_info *info)
{
	const struct registry *registry = list->session->registry;
	const struct registry_entry *entry = &registry->entries[index];
	const struct record *record = registry->records[index];
	bool ok = true;
	*info = (struct usp_payload_info){
		.name = record->name,
		.version = record->version,
		.description = record->description,
		.build_id = hex(list, record->build_id, record->build_id_size, &ok),
		.depends = hex(list, record->depends, record->depends_size, &ok),
		.module = record->module,
		.module_build_id = hex(list, record->module_build_id, record->module_build_id_size, &ok),
		.state = (enum usp_state)entry->state,
		.position = (int)entry->position,
		.applied_once = entry->applied_once,
		.writable_data = record->writable_data,
		.last_result = (enum usp_code)entry->last_result,
		.last_action = action_name(entry->last_action),
		.base = entry->base,
		.size = entry->size,
		.unwind = (enum usp_unwind)entry->unwind,
	};
	for (size_t i = 0; i < record->n_hooks; i++)
		info->hooks |= record->hooks[i].kind < 32 ? 1u << record->hooks[i].kind : 0;
	return fill_functions(record, info) && fill_states(record, info) && ok;
}

/* The registry as it is at one moment. */
static struct usp_error *read_stable(struct session *session)
{
	for (int i = 0; i < READ_TRIES; i++) {
		struct registry *again;
		uint64_t generation = session->registry->header.generation;
		struct usp_error *error = session_refresh_maps(session);
		if (!error)
			error = registry_read(session->target, &session->maps, &again);
		if (error)
			return error;
		registry_destroy(session->registry);
		session->registry = again;
		if (again->header.generation == generation)
			return NULL;
	}
	return usp_errorf(USP_BUSY, "the payloads of process %d change all the time: try again",
			  session->target->pid);
}

struct usp_error *usp_list_get(struct usp_process *process, struct usp_list **ret)
{
	struct list *list = calloc(1, sizeof(*list));
	if (!list)
		return &usp_error_no_memory;
	struct usp_error *error = session_open_registry(process, &list->session);
	if (!error)
		error = read_stable(list->session);
	if (!error) {
		list->public.payloads = calloc(REGISTRY_PAYLOADS_MAX, sizeof(*list->public.payloads));
		list->strings = calloc(3 * REGISTRY_PAYLOADS_MAX, sizeof(*list->strings));
		if (!list->public.payloads || !list->strings)
			error = &usp_error_no_memory;
	}
	for (uint64_t order = 0; !error;) {
		const struct registry *registry = list->session->registry;
		int next = -1;
		for (int i = 0; i < REGISTRY_PAYLOADS_MAX; i++)
			if (registry->records[i] && registry->entries[i].order > order &&
			    (next < 0 || registry->entries[i].order < registry->entries[next].order))
				next = i;
		if (next < 0)
			break;
		order = registry->entries[next].order;
		if (!fill(list, next, &list->public.payloads[list->public.n_payloads++]))
			error = &usp_error_no_memory;
	}
	if (error) {
		usp_list_destroy(&list->public);
		return session_reason(process->target, error);
	}
	list->public.unfinished = recover_needed(list->session->registry);
	*ret = &list->public;
	return NULL;
}

void usp_list_destroy(struct usp_list *public)
{
	struct list *list = (struct list *)public;
	if (!list)
		return;
	for (size_t i = 0; i < list->public.n_payloads; i++) {
		free((void *)list->public.payloads[i].functions);
		free((void *)list->public.payloads[i].data_states);
	}
	for (size_t i = 0; i < list->n_strings; i++)
		free(list->strings[i]);
	free(list->strings);
	free(list->public.payloads);
	session_close(list->session);
	free(list);
}
