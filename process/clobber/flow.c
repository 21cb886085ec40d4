// SPDX-License-Identifier: MIT
#include "process/clobber/flow.h"

#define KNOWN	       CLOBBER_BIT(15) /* bit 15 stands for no register */
#define TABLE_DISTANCE 12	       /* instructions from a switch's load to its jump */
#define FUNCTION_MAX   (64u << 20)
#define DEPTH_MAX      48 /* of calls looked into to see whether they return */

void analysis_deinit(struct analysis *a)
{
	text_deinit(&a->text);
	address_map_deinit(&a->certain);
	address_map_deinit(&a->returns);
	address_map_deinit(&a->summary_index);
	for (size_t i = 0; i < a->n_tables; i++)
		free(a->tables[i].v);
	free(a->tables);
	address_map_deinit(&a->table_index);
	free(a->branches);
	address_map_deinit(&a->passed);
	address_map_deinit(&a->parts);
	free(a->summaries);
}

bool analysis_step(struct analysis *a)
{
	if (a->text.no_memory)
		a->no_memory = true;
	if (++a->steps > ANALYSIS_STEPS_MAX)
		a->exhausted = true;
	return !a->no_memory && !a->exhausted;
}

bool analysis_function(struct analysis *a, uint64_t address, struct function_extent *ret)
{
	struct symbol symbol;
	if (!a->text.module) {
		if (address - a->root >= a->root_size)
			return false;
		*ret = (struct function_extent){a->root, a->root + a->root_size, "", false};
		return true;
	}
	uint64_t bias = a->text.module->bias;
	if (!symbol_at(a->text.module, bias + address, &symbol) || !symbol.size || symbol.size > FUNCTION_MAX)
		return false;
	*ret = (struct function_extent){symbol.address - bias, symbol.address - bias + symbol.size,
					symbol.name};
	return address - ret->start < symbol.size;
}

bool flow_push(struct analysis *a, struct flow_work *work, uint64_t address, clobber_set set)
{
	if (work->n == work->capacity) {
		size_t capacity = work->capacity ? 2 * work->capacity : 64;
		struct flow_item *v = reallocarray(work->v, capacity, sizeof(*v));
		if (!v) {
			a->no_memory = true;
			return false;
		}
		work->v = v;
		work->capacity = capacity;
	}
	work->v[work->n++] = (struct flow_item){address, set};
	return true;
}

void flow_work_deinit(struct flow_work *work)
{
	free(work->v);
	*work = (struct flow_work){0};
}

/* The next instruction of a sweep from a function's start; a byte that starts none is stepped over. */
static uint64_t sweep_next(struct analysis *a, uint64_t address, const struct insn **insn)
{
	*insn = text_at(&a->text, address);
	return address + (*insn ? (*insn)->length : 1);
}

bool flow_push_range(struct analysis *a, struct flow_work *work, uint64_t start, uint64_t end,
		     clobber_set set)
{
	const struct insn *insn;
	for (uint64_t at = start, next; at < end; at = next) {
		next = sweep_next(a, at, &insn);
		if (!analysis_step(a) || (insn && !insn->is_nop && !flow_push(a, work, at, set)))
			return false;
	}
	return true;
}

bool flow_is_table(struct analysis *a, const struct insn *insn)
{
	struct function_extent function;
	const struct insn *at;
	unsigned since_load = TABLE_DISTANCE + 1;
	if (insn->flow == FLOW_TABLE)
		return true;
	if (insn->flow != FLOW_JUMP_INDIRECT || !analysis_function(a, insn->address, &function))
		return false;
	for (uint64_t address = function.start; address < insn->address && analysis_step(a);) {
		address = sweep_next(a, address, &at);
		since_load = at && at->scaled_load ? 0 : since_load + 1;
	}
	return since_load <= TABLE_DISTANCE;
}

/* Registers that the first straight stretch of a function pushes before it changes them. */
static clobber_set saved_at_entry(struct analysis *a, uint64_t entry)
{
	clobber_set saved = 0, written = 0;
	const struct insn *insn;
	for (uint64_t at = entry; (insn = text_at(&a->text, at)) && analysis_step(a); at += insn->length) {
		saved |= insn->pushes & ~written;
		written |= insn->writes;
		if (insn->flow != FLOW_NEXT)
			break;
	}
	return saved;
}

struct closure {
	struct analysis *a;
	enum closure_mode mode;
	clobber_set result;
	struct flow_work functions; /* with the set of what callers keep safe */
	struct address_map seen;    /* function -> 1 | that set << … as ~set, so that 0 means "not seen" */
};

