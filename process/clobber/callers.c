// SPDX-License-Identifier: MIT
#include "process/clobber/callers.h"

#include <string.h>

#define KNOWN	  CLOBBER_BIT(15) /* stands for no register */
#define DEPTH_MAX 3		  /* of callers' callers */
#define SITES_MAX 8		  /* calls of a function that are looked at */
/* Parameters that few functions have. */
#define SELDOM ((clobber_set)0xff << CLOBBER_XMM0 | CLOBBER_BIT(CLOBBER_R8) | CLOBBER_BIT(CLOBBER_R9))

static bool is_called(struct analysis *a, uint64_t entry)
{
	struct sites sites = {0};
	bool called = false;
	struct usp_error *error = sites_find(a, entry, entry + 1, &sites);
	if (error) {
		usp_error_destroy(error);
		a->no_memory = true;
	}
	for (size_t i = 0; i < sites.n && !called; i++) {
		const struct insn *insn = text_at(&a->text, sites.v[i]);
		called = insn && insn->flow == FLOW_CALL;
	}
	sites_deinit(&sites);
	return called;
}

bool callers_is_part(struct analysis *a, const struct function_extent *function)
{
	enum {
		FUNCTION = 1,
		PART = 2
	};
	if (*function->name)
		return strstr(function->name, ".cold") || strstr(function->name, ".part");
	uint64_t *known = address_map_at(&a->parts, function->start);
	if (!known) {
		a->no_memory = true;
		return true;
	}
	if (!*known)
		*known = is_called(a, function->start) || sites_address_taken(a, function->start, true)
				 ? FUNCTION
				 : PART;
	return *known == PART;
}

bool callers_all_known(struct analysis *a, const struct function_extent *function)
{
	return function->is_local && !callers_is_part(a, function) &&
	       !sites_address_taken(a, function->start, true);
}

static clobber_set pass(struct analysis *a, const struct function_extent *function, unsigned depth)
{
	const uint64_t *known = address_map_find(&a->passed, function->start);
	if (known)
		return *known & CLOBBER_PARAMETERS;
	if (depth >= DEPTH_MAX)
		return CLOBBER_PARAMETERS;
	uint64_t *place = address_map_at(&a->passed, function->start);
	struct sites sites = {0};
	struct usp_error *error = place ? sites_find(a, function->start, function->start + 1, &sites) : NULL;
	if (!place || error) {
		usp_error_destroy(error);
		a->no_memory = true;
		return CLOBBER_PARAMETERS;
	}
	*place = CLOBBER_PARAMETERS | KNOWN; /* while it is looked at: recursion */
	clobber_set passed = CLOBBER_PARAMETERS;
	bool asked = false;
	for (size_t i = 0; i < sites.n && i < SITES_MAX && passed && analysis_step(a); i++) {
		struct function_extent caller;
		struct defined defined;
		if (!analysis_function(a, sites.v[i], &caller) || caller.start == function->start)
			continue;
		bool is_part = callers_is_part(a, &caller);
		defined_init(a, &caller, is_part ? 0 : pass(a, &caller, depth + 1), is_part, &defined);
		passed = defined_arguments(&defined, sites.v[i], passed);
		defined_deinit(&defined);
		asked = true;
	}
	sites_deinit(&sites);
	if (!strcmp(function->name, "main"))
		passed &= CLOBBER_BIT(CLOBBER_RDI) | CLOBBER_BIT(CLOBBER_RSI) | CLOBBER_BIT(CLOBBER_RDX);
	if (!asked)
		passed &= ~SELDOM | live_at_entry(a, function->start);
	place = address_map_at(&a->passed, function->start);
	if (place)
		*place = passed | KNOWN;
	return passed;
}

clobber_set callers_pass(struct analysis *a, const struct function_extent *function)
{
	return pass(a, function, 0);
}
