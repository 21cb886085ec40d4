/* SPDX-License-Identifier: MIT */
#include "core/errno.h"
#include "core/engine_internal.h"

void engine_init(struct engine *engine, const struct host_ops *ops, void *host, const struct arch_ops *arch)
{
	*engine = (struct engine){.ops = ops, .host = host, .arch = arch, .generation = 1};
}

static void add_room(const struct engine_payload *payload, size_t *n_sites, size_t *n_ranges)
{
	*n_sites += payload->n_sites;
	/* What is inside a site counts as a range of its own; and the payload's text, and its pads. */
	*n_ranges += payload->n_old_ranges + payload->n_sites + 2;
}

void engine_room(const struct engine *engine, const struct engine_payload *extra, size_t *n_sites,
		 size_t *n_ranges)
{
	*n_sites = *n_ranges = 0;
	for (const struct engine_payload *p = engine->payloads; p; p = p->next)
		add_room(p, n_sites, n_ranges);
	if (extra)
		add_room(extra, n_sites, n_ranges);
}

void engine_give_room(struct engine *engine, struct poke_site *sites, size_t n_sites,
		      struct host_range *ranges, size_t n_ranges)
{
	engine->sites = sites;
	engine->sites_max = n_sites;
	engine->ranges = ranges;
	engine->ranges_max = n_ranges;
}

int engine_enter(struct engine *engine)
{
	/* Acquire pairs with the release in engine_leave(): who enters sees the states the last one left. */
	return __atomic_exchange_n(&engine->in_flight, 1, __ATOMIC_ACQUIRE) ? -CORE_EBUSY : 0;
}

void engine_leave(struct engine *engine)
{
	__atomic_store_n(&engine->in_flight, 0, __ATOMIC_RELEASE);
}

bool engine_knows(const struct engine *engine, const struct engine_payload *payload)
{
	for (const struct engine_payload *p = engine->payloads; p; p = p->next)
		if (p == payload)
			return true;
	return false;
}

bool engine_same_name(const char *a, const char *b)
{
	while (*a && *a == *b)
		a++, b++;
	return *a == *b;
}

struct engine_payload *engine_find(const struct engine *engine, const char *name)
{
	for (struct engine_payload *p = engine->payloads; p; p = p->next)
		if (engine_same_name(p->name, name))
			return p;
	return NULL;
}

bool engine_same_build_id(const struct engine_build_id *a, const struct engine_build_id *b)
{
	if (a->size != b->size || a->size > ENGINE_BUILD_ID_MAX)
		return false;
	for (size_t i = 0; i < a->size; i++)
		if (a->bytes[i] != b->bytes[i])
			return false;
	return true;
}

struct engine_payload *engine_find_build_id(const struct engine *engine,
					    const struct engine_build_id *build_id)
{
	for (struct engine_payload *p = engine->payloads; p; p = p->next)
		if (engine_same_build_id(&p->build_id, build_id))
			return p;
	return NULL;
}

static int refuse(struct action_report *report, int error, enum action_reason reason)
{
	report->error = error;
	report->reason = reason;
	return error;
}

