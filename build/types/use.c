// SPDX-License-Identifier: MIT
#include "build/types/use.h"

#include <stdlib.h>
#include <string.h>

#include "build/object/object.h"
#include "build/object/name.h"
#include "build/types/address.h"

struct todo {
	Dwarf_Die die;
	bool signature; /* of a function that is called: only its result and parameters */
};

struct search {
	const struct types_side *side;
	bool *used;
	struct todo *todo;
	size_t n_todo, capacity;
	uintptr_t *seen; /* open addressing, 0 is free */
	size_t n_seen, seen_size;
};

static void search_deinit(struct search *s)
{
	free(s->todo);
	free(s->seen);
}

/* The slot that holds the value, or the free one where it belongs. There always is a free one. */
static size_t slot_of(const uintptr_t *seen, size_t size, uintptr_t value)
{
	size_t i = (value * 0x9e3779b97f4a7c15) >> 20 & (size - 1);
	while (seen[i] && seen[i] != value)
		i = (i + 1) & (size - 1);
	return i;
}

static bool grow_seen(struct search *s)
{
	size_t size = s->seen_size ? 2 * s->seen_size : 1024;
	uintptr_t *seen = calloc(size, sizeof(*seen));
	if (!seen)
		return false;
	for (size_t i = 0; i < s->seen_size; i++)
		if (s->seen[i])
			seen[slot_of(seen, size, s->seen[i])] = s->seen[i];
	free(s->seen);
	s->seen = seen;
	s->seen_size = size;
	return true;
}

static struct usp_error *push(struct search *s, const Dwarf_Die *die, bool signature)
{
	if (2 * (s->n_seen + 1) > s->seen_size && !grow_seen(s))
		return &usp_error_no_memory;
	uintptr_t value = 2 * (uintptr_t)die->addr + signature;
	size_t slot = slot_of(s->seen, s->seen_size, value);
	if (s->seen[slot])
		return NULL;
	s->seen[slot] = value;
	s->n_seen++;
	if (!object_grow(&s->todo, s->n_todo, &s->capacity, sizeof(*s->todo)))
		return &usp_error_no_memory;
	s->todo[s->n_todo++] = (struct todo){.die = *die, .signature = signature};
	return NULL;
}

static struct usp_error *push_named(struct search *s, const struct types_die *d, enum types_attr a,
				    bool signature)
{
	struct types_die to;
	bool found;
	struct usp_error *error = types_die_follow(d, a, &to, &found);
	return error || !found ? error : push(s, &to.die, signature);
}

/* Whether what is inside the entry counts as its own. */
static bool takes_child(const struct types_die *d, const struct types_die *child, bool signature)
{
	if (child->tag == DW_TAG_formal_parameter)
		return true;
	if (signature)
		return false;
	switch (d->tag) {
	case DW_TAG_structure_type: /* not its functions, nor the types that are only defined there */
	case DW_TAG_class_type:
	case DW_TAG_union_type:
		return child->tag == DW_TAG_member || child->tag == DW_TAG_inheritance ||
		       child->tag == DW_TAG_template_type_parameter;
	case DW_TAG_subprogram:
	case DW_TAG_inlined_subroutine:
	case DW_TAG_lexical_block:
	case DW_TAG_try_block:
	case DW_TAG_catch_block:
		return true;
	default:
		return false;
	}
}

static struct usp_error *visit(struct search *s, const struct todo *todo)
{
	struct types_die d, child;
	bool found;
	struct usp_error *error = types_die_read(&todo->die, &d);
	if (error)
		return error;
	for (size_t i = types_side_at(s->side, d.die.addr);
	     i < s->side->n_entries && s->side->entries[s->side->by_address[i]].die.addr == d.die.addr; i++)
		s->used[s->side->by_address[i]] = true;
	if (d.tag == DW_TAG_call_site || d.tag == DW_TAG_GNU_call_site) {
		error = push_named(s, &d, TYPES_AT_CALL_ORIGIN, true);
		return error ? error : push_named(s, &d, TYPES_AT_ORIGIN, true);
	}
	static const enum types_attr named[] = {TYPES_AT_TYPE, TYPES_AT_ORIGIN, TYPES_AT_SPECIFICATION,
						TYPES_AT_SIGNATURE};
	for (size_t i = 0; i < sizeof(named) / sizeof(*named) && !error; i++)
		error = push_named(s, &d, named[i], todo->signature);
	if (!error)
		error = types_die_child(&d, NULL, &child, &found);
	for (; !error && found; error = types_die_child(&d, &child, &child, &found)) {
		if (takes_child(&d, &child, todo->signature))
			error = push(s, &child.die, false);
		if (error)
			return error;
	}
	return error;
}

