// SPDX-License-Identifier: MIT
#include "process/clobber/runs_once.h"

#include <stdlib.h>
#include <string.h>

#include "process/clobber/callers.h"
#include "process/clobber/sites.h"
#include "process/elf/dynamic.h"

#define DEPTH_MAX   32u
#define REGIONS_MAX 8u

/* A function, and the parts of it (.cold) that were come to. */
struct region {
	struct function_extent extent;
	bool *seen; /* of each byte: an instruction there is, or was, in the queue */
};

struct course {
	struct analysis *a;
	struct region regions[REGIONS_MAX];
	size_t n_regions;
	uint64_t *queue;
	size_t n, capacity;
	bool unknown; /* where it goes on is not known everywhere */
};

static struct region *region_of(struct course *course, uint64_t address)
{
	for (size_t i = 0; i < course->n_regions; i++)
		if (address >= course->regions[i].extent.start && address < course->regions[i].extent.end)
			return &course->regions[i];
	return NULL;
}

static struct region *add_region(struct course *course, const struct function_extent *extent)
{
	bool *seen =
		course->n_regions < REGIONS_MAX ? calloc(extent->end - extent->start, sizeof(bool)) : NULL;
	if (!seen)
		return NULL;
	course->regions[course->n_regions] = (struct region){*extent, seen};
	return &course->regions[course->n_regions++];
}

static void go_to(struct course *course, uint64_t address)
{
	struct function_extent there;
	struct region *region = region_of(course, address);
	if (!region && analysis_function(course->a, address, &there)) {
		if (there.start == address && !callers_is_part(course->a, &there))
			return; /* a tail call */
		region = add_region(course, &there);
	}
	if (!region) {
		course->unknown = true;
		return;
	}
	bool *seen = &region->seen[address - region->extent.start];
	if (*seen)
		return;
	*seen = true;
	if (course->n == course->capacity) {
		size_t capacity = course->capacity ? 2 * course->capacity : 64;
		uint64_t *grown = reallocarray(course->queue, capacity, sizeof(*grown));
		if (!grown) {
			course->unknown = true;
			return;
		}
		course->queue = grown;
		course->capacity = capacity;
	}
	course->queue[course->n++] = address;
}

static void go_on(struct course *course, uint64_t address)
{
	const struct insn *insn = text_at(&course->a->text, address);
	course->unknown |= !insn || insn->flow == FLOW_TABLE || insn->flow == FLOW_JUMP_INDIRECT;
	if (course->unknown)
		return;
	if (insn->flow == FLOW_JUMP || insn->flow == FLOW_BRANCH)
		go_to(course, insn->target);
	if (insn->flow != FLOW_JUMP && insn->flow != FLOW_JUMP_SLOT && insn->flow != FLOW_RETURN &&
	    insn->flow != FLOW_STOP && region_of(course, address + insn->length))
		go_to(course, address + insn->length);
}

/* Whether the place can be come to again from behind it; also if that cannot be told: a switch behind it may lead there. */
static bool is_in_loop(struct analysis *a, const struct function_extent *function, uint64_t site)
{
	struct course course = {.a = a};
	struct region *own = add_region(&course, function);
	if (own)
		go_on(&course, site);
	while (own && !course.unknown && course.n && !own->seen[site - function->start])
		go_on(&course, course.queue[--course.n]);
	bool ret = !own || course.unknown || own->seen[site - function->start];
	for (size_t i = 0; i < course.n_regions; i++)
		free(course.regions[i].seen);
	free(course.queue);
	return ret;
}

/* Other modules can call it, or the dynamic symbols cannot be read. */
static bool is_exported(struct module *module, uint64_t address)
{
	const struct dynamic *dynamic = module_dynamic(module);
	for (size_t i = 1; dynamic && i < dynamic->n_symbols; i++)
		if (dynamic->symbols[i].st_shndx != SHN_UNDEF && dynamic->symbols[i].st_value == address)
			return true;
	return !dynamic;
}

static enum runs runs_once(struct analysis *a, const struct function_extent *function, unsigned depth);

static enum runs is_called_once(struct analysis *a, uint64_t site, unsigned depth)
{
	struct function_extent caller;
	const struct insn *insn = text_at(&a->text, site);
	if (!insn || (insn->flow != FLOW_CALL && insn->flow != FLOW_JUMP && insn->flow != FLOW_BRANCH) ||
	    !analysis_function(a, site, &caller) || is_in_loop(a, &caller, site))
		return RUNS_ANYTIME;
	return runs_once(a, &caller, depth + 1);
}

static enum runs runs_once(struct analysis *a, const struct function_extent *function, unsigned depth)
{
	struct sites sites = {0};
	if (!strcmp(function->name, "main"))
		return RUNS_ONCE;
	bool exported = is_exported(a->text.module, function->start);
	if (depth > DEPTH_MAX || (exported && !module_is_program(a->text.module)) ||
	    callers_is_part(a, function) || sites_address_taken(a, function->start, false))
		return RUNS_ANYTIME;
	struct usp_error *error = sites_find(a, function->start, function->start + 1, &sites);
	enum runs ret = error || !sites.n ? RUNS_ANYTIME : exported ? RUNS_ONCE_HERE : RUNS_ONCE;
	for (size_t i = 0; i < sites.n && ret; i++) {
		enum runs here = is_called_once(a, sites.v[i], depth);
		ret = here < ret ? here : ret;
	}
	sites_deinit(&sites);
	usp_error_destroy(error);
	return ret;
}

struct usp_error *function_runs_once(struct module *module, uint64_t address, enum runs *ret)
{
	struct analysis a = {0};
	struct function_extent function;
	*ret = RUNS_ANYTIME;
	struct usp_error *error = text_init_module(&a.text, module);
	if (!error && analysis_function(&a, address, &function) && function.start == address)
		*ret = runs_once(&a, &function, 0);
	if (a.exhausted || a.no_memory)
		*ret = RUNS_ANYTIME;
	analysis_deinit(&a);
	return error;
}
