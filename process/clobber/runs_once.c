// SPDX-License-Identifier: MIT
#include "process/clobber/runs_once.h"

#include <string.h>

#include "process/clobber/callers.h"
#include "process/clobber/sites.h"
#include "process/elf/dynamic.h"

#define DEPTH_MAX 32u

/* A jump from behind the place to before it; a switch behind it may be one. */
static bool is_in_loop(struct analysis *a, const struct function_extent *function, uint64_t site)
{
	for (uint64_t at = function->start; at < function->end;) {
		const struct insn *insn = text_at(&a->text, at);
		if (!insn)
			return true;
		if (at >= site && (insn->flow == FLOW_TABLE || insn->flow == FLOW_JUMP_INDIRECT ||
				   ((insn->flow == FLOW_JUMP || insn->flow == FLOW_BRANCH) &&
				    insn->target >= function->start && insn->target <= site)))
			return true;
		at += insn->length;
	}
	return false;
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
