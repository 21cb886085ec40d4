// SPDX-License-Identifier: MIT
/*
 * place_object():
 *
 *  1. the candidates of each section, by names; an object of which nothing global is there was not linked
 *  2. a section with one candidate has its place there, if something in it is global, or something else says that it is
 *     this object's: the linked object that its neighbours are of, a reference, or that no other bears the file's name
 *  3. the code that is placed and equal tells by its references where other sections are
 *  4. 2 and 3 again until nothing new comes of it; of several candidates, those go that references, linked object or
 *     bytes speak against
 *  5. what has no names is where all references say; if they do not agree, nowhere
 */
#define _GNU_SOURCE
#include "build/place/place.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "build/place/bytes.h"
#include "build/place/names.h"
#include "build/place/twin.h"

#define LISTED_MAX 8u

struct section_state {
	struct place_candidates candidates;
	uint64_t found; /* where references have it, PLACE_NONE: none has */
	bool quarrel;	/* they do not agree */
	bool heard;	/* it is placed, and its own references have been asked */
};

struct placer {
	const struct object *object;
	struct module *target;
	struct place_names names;
	struct place *place;
	struct section_state *sections;
	uint32_t *groups; /* by the object's STT_FILE symbol: the linked object that it is, 0: not known */
	bool anchored;	  /* something global says that the object was linked at all */
	bool changed;
};

static struct place_bytes bytes_of(struct placer *placer)
{
	return (struct place_bytes){
		.object = placer->object, .place = placer->place, .target = placer->target, .guess = true};
}

static void take_reference(void *context, uint32_t section, uint64_t address)
{
	struct placer *placer = context;
	struct section_state *s = &placer->sections[section];
	if (s->found != PLACE_NONE && s->found != address)
		s->quarrel = true;
	if (s->found == PLACE_NONE)
		placer->changed = true;
	s->found = address;
}

/* Asks the pieces of a placed section, those that are equal, where they have what they refer to. */
static struct usp_error *hear(struct placer *placer, uint32_t section)
{
	const struct object_section *s = &placer->object->sections[section];
	for (uint32_t i = 0; i < s->n_pieces; i++) {
		const struct object_piece *piece = &placer->object->pieces[s->first_piece + i];
		struct place_bytes with = bytes_of(placer);
		uint64_t address = placer->place->sections[section] + piece->offset, difference;
		struct usp_error *error = place_bytes_compare(&with, piece, address, &difference);
		with.found = take_reference;
		with.context = placer;
		if (!error && difference == PLACE_SAME)
			error = place_bytes_compare(&with, piece, address, &difference);
		if (error)
			return error;
	}
	return NULL;
}

/* Whether all pieces of the section may be at this address. */
static struct usp_error *bytes_fit(struct placer *placer, uint32_t section, uint64_t address, bool *fits)
{
	const struct object_section *s = &placer->object->sections[section];
	struct place_bytes with = bytes_of(placer);
	/* References within the section are part of what is asked. */
	uint64_t *own = &placer->place->sections[section];
	struct usp_error *error = NULL;
	*own = address;
	*fits = true;
	for (uint32_t i = 0; i < s->n_pieces && *fits && !error; i++) {
		const struct object_piece *piece = &placer->object->pieces[s->first_piece + i];
		uint64_t difference;
		error = place_bytes_compare(&with, piece, address + piece->offset, &difference);
		*fits = !error && difference == PLACE_SAME;
	}
	*own = PLACE_NONE;
	return error;
}

static bool is_spoken_against(const struct placer *placer, const struct section_state *s,
			      const struct place_candidate *candidate)
{
	uint32_t group = placer->groups[s->candidates.file];
	if (group && candidate->group && candidate->group != group)
		return true;
	return s->found != PLACE_NONE && !s->quarrel && candidate->address != s->found;
}

static struct usp_error *narrow(struct placer *placer, uint32_t section)
{
	struct section_state *s = &placer->sections[section];
	struct place_candidates *c = &s->candidates;
	size_t n = 0;
	for (size_t i = 0; i < c->n; i++)
		if (!is_spoken_against(placer, s, &c->v[i]))
			c->v[n++] = c->v[i];
	c->n = n;
	/* Only somebody else's copy, or one of several: then it must be this one byte for byte. */
	if (n < 2 && !c->shared && placer->anchored)
		return NULL;
	n = 0;
	for (size_t i = 0; i < c->n; i++) {
		bool fits;
		struct usp_error *error = bytes_fit(placer, section, c->v[i].address, &fits);
		if (error)
			return error;
		if (fits)
			c->v[n++] = c->v[i];
	}
	c->n = n;
	return NULL;
}

/* Whether the only candidate is known to be of this object. */
static bool is_confirmed(const struct placer *placer, const struct section_state *s)
{
	uint32_t file = s->candidates.file, group = s->candidates.v[0].group;
	if (s->candidates.strong || s->candidates.shared || !placer->anchored)
		return true;
	if (s->found != PLACE_NONE && !s->quarrel)
		return true;
	return file && group &&
	       (group == placer->groups[file] || place_names_files(&placer->names, file) == 1);
}