/* The record by itself. */
static int check_record(const struct engine_payload *payload, struct action_report *report)
{
	size_t length = 0;
	while (payload->name && length <= ENGINE_NAME_MAX && payload->name[length])
		length++;
	if (length == 0 || length > ENGINE_NAME_MAX)
		return refuse(report, -CORE_EINVAL, ACTION_MALFORMED);
	if (payload->build_id.size == 0 || payload->target.size == 0)
		return refuse(report, -CORE_EINVAL, ACTION_NO_BUILD_ID);
	if (payload->build_id.size > ENGINE_BUILD_ID_MAX || payload->target.size > ENGINE_BUILD_ID_MAX ||
	    payload->depends.size > ENGINE_BUILD_ID_MAX)
		return refuse(report, -CORE_EINVAL, ACTION_MALFORMED);
	if (!engine_same_build_id(&payload->target, &payload->found))
		return refuse(report, -CORE_EINVAL, ACTION_TARGET_BUILD);
	for (int kind = HOOK_PRE_APPLY; kind < HOOK_KINDS; kind++)
		if (payload->hooks[kind] > 1)
			return refuse(report, -CORE_EINVAL, ACTION_MALFORMED);
	if (payload->text.start > payload->text.end)
		return refuse(report, -CORE_EINVAL, ACTION_MALFORMED);
	for (size_t i = 0; i < payload->n_old_ranges; i++)
		if (payload->old_ranges[i].start >= payload->old_ranges[i].end) {
			report->address = payload->old_ranges[i].start;
			return refuse(report, -CORE_EINVAL, ACTION_MALFORMED);
		}
	if (payload->n_sites > POKE_SITES_MAX)
		return refuse(report, -CORE_E2BIG, ACTION_MALFORMED);
	for (size_t i = 0; i < payload->n_sites; i++) {
		const struct engine_site *site = &payload->sites[i];
		if (site->length > 0 && site->length <= POKE_LENGTH_MAX &&
		    site->address <= UINT64_MAX - site->length &&
		    (i == 0 || site->address >= site[-1].address + site[-1].length))
			continue;
		report->site = i;
		report->address = site->address;
		return refuse(report, -CORE_EINVAL, ACTION_MALFORMED);
	}
	return 0;
}

static const char *symbol_in_both(const struct engine_payload *a, const struct engine_payload *b)
{
	for (size_t i = 0; i < a->n_symbols; i++)
		for (size_t k = 0; k < b->n_symbols; k++)
			if (engine_same_name(a->symbols[i], b->symbols[k]))
				return a->symbols[i];
	return NULL;
}

int engine_check(const struct engine *engine, const struct engine_payload *payload,
		 struct action_report *report)
{
	int r = check_record(payload, report);
	if (r < 0)
		return r;
	for (const struct engine_payload *p = engine->payloads; p; p = p->next) {
		report->other = p;
		if (p == payload || engine_same_name(p->name, payload->name))
			return refuse(report, -CORE_EEXIST, ACTION_DUPLICATE_NAME);
		if (engine_same_build_id(&p->build_id, &payload->build_id))
			return refuse(report, -CORE_EEXIST, ACTION_DUPLICATE_BUILD);
		report->symbol = symbol_in_both(payload, p);
		if (report->symbol)
			return refuse(report, -CORE_EEXIST, ACTION_DUPLICATE_SYMBOL);
	}
	report->other = NULL;
	return 0;
}

void engine_link(struct engine *engine, struct engine_payload *payload)
{
	payload->next = NULL;
	if (engine->last)
		engine->last->next = payload;
	else
		engine->payloads = payload;
	engine->last = payload;
	engine->n_payloads++;
	engine->generation++;
}

void engine_unlink(struct engine *engine, struct engine_payload *payload)
{
	struct engine_payload *before = NULL;
	for (struct engine_payload *p = engine->payloads; p != payload; p = p->next)
		before = p;
	if (before)
		before->next = payload->next;
	else
		engine->payloads = payload->next;
	if (engine->last == payload)
		engine->last = before;
	payload->next = NULL;
	engine->n_payloads--;
	engine->generation++;
}

void engine_push(struct engine *engine, struct engine_payload *payload)
{
	payload->below = engine->top;
	payload->above = NULL;
	if (engine->top)
		engine->top->above = payload;
	else
		engine->bottom = payload;
	engine->top = payload;
	engine->n_applied++;
}

void engine_pop(struct engine *engine)
{
	struct engine_payload *payload = engine->top;
	engine->top = payload->below;
	if (engine->top)
		engine->top->above = NULL;
	else
		engine->bottom = NULL;
	payload->below = NULL;
	engine->n_applied--;
}

