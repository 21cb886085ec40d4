// SPDX-License-Identifier: MIT
#include "process/clobber/live.h"

#include <string.h>

#include "process/clobber/extern.h"

#define DEPTH_MAX 48 /* of calls looked into */

/* What a function reads before it writes. */
struct summary {
	clobber_set certain, perhaps;
	bool done; /* false: being computed */
};

static void walk(struct analysis *a, uint64_t start, clobber_set set, const struct defined *defined,
		 unsigned depth, struct live *ret);

/* A function that is being looked at already (recursion), or is too deep down, may take any argument. */
static struct summary summary_of(struct analysis *a, uint64_t entry, unsigned depth)
{
	const struct summary unknown = {.perhaps = CLOBBER_ARGUMENTS};
	const uint64_t *index = address_map_find(&a->summary_index, entry);
	if (index && *index)
		return a->summaries[*index - 1].done ? a->summaries[*index - 1] : unknown;
	if (depth >= DEPTH_MAX)
		return unknown;
	if (a->n_summaries == a->summaries_capacity) {
		size_t capacity = a->summaries_capacity ? 2 * a->summaries_capacity : 64;
		struct summary *v = reallocarray(a->summaries, capacity, sizeof(*v));
		if (!v) {
			a->no_memory = true;
			return unknown;
		}
		a->summaries = v;
		a->summaries_capacity = capacity;
	}
	size_t n = a->n_summaries++;
	a->summaries[n] = (struct summary){0};
	uint64_t *place = address_map_at(&a->summary_index, entry);
	if (!place) {
		a->no_memory = true;
		return unknown;
	}
	*place = n + 1;
	struct live live = {0};
	struct defined defined = {0};
	struct function_extent function;
	if (analysis_function(a, entry, &function) && function.start == entry)
		defined_init(a, &function, CLOBBER_PARAMETERS, !*function.name, &defined);
	walk(a, entry, CLOBBER_REGISTERS, &defined, depth + 1, &live);
	defined_deinit(&defined);
	a->summaries[n] = (struct summary){live.certain, live.perhaps, true};
	return a->summaries[n];
}

static void note(struct live *live, clobber_set *which, clobber_set set, uint64_t at)
{
	for (clobber_set rest = set & ~(live->certain | live->perhaps); rest; rest &= rest - 1)
		live->at[__builtin_ctzll(rest)] = at;
	*which |= set;
}

/*
 * What of `set` is left after a call into the module. A parameter that the callee reads and nobody has set (a
 * variadic one saves them all) is no value.
 */
static clobber_set pass_through(struct analysis *a, const struct insn *call, clobber_set set,
				const struct defined *defined, unsigned depth, struct live *ret)
{
	struct summary callee = summary_of(a, call->target, depth);
	clobber_set read = set & callee.certain & ~CLOBBER_PARAMETERS;
	clobber_set taken = set & ((callee.certain & CLOBBER_PARAMETERS) | callee.perhaps);
	note(ret, &ret->certain, read, call->address);
	note(ret, &ret->perhaps, defined_arguments(defined, call->address, taken), call->address);
	return set & ~read & ~flow_certain(a, call->target);
}

/* A jump to the start of another function; not of a part of this one, as far as names tell. */
static bool is_tail_call(struct analysis *a, const struct insn *jump)
{
	struct function_extent from, to;
	return analysis_function(a, jump->target, &to) && to.start == jump->target && *to.name &&
	       !strstr(to.name, ".cold") && !strstr(to.name, ".part") &&
	       !(analysis_function(a, jump->address, &from) && from.start == to.start);
}

/*
 * Sets travel along the control flow; an address is looked at again only for registers that have not been
 * there. A call into the module: what the callee reads; what it changes for certain goes no further. A call
 * out of it: it may take any argument register, and by the ABI nothing caller-saved means anything after it.
 */
static void walk(struct analysis *a, uint64_t start, clobber_set set, const struct defined *defined,
		 unsigned depth, struct live *ret)
{
	struct flow_work work = {0};
	struct address_map visited = {0};
	bool ok = flow_push(a, &work, start, set);
	while (ok && work.n && analysis_step(a)) {
		struct flow_item item = work.v[--work.n];
		uint64_t *seen = address_map_at(&visited, item.address);
		if (!seen) {
			a->no_memory = true;
			break;
		}
		set = item.set & ~*seen;
		if (!set)
			continue;
		*seen |= set;
		const struct insn *insn = text_at(&a->text, item.address);
		if (!insn) {
			note(ret, &ret->perhaps, set, item.address);
			continue;
		}
		uint64_t next = item.address + insn->length;
		note(ret, &ret->certain, set & insn->reads, item.address);
		note(ret, &ret->perhaps, defined_arguments(defined, item.address, set & insn->maybe),
		     item.address);
		set &= ~insn->reads & ~insn->kills;
		switch (insn->flow) {
		case FLOW_NEXT:
			ok = flow_push(a, &work, next, set);
			break;
		case FLOW_CALL:
			set = pass_through(a, insn, set, defined, depth, ret);
			if (set && flow_may_return(a, insn->target))
				ok = flow_push(a, &work, next, set);
			break;
		case FLOW_CALL_INDIRECT:
		case FLOW_JUMP_SLOT:
			note(ret, &ret->perhaps,
			     defined_arguments(defined, item.address,
					       set & extern_parameters(&a->text, insn)),
			     item.address);
			break;
		case FLOW_BRANCH:
			ok = flow_push(a, &work, next, set);
			/* fall through */
		case FLOW_JUMP:
			if (is_tail_call(a, insn))
				ret->out |= pass_through(a, insn, set, defined, depth, ret);
			else
				ok = ok && flow_push(a, &work, insn->target, set);
			break;
		case FLOW_TABLE:
		case FLOW_JUMP_INDIRECT: {
			/* One that may as well be a computed goto is taken for both. */
			bool inside = flow_push_targets(a, &work, item.address, set);
			if (!inside || !flow_is_table(a, insn))
				note(ret, &ret->perhaps, inside ? set & CLOBBER_ARGUMENTS : set,
				     item.address);
			break;
		}
		case FLOW_RETURN:
			ret->out |= set;
			break;
		default:
			break;
		}
	}
	flow_work_deinit(&work);
	address_map_deinit(&visited);
}

void live_walk(struct analysis *a, uint64_t start, clobber_set set, const struct defined *defined,
	       struct live *ret)
{
	memset(ret, 0, sizeof(*ret));
	walk(a, start, set, defined, 0, ret);
}

clobber_set live_at_entry(struct analysis *a, uint64_t entry)
{
	return summary_of(a, entry, 0).certain;
}