static void settle(struct placer *placer, uint32_t section, uint64_t address)
{
	placer->place->sections[section] = address;
	placer->changed = true;
}

static struct usp_error *look_at(struct placer *placer, uint32_t section)
{
	struct section_state *s = &placer->sections[section];
	struct place_candidates *c = &s->candidates;
	if (placer->place->sections[section] == PLACE_NONE && c->n) {
		struct usp_error *error = narrow(placer, section);
		if (error || c->n != 1 || !is_confirmed(placer, s))
			return error;
		if (c->v[0].group && !placer->groups[c->file])
			placer->groups[c->file] = c->v[0].group;
		settle(placer, section, c->v[0].address);
	}
	return NULL;
}

static struct usp_error *hear_all(struct placer *placer)
{
	for (uint32_t i = 1; i < placer->object->n_sections; i++) {
		struct section_state *s = &placer->sections[i];
		if (s->heard || placer->place->sections[i] == PLACE_NONE)
			continue;
		s->heard = true;
		struct usp_error *error = hear(placer, i);
		if (error)
			return error;
	}
	return NULL;
}

static struct usp_error *find_named(struct placer *placer)
{
	do {
		placer->changed = false;
		for (uint32_t i = 1; i < placer->object->n_sections; i++) {
			struct usp_error *error = look_at(placer, i);
			if (error)
				return error;
		}
		struct usp_error *error = hear_all(placer);
		if (error)
			return error;
	} while (placer->changed);
	return NULL;
}

/* All that it has a name for is weak, and the program has somebody else's: it is linked all the same, unless COMDAT. */
static bool is_overridden(const struct placer *placer, uint32_t section)
{
	const struct place_candidates *c = &placer->sections[section].candidates;
	return c->named && c->shared && !c->n && !placer->object->sections[section].group;
}

static struct usp_error *find_unnamed(struct placer *placer)
{
	for (uint32_t i = 1; i < placer->object->n_sections; i++) {
		const struct section_state *s = &placer->sections[i];
		bool overridden = is_overridden(placer, i), fits = true;
		if (placer->place->sections[i] != PLACE_NONE || (s->candidates.named && !overridden) ||
		    s->quarrel || s->found == PLACE_NONE || !place_names_sound(&placer->names, i, s->found))
			continue;
		struct usp_error *error = overridden ? bytes_fit(placer, i, s->found, &fits) : NULL;
		if (error)
			return error;
		if (fits)
			settle(placer, i, s->found);
	}
	return NULL;
}

/* The first section that is still in several places. */
static struct usp_error *check_ambiguous(const struct placer *placer)
{
	for (uint32_t i = 1; i < placer->object->n_sections; i++) {
		const struct place_candidates *c = &placer->sections[i].candidates;
		if (c->n < 2 || placer->place->sections[i] != PLACE_NONE)
			continue;
		char list[LISTED_MAX * 20] = "";
		size_t used = 0;
		for (size_t k = 0; k < c->n && k < LISTED_MAX; k++)
			used += (size_t)snprintf(list + used, sizeof(list) - used, "%s0x%" PRIx64,
						 k ? ", " : "", c->v[k].address);
		const struct object_section *s = &placer->object->sections[i];
		const char *name = NULL;
		for (uint32_t k = 0; k < s->n_pieces && !name; k++)
			name = placer->object->pieces[s->first_piece + k].name;
		return usp_errorf(
			USP_AMBIGUOUS,
			"%s: section %s (%s) may be at any of %zu places in %s, which have the same "
			"names and bytes: %s%s",
			placer->object->path, s->name, name ? name : "no name", c->n, placer->target->path,
			list, c->n > LISTED_MAX ? ", …" : "");
	}
	return NULL;
}

static struct usp_error *find_candidates(struct placer *placer)
{
	bool global = false;
	for (uint32_t i = 1; i < placer->object->n_sections; i++) {
		struct section_state *s = &placer->sections[i];
		s->found = PLACE_NONE;
		struct usp_error *error = place_names_candidates(&placer->names, i, &s->candidates);
		if (error)
			return usp_error_prefix(error, "%s", placer->object->path);
		global |= s->candidates.strong;
		placer->anchored |= s->candidates.strong && s->candidates.n;
	}
	/* It has global things, and none is there. */
	for (uint32_t i = 1; i < placer->object->n_sections && global && !placer->anchored; i++)
		placer->sections[i].candidates.n = 0;
	for (uint32_t i = 1; i < placer->object->n_symbols; i++)
		if (placer->object->symbols[i].binding != STB_LOCAL)
			placer->place->symbols[i] = place_names_global(&placer->names, i);
	return NULL;
}