/* What no entry of the function tells: variables of the unit and constants without a type. */
static struct usp_error *push_unit(struct search *s, uint32_t unit)
{
	for (size_t i = 0; i < s->side->n_entries; i++) {
		const struct types_entry *e = &s->side->entries[i];
		if (e->unit != unit || (e->kind != TYPES_ENTRY_STATIC && e->kind != TYPES_ENTRY_ENUM))
			continue;
		struct usp_error *error = push(s, &e->die, false);
		if (error)
			return error;
	}
	return NULL;
}

static struct usp_error *push_body(struct search *s, const struct types_body *body, uint32_t *unit)
{
	struct usp_error *error = push(s, &body->die, false);
	if (!error && body->unit != *unit)
		error = push_unit(s, body->unit);
	*unit = body->unit;
	return error;
}

/* *n: symbols of this name; *found: all of them have debug information. */
static struct usp_error *push_symbols(struct search *s, const char *name, size_t length, size_t *n,
				      bool *found)
{
	const struct types_side *side = s->side;
	const struct types_symbol *v = types_address_symbols(side, name, length, n);
	struct usp_error *error = NULL;
	uint32_t unit = UINT32_MAX;
	*found = *n;
	for (size_t i = 0; i < *n && !error; i++) {
		bool covered = false;
		for (size_t k = 0; k < side->n_ranges && !error; k++) {
			const struct types_range *range = &side->ranges[k];
			if (v[i].address < range->start || v[i].address >= range->end)
				continue;
			covered = true;
			error = push_body(s, &side->bodies[range->body], &unit);
		}
		*found &= covered;
	}
	return error;
}

static bool is_body_of(const struct types_body *body, const char *symbol)
{
	size_t n = object_name_source(symbol);
	return body->symbol &&
	       (!strcmp(body->symbol, symbol) || (!strncmp(body->symbol, symbol, n) && !body->symbol[n]));
}

static struct usp_error *push_named_bodies(struct search *s, const char *symbol, bool placed, bool *found)
{
	struct usp_error *error = NULL;
	uint32_t unit = UINT32_MAX;
	for (size_t i = 0; i < s->side->n_bodies && !error; i++) {
		const struct types_body *body = &s->side->bodies[i];
		if (!is_body_of(body, symbol) || (body->placed && !placed))
			continue;
		*found = true;
		error = push_body(s, body, &unit);
	}
	return error;
}

/*
 * By where its code is; a part or clone that has no debug information of its own, or is not in this build, as what it
 * was made from. By name where that does not help: of what was inlined everywhere, and of what gcc has found equal to
 * another function (-fipa-icf); but if it has code, not one whose code is elsewhere.
 */
static struct usp_error *push_function(struct search *s, const char *symbol, bool *found)
{
	size_t length = strlen(symbol), source = object_name_source(symbol), n, n_source = 0;
	struct usp_error *error = push_symbols(s, symbol, length, &n, found);
	if (!error && !*found && source < length)
		error = push_symbols(s, symbol, source, &n_source, found);
	return error || *found ? error : push_named_bodies(s, symbol, !n && !n_source, found);
}

struct usp_error *types_use(const struct types_side *side, const char *symbol, bool *used, bool *found)
{
	_cleanup_(search_deinit) struct search s = {.side = side, .used = used};
	struct usp_error *error = push_function(&s, symbol, found);
	while (!error && s.n_todo) {
		struct todo todo = s.todo[--s.n_todo];
		error = visit(&s, &todo);
	}
	return error;
}