/* All code of one function that control can reach by jumps; calls are put down for later. */
static void closure_of_one(struct closure *c, uint64_t entry, uint64_t size, clobber_set safe)
{
	struct analysis *a = c->a;
	struct flow_work work = {0}, calls = {0};
	struct address_map visited = {0};
	clobber_set writes = 0, pops = 0;
	bool certain = c->mode == CLOSURE_CERTAIN, ok = flow_push(a, &work, entry, 0);
	if (ok && size && size <= FUNCTION_MAX)
		ok = flow_push_range(a, &work, entry, entry + size, 0);
	while (ok && work.n && analysis_step(a)) {
		uint64_t at = work.v[--work.n].address;
		uint64_t *seen = address_map_at(&visited, at);
		if (!seen) {
			a->no_memory = true;
			break;
		}
		if (*seen)
			continue;
		*seen = 1;
		const struct insn *insn = text_at(&a->text, at);
		if (!insn) {
			if (!certain)
				writes = CLOBBER_ALL;
			continue;
		}
		writes |= insn->writes | (certain ? 0 : insn->vague);
		pops |= insn->pops;
		switch (insn->flow) {
		case FLOW_CALL:
			ok = flow_push(a, &calls, insn->target, 0) &&
			     flow_push(a, &work, at + insn->length, 0);
			break;
		case FLOW_CALL_INDIRECT:
			writes = CLOBBER_ALL;
			ok = flow_push(a, &work, at + insn->length, 0);
			break;
		case FLOW_BRANCH:
			ok = flow_push(a, &work, insn->target, 0) &&
			     flow_push(a, &work, at + insn->length, 0);
			break;
		case FLOW_JUMP:
			ok = flow_push(a, &work, insn->target, 0);
			break;
		case FLOW_JUMP_SLOT:
			writes = CLOBBER_ALL;
			break;
		case FLOW_TABLE:
		case FLOW_JUMP_INDIRECT:
			if ((!flow_is_table(a, insn) || !flow_push_targets(a, &work, at, 0)) && !certain)
				writes = CLOBBER_ALL;
			break;
		case FLOW_NEXT:
			ok = flow_push(a, &work, at + insn->length, 0);
			break;
		default:
			break;
		}
		if (!certain && writes == CLOBBER_ALL)
			break;
	}
	if (certain)
		safe |= saved_at_entry(a, entry) & pops;
	c->result |= writes & ~safe;
	for (size_t i = 0; i < calls.n && ok; i++)
		ok = flow_push(a, &c->functions, calls.v[i].address, safe);
	flow_work_deinit(&work);
	flow_work_deinit(&calls);
	address_map_deinit(&visited);
}

/*
 * The union over everything that can be reached: so recursion needs no care. For CLOSURE_CERTAIN, what a
 * function pushes at its start and pops again is left out, for it and for what it calls (a function reached
 * twice counts with what both callers keep).
 */
clobber_set flow_closure(struct analysis *a, uint64_t entry, uint64_t size, enum closure_mode mode)
{
	struct closure c = {.a = a, .mode = mode};
	if (flow_push(a, &c.functions, entry, 0)) {
		bool first = true;
		while (c.functions.n && analysis_step(a) && c.result != CLOBBER_ALL) {
			struct flow_item item = c.functions.v[--c.functions.n];
			uint64_t *kept = address_map_at(&c.seen, item.address);
			if (!kept) {
				a->no_memory = true;
				break;
			}
			clobber_set lacking =
				~item.set & CLOBBER_REGISTERS; /* what the way here does not keep */
			if (*kept && !(lacking & ~*kept))
				continue;
			*kept |= lacking | KNOWN;
			closure_of_one(&c, item.address, first && mode == CLOSURE_MAY ? size : 0,
				       ~*kept & CLOBBER_REGISTERS);
			first = false;
		}
	}
	flow_work_deinit(&c.functions);
	address_map_deinit(&c.seen);
	if (mode == CLOSURE_MAY && (a->exhausted || a->no_memory))
		return CLOBBER_ALL;
	return c.result & CLOBBER_REGISTERS;
}

clobber_set flow_certain(struct analysis *a, uint64_t entry)
{
	const uint64_t *known = address_map_find(&a->certain, entry);
	if (known)
		return *known & CLOBBER_REGISTERS;
	clobber_set result = flow_closure(a, entry, 0, CLOSURE_CERTAIN);
	uint64_t *place = address_map_at(&a->certain, entry);
	if (!place) {
		a->no_memory = true;
		return 0;
	}
	*place = result | KNOWN;
	return result;
}

static bool may_return(struct analysis *a, uint64_t entry, unsigned depth)
{
	enum {
		PERHAPS = 1,
		NEVER = 2
	};
	if (depth >= DEPTH_MAX)
		return true;
	uint64_t *known = address_map_at(&a->returns, entry);
	if (!known) {
		a->no_memory = true;
		return true;
	}
	if (*known)
		return *known == PERHAPS;
	*known = PERHAPS; /* while it is looked at: recursion */
	struct flow_work work = {0};
	struct address_map visited = {0};
	bool returns = false, ok = flow_push(a, &work, entry, 0);
	while (ok && work.n && !returns && analysis_step(a)) {
		uint64_t at = work.v[--work.n].address;
		uint64_t *seen = address_map_at(&visited, at);
		if (!seen) {
			a->no_memory = true;
			break;
		}
		if (*seen)
			continue;
		*seen = 1;
		const struct insn *insn = text_at(&a->text, at);
		switch (insn ? insn->flow : FLOW_RETURN) {
		case FLOW_CALL:
			if (may_return(a, insn->target, depth + 1))
				ok = flow_push(a, &work, at + insn->length, 0);
			break;
		case FLOW_BRANCH:
			ok = flow_push(a, &work, insn->target, 0) &&
			     flow_push(a, &work, at + insn->length, 0);
			break;
		case FLOW_JUMP:
			ok = flow_push(a, &work, insn->target, 0);
			break;
		case FLOW_NEXT:
		case FLOW_CALL_INDIRECT:
			ok = flow_push(a, &work, at + insn->length, 0);
			break;
		case FLOW_STOP:
			break;
		default:
			returns = true;
			break;
		}
	}
	returns = returns || !ok || a->exhausted || a->no_memory;
	flow_work_deinit(&work);
	address_map_deinit(&visited);
	known = address_map_at(&a->returns, entry);
	if (known)
		*known = returns ? PERHAPS : NEVER;
	return returns;
}

bool flow_may_return(struct analysis *a, uint64_t entry)
{
	return may_return(a, entry, 0);
}
