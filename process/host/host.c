// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include "process/host/host.h"

#include <errno.h>
#include <string.h>

#include <usplice/list.h>

#include "process/host/timeline.h"

static void set_build_id(struct engine_build_id *to, const uint8_t *bytes, size_t size)
{
	to->size = (uint8_t)size;
	memcpy(to->bytes, bytes, size);
}

/* What stands at a site below a position of the stack: the topmost switched payload's bytes, else the
 * original ones. */
static const uint8_t *bytes_below(const struct registry *registry, const struct record_function *site,
				  uint32_t position)
{
	for (uint32_t at = position - 1; at; at--) {
		int i = registry_at_position(registry, at);
		if (i < 0 || !registry->entries[i].switched)
			continue;
		for (size_t k = 0; k < registry->records[i]->n_functions; k++)
			if (registry->records[i]->functions[k].site == site->site)
				return registry->records[i]->functions[k].patched;
	}
	return site->original;
}

static int compare_functions(const void *a, const void *b, void *context)
{
	const struct record_function *functions = context;
	uint64_t x = functions[*(const uint32_t *)a].site, y = functions[*(const uint32_t *)b].site;
	return x < y ? -1 : x > y;
}

static struct usp_error *fill_sites(struct host *host, struct host_payload *to)
{
	const struct record *record = to->record;
	to->sites = calloc(record->n_functions + 1, sizeof(*to->sites));
	to->site_function = calloc(record->n_functions + 1, sizeof(*to->site_function));
	if (!to->sites || !to->site_function)
		return &usp_error_no_memory;
	for (uint32_t i = 0; i < record->n_functions; i++)
		to->site_function[i] = i;
	qsort_r(to->site_function, record->n_functions, sizeof(uint32_t), compare_functions,
		record->functions);
	const struct registry *registry = host->session->registry;
	uint32_t position = to->index >= 0 ? registry->entries[to->index].position : 0;
	for (size_t i = 0; i < record->n_functions; i++) {
		const struct record_function *function = &record->functions[to->site_function[i]];
		struct engine_site *site = &to->sites[i];
		site->address = function->site;
		site->length = (uint8_t)function->site_length;
		site->has_expected = true;
		memcpy(site->new_bytes, function->patched, function->site_length);
		memcpy(site->expected, function->original, function->site_length);
		if (position)
			memcpy(site->saved, bytes_below(registry, function, position), function->site_length);
	}
	to->engine.sites = to->sites;
	to->engine.n_sites = record->n_functions;
	return NULL;
}

/* "The entry address itself is not inside": a thread that stands there runs whatever stands there. */
static struct usp_error *fill_ranges(struct host_payload *to)
{
	const struct record *record = to->record;
	size_t n = 0;
	for (size_t i = 0; i < record->n_functions; i++)
		n += record->functions[i].n_ranges;
	to->old_ranges = calloc(n + 1, sizeof(*to->old_ranges));
	if (!to->old_ranges)
		return &usp_error_no_memory;
	n = 0;
	for (size_t i = 0; i < record->n_functions; i++) {
		const struct record_function *function = &record->functions[i];
		for (size_t k = 0; k < function->n_ranges; k++) {
			struct range range = function->ranges[k];
			if (range.start == function->old_address)
				range.start++;
			if (range.start < range.end)
				to->old_ranges[n++] = (struct host_range){range.start, range.end};
		}
	}
	to->engine.old_ranges = to->old_ranges;
	to->engine.n_old_ranges = n;
	return NULL;
}