/* What to say of an object of which no section was found as it is. */
static void find_state(struct placer *placer)
{
	struct place *place = placer->place;
	bool global = false, global_there = false, file_there = false;
	for (uint32_t i = 0; i < place->n; i++)
		if (place->sections[i] != PLACE_NONE)
			place->state = PLACE_FOUND;
	for (size_t i = 0; i < placer->names.n_order; i++) {
		uint32_t k = placer->names.order[i];
		place->hints[k] = place_names_hint(&placer->names, k);
		if (placer->object->symbols[k].binding == STB_GLOBAL) {
			global = true;
			global_there |= place->hints[k].address != PLACE_NONE;
		}
	}
	for (uint32_t i = 1; i < placer->object->n_symbols && !file_there; i++)
		if (placer->object->symbols[i].type == STT_FILE)
			file_there = place_names_files(&placer->names, i);
	if (place->state == PLACE_ABSENT && (global_there || !global) &&
	    (file_there || !placer->names.table->n_files))
		place->state = PLACE_OTHER;
}

static struct usp_error *find(struct placer *placer)
{
	struct usp_error *error = find_candidates(placer);
	if (!error)
		error = find_named(placer);
	if (error)
		return error;
	error = find_unnamed(placer);
	if (error)
		return error;
	find_state(placer);
	return check_ambiguous(placer);
}

static int by_address(const void *a, const void *b)
{
	const struct slot *x = *(const struct slot *const *)a, *y = *(const struct slot *const *)b;
	return x->address < y->address ? -1 : x->address > y->address;
}

static struct usp_error *place_init(const struct object *object, struct module *target, struct place *place)
{
	const struct dynamic *dynamic = module_dynamic(target);
	*place = (struct place){0};
	if (!dynamic)
		return &usp_error_no_memory;
	place->sections = calloc(object->n_sections, sizeof(*place->sections));
	place->symbols = calloc(object->n_symbols, sizeof(*place->symbols));
	place->hints = calloc(object->n_symbols, sizeof(*place->hints));
	place->slots = calloc(dynamic->n_slots + 1, sizeof(*place->slots));
	if (!place->sections || !place->symbols || !place->hints || !place->slots)
		return &usp_error_no_memory;
	place->n = object->n_sections;
	for (uint32_t i = 0; i < object->n_sections; i++)
		place->sections[i] = PLACE_NONE;
	for (uint32_t i = 0; i < object->n_symbols; i++)
		place->symbols[i] = place->hints[i].address = PLACE_NONE;
	for (size_t i = 0; i < dynamic->n_slots; i++)
		place->slots[place->n_slots++] = &dynamic->slots[i];
	qsort(place->slots, place->n_slots, sizeof(*place->slots), by_address);
	return NULL;
}

static struct usp_error *check_twins(const struct module *names, const struct module *target)
{
	if (!target->elf)
		return usp_errorf(USP_MISMATCH, "the file of %s is not used: %s", target->path,
				  target->unusable ? target->unusable : "it has none");
	if (names == target)
		return NULL;
	return usp_error_prefix(
		twin_check(names, target),
		"%s is another program than %s, so its symbols do not say where things are there",
		names->path, target->path);
}

struct usp_error *place_object(const struct object *object, struct module *names, struct module *target,
			       struct place *ret)
{
	struct placer placer = {.object = object, .target = target, .place = ret};
	*ret = (struct place){0};
	struct usp_error *error = check_twins(names, target);
	if (!error)
		error = place_init(object, target, ret);
	if (!error)
		error = place_names_init(object, names, target, &placer.names);
	if (error) {
		place_deinit(ret);
		return error;
	}
	placer.sections = calloc(object->n_sections, sizeof(*placer.sections));
	placer.groups = calloc(object->n_symbols, sizeof(*placer.groups));
	error = placer.sections && placer.groups ? find(&placer) : &usp_error_no_memory;
	for (uint32_t i = 0; placer.sections && i < object->n_sections; i++)
		free(placer.sections[i].candidates.v);
	free(placer.sections);
	free(placer.groups);
	place_names_deinit(&placer.names);
	if (error)
		place_deinit(ret);
	return error;
}

void place_deinit(struct place *place)
{
	free(place->sections);
	free(place->symbols);
	free(place->hints);
	free(place->slots);
	*place = (struct place){0};
}

uint64_t place_of_piece(const struct object *object, const struct place *place, uint32_t piece)
{
	const struct object_piece *p = &object->pieces[piece];
	uint64_t section = place->sections[p->section];
	if (section == PLACE_NONE)
		return PLACE_NONE;
	uint64_t at = section + p->offset, named = p->symbol ? place->symbols[p->symbol] : PLACE_NONE;
	return p->weak && !p->strong && named != PLACE_NONE && named != at ? PLACE_NONE : at;
}

uint64_t place_of_symbol(const struct object *object, const struct place *place, uint32_t symbol)
{
	const struct object_symbol *s = &object->symbols[symbol];
	if (place->symbols[symbol] != PLACE_NONE || s->section == SHN_UNDEF || s->section >= place->n)
		return place->symbols[symbol];
	uint64_t section = place->sections[s->section];
	return section == PLACE_NONE ? PLACE_NONE : section + s->value;
}