const struct engine_site *engine_site_at(const struct engine_payload *payload, uint64_t address)
{
	size_t low = 0, n = payload->n_sites;
	while (n > 0) {
		size_t half = n / 2;
		const struct engine_site *middle = &payload->sites[low + half];
		if (middle->address == address)
			return middle;
		if (middle->address < address) {
			low += half + 1;
			n -= half + 1;
		} else {
			n = half;
		}
	}
	return NULL;
}

const struct engine_site *engine_shares_bytes(const struct engine_payload *p, const struct engine_site *site)
{
	size_t low = 0, n = p->n_sites;
	while (n > 0) { /* the first one that ends behind site's start */
		size_t half = n / 2;
		const struct engine_site *middle = &p->sites[low + half];
		if (middle->address + middle->length <= site->address) {
			low += half + 1;
			n -= half + 1;
		} else {
			n = half;
		}
	}
	if (low == p->n_sites || p->sites[low].address >= site->address + site->length)
		return NULL;
	return &p->sites[low];
}

const uint8_t *engine_pristine(const struct engine *engine, uint64_t address)
{
	for (const struct engine_payload *p = engine->bottom; p; p = p->above) {
		const struct engine_site *site = p->switched ? engine_site_at(p, address) : NULL;
		if (site)
			return site->saved;
	}
	return NULL;
}

/* Sites of the stack are identical or apart: plans are built on that. */
static int check_stack(const struct engine *engine, const struct engine_payload *payload,
		       struct action_report *report)
{
	for (const struct engine_payload *p = engine->top; p; p = p->below) {
		for (size_t i = 0; p->switched && i < payload->n_sites; i++) {
			const struct engine_site *site = &payload->sites[i];
			const struct engine_site *theirs = engine_shares_bytes(p, site);
			if (theirs && (theirs->address != site->address || theirs->length != site->length))
				return refuse(report, -CORE_EEXIST, ACTION_OVERLAP);
		}
	}
	return 0;
}

int engine_adopt(struct engine *engine, struct engine_payload *payload, enum action_reason *reason)
{
	struct action_report report = {.site = POKE_NO_SITE};
	int r = engine_enter(engine);
	if (r < 0) {
		*reason = ACTION_IN_FLIGHT;
		return r;
	}
	r = engine_check(engine, payload, &report);
	if (r == 0 && payload->state == PAYLOAD_STATE_APPLIED && payload->switched)
		r = check_stack(engine, payload, &report);
	if (r == 0) {
		payload->below = payload->above = NULL;
		if (payload->state == PAYLOAD_STATE_APPLIED) {
			payload->was_applied = payload->entered = true;
			engine_push(engine, payload);
		} else {
			payload->switched = false;
		}
		engine_link(engine, payload);
	}
	*reason = report.reason;
	engine_leave(engine);
	return r;
}

static size_t depth(const struct engine_payload *payload)
{
	size_t n = 0;
	if (payload->state == PAYLOAD_STATE_APPLIED)
		for (; payload; payload = payload->below)
			n++;
	return n;
}

int engine_list(struct engine *engine, size_t first, uint64_t *generation, struct engine_entry *entries,
		size_t max, size_t *n, size_t *total)
{
	if (engine_enter(engine) < 0)
		return -CORE_EBUSY;
	int r = *generation != 0 && *generation != engine->generation ? -CORE_EBUSY : 0;
	size_t i = 0, got = 0;
	for (const struct engine_payload *p = engine->payloads; r == 0 && p && got < max; p = p->next)
		if (i++ >= first)
			entries[got++] = (struct engine_entry){.name = p->name,
							       .build_id = p->build_id,
							       .state = p->state,
							       .result = p->result,
							       .depth = depth(p)};
	if (r == 0) {
		*generation = engine->generation;
		*n = got;
		*total = engine->n_payloads;
	}
	engine_leave(engine);
	return r;
}