static struct usp_error *fill_payload(struct host *host, struct host_payload *to, const struct record *record,
				      int index)
{
	to->record = record;
	to->index = index;
	to->engine.name = record->name;
	set_build_id(&to->engine.build_id, record->build_id, record->build_id_size);
	set_build_id(&to->engine.depends, record->depends, record->depends_size);
	set_build_id(&to->engine.target, record->module_build_id, record->module_build_id_size);
	to->engine.found =
		to->engine.target; /* the plan has compared them; a loaded module does not change */
	to->engine.has_writable_data = record->writable_data;
	to->engine.text = (struct host_range){record->text_start, record->text_end};
	uint64_t pads = record->image_base + record->image_size;
	to->engine.pads = (struct host_range){pads, pads + record->pads_size};
	to->engine.symbols = record->symbols;
	to->engine.n_symbols = record->n_symbols;
	to->states = calloc(record->n_states + 1, sizeof(*to->states));
	if (!to->states)
		return &usp_error_no_memory;
	for (size_t i = 0; i < record->n_states; i++)
		to->states[i] = (struct engine_state){record->states[i].name, record->states[i].version};
	to->engine.states = to->states;
	to->engine.n_states = record->n_states;
	to->engine.user = to;
	for (size_t i = 0; i < record->n_hooks; i++) {
		if (record->hooks[i].kind >= HOOK_KINDS)
			return usp_errorf(USP_FAILED,
					  "the record of payload %s in the target is damaged (hook kind %u)",
					  record->name, record->hooks[i].kind);
		to->engine.hooks[record->hooks[i].kind]++;
	}
	struct usp_error *error = fill_sites(host, to);
	return error ? error : fill_ranges(to);
}

static struct usp_error *adopt(struct host *host, int index)
{
	const struct registry_entry *entry = &host->session->registry->entries[index];
	struct host_payload *to = &host->payloads[host->n_payloads++];
	struct usp_error *error = fill_payload(host, to, host->session->registry->records[index], index);
	if (error)
		return error;
	to->engine.state = entry->state == USP_STATE_APPLIED ? PAYLOAD_STATE_APPLIED : PAYLOAD_STATE_CHECKED;
	to->engine.was_applied = entry->applied_once;
	to->engine.switched = entry->switched;
	to->engine.entered = entry->entered;
	enum action_reason reason;
	int r = engine_adopt(&host->engine, &to->engine, &reason);
	if (r < 0)
		return usp_errorf(USP_FAILED,
				  "payload %s in the target's registry is damaged (engine says %d, reason "
				  "%d); nothing was changed",
				  to->engine.name, r, reason);
	return NULL;
}

/* Not applied ones in the order of upload, then the stack from the bottom: what engine_adopt() wants of the
 * stack. */
static struct usp_error *adopt_all(struct host *host)
{
	const struct registry *registry = host->session->registry;
	uint64_t order = 0;
	for (;;) {
		int next = -1;
		for (int i = 0; i < REGISTRY_PAYLOADS_MAX; i++)
			if (registry->records[i] && !registry->entries[i].position &&
			    registry->entries[i].order > order &&
			    (next < 0 || registry->entries[i].order < registry->entries[next].order))
				next = i;
		if (next < 0)
			break;
		order = registry->entries[next].order;
		struct usp_error *error = adopt(host, next);
		if (error)
			return error;
	}
	for (uint32_t position = 1; position <= registry_height(registry); position++) {
		struct usp_error *error = adopt(host, registry_at_position(registry, position));
		if (error)
			return error;
	}
	return NULL;
}

struct usp_error *host_create(struct session *session, struct host **ret)
{
	struct host *host = calloc(1, sizeof(*host));
	if (!host)
		return &usp_error_no_memory;
	host->session = session;
	engine_init(&host->engine, host_timeline_ops(host), host, &arch_x86_64);
	host->payloads = calloc(REGISTRY_PAYLOADS_MAX + 1, sizeof(*host->payloads));
	struct usp_error *error = host->payloads ? adopt_all(host) : &usp_error_no_memory;
	if (error) {
		host_destroy(host);
		return error;
	}
	*ret = host;
	return NULL;
}

void host_destroy(struct host *host)
{
	if (!host)
		return;
	for (size_t i = 0; i < host->n_payloads; i++) {
		free(host->payloads[i].sites);
		free(host->payloads[i].site_function);
		free(host->payloads[i].old_ranges);
		free(host->payloads[i].states);
	}
	free(host->payloads);
	free(host->room_sites);
	free(host->room_ranges);
	stack_checker_destroy(host->checker);
	free(host->images);
	callable_destroy(host->callable);
	free(host->before);
	free(host->marks);
	stack_trace_free(host->blocker.trace);
	scan_try_deinit(&host->scan);
	free(host->blockers);
	usp_error_destroy(host->error);
	free(host);
}

struct usp_error *host_add(struct host *host, const struct record *record, struct host_payload **ret)
{
	if (host->n_payloads > REGISTRY_PAYLOADS_MAX)
		return usp_errorf(USP_UNSUPPORTED, "a process holds at most %d payloads",
				  REGISTRY_PAYLOADS_MAX);
	*ret = &host->payloads[host->n_payloads++];
	return fill_payload(host, *ret, record, -1);
}

struct usp_error *host_room(struct host *host)
{
	size_t n_sites, n_ranges;
	engine_room(&host->engine, NULL, &n_sites, &n_ranges);
	free(host->room_sites);
	free(host->room_ranges);
	host->room_sites = calloc(n_sites + 1, sizeof(*host->room_sites));
	host->room_ranges = calloc(n_ranges + 1, sizeof(*host->room_ranges));
	if (!host->room_sites || !host->room_ranges)
		return &usp_error_no_memory;
	engine_give_room(&host->engine, host->room_sites, n_sites + 1, host->room_ranges, n_ranges + 1);
	return NULL;
}

struct usp_error *host_prepare_looks(struct host *host)
{
	if (host->checker)
		return NULL;
	size_t n;
	struct session *session = host->session;
	struct usp_error *error = callable_images(session->registry, &host->images, &n);
	return error ? error
		     : stack_checker_create(session->target, &session->maps, session->modules, host->images,
					    n, &host->checker);
}

struct host_payload *host_find(struct host *host, int index)
{
	for (size_t i = 0; i < host->n_payloads; i++)
		if (host->payloads[i].index == index)
			return &host->payloads[i];
	return NULL;
}

static uint32_t depth_of(const struct host *host, const struct engine_payload *payload)
{
	uint32_t depth = 1;
	if (payload->state != PAYLOAD_STATE_APPLIED)
		return 0;
	for (const struct engine_payload *at = host->engine.bottom; at && at != payload; at = at->above)
		depth++;
	return depth;
}

static enum usp_code code_of(const struct action_result *result)
{
	if (!result->error)
		return USP_OK;
	switch (result->reason) {
	case ACTION_WRONG_STATE:
	case ACTION_STALE_DATA:
		return USP_WRONG_STATE;
	case ACTION_DEPENDS:
	case ACTION_NOT_ON_TOP:
		return USP_ORDER;
	case ACTION_EXPECTED_BYTES:
		return USP_MISMATCH;
	case ACTION_VETO:
		return USP_VETO;
	case ACTION_NOT_STOPPED:
	case ACTION_NOT_QUIESCENT:
		return USP_NOT_QUIESCENT;
	default:
		return USP_FAILED;
	}
}

void host_fill_entry(const struct host *host, const struct host_payload *payload,
		     struct registry_entry *entry)
{
	const struct engine_payload *engine = &payload->engine;
	entry->state = engine->state == PAYLOAD_STATE_APPLIED ? USP_STATE_APPLIED : USP_STATE_CHECKED;
	entry->position = depth_of(host, engine);
	entry->applied_once = engine->was_applied;
	entry->switched = engine->switched;
	entry->entered = engine->entered;
	if (engine->result.action != ACTION_NONE) {
		entry->last_action = engine->result.action;
		entry->last_result = code_of(&engine->result);
	}
}

struct usp_error *host_keep_states(struct host *host)
{
	struct registry *registry = host->session->registry;
	bool changed = false;
	for (size_t i = 0; i < host->n_payloads; i++) {
		const struct host_payload *payload = &host->payloads[i];
		if (payload->index < 0)
			continue;
		struct registry_entry entry = registry->entries[payload->index];
		host_fill_entry(host, payload, &entry);
		changed |= memcmp(&entry, &registry->entries[payload->index], sizeof(entry)) != 0;
		registry->entries[payload->index] = entry;
	}
	return changed ? registry_commit(host->session->target, registry) : NULL;
}
