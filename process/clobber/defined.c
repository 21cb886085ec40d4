// SPDX-License-Identifier: MIT
#include "process/clobber/defined.h"

/* Bits that stand for no register. */
#define SEEN	 CLOBBER_BIT(15) /* control has been here */
#define CONSTANT CLOBBER_BIT(14) /* rax may hold a number that an instruction gave */

/* The sets only grow, and an address is looked at again when its set has. */
static void spread(struct analysis *a, struct flow_work *work, struct address_map *defined)
{
	bool ok = true;
	while (ok && work->n && analysis_step(a)) {
		struct flow_item item = work->v[--work->n];
		uint64_t *known = address_map_at(defined, item.address);
		if (!known) {
			a->no_memory = true;
			return;
		}
		clobber_set set = item.set | SEEN;
		if (!(set & ~*known))
			continue;
		set = *known |= set;
		const struct insn *insn = text_at(&a->text, item.address);
		if (!insn)
			continue;
		uint64_t next = item.address + insn->length;
		set = (set | insn->writes | insn->vague) & ~insn->packed;
		if (insn->writes & CLOBBER_BIT(CLOBBER_RAX))
			set = insn->constant_rax ? set | CONSTANT : set & ~CONSTANT;
		switch (insn->flow) {
		case FLOW_NEXT:
			ok = flow_push(a, work, next, set);
			break;
		case FLOW_CALL: {
			clobber_set changed = flow_certain(a, insn->target);
			if (changed & CLOBBER_BIT(CLOBBER_RAX))
				changed |= CONSTANT;
			ok = flow_push(a, work, next, (set & ~changed) | CLOBBER_RETURNED);
			break;
		}
		case FLOW_CALL_INDIRECT:
			ok = flow_push(a, work, next, CLOBBER_RETURNED);
			break;
		case FLOW_JUMP:
			ok = flow_push(a, work, insn->target, set);
			break;
		case FLOW_BRANCH:
			ok = flow_push(a, work, insn->target, set) && flow_push(a, work, next, set);
			break;
		case FLOW_TABLE:
		case FLOW_JUMP_INDIRECT:
			flow_push_targets(a, work, item.address, set);
			break;
		default:
			break;
		}
	}
}

void defined_init(struct analysis *a, const struct function_extent *function, clobber_set passed,
		  bool is_part, struct defined *ret)
{
	struct flow_work work = {0};
	*ret = (struct defined){0};
	if (is_part)
		return;
	if (flow_push(a, &work, function->start, passed))
		spread(a, &work, &ret->at);
	/* What nothing jumps to is entered some other way: a landing pad, a label whose address is taken. */
	for (uint64_t at = function->start; at < function->end && analysis_step(a);) {
		const struct insn *insn = text_at(&a->text, at);
		if (insn && !insn->is_nop && !address_map_find(&ret->at, at) &&
		    flow_push(a, &work, at, passed | CLOBBER_RETURNED))
			spread(a, &work, &ret->at);
		at += insn ? insn->length : 1;
	}
	flow_work_deinit(&work);
}

void defined_deinit(struct defined *defined)
{
	address_map_deinit(&defined->at);
}

clobber_set defined_at(const struct defined *defined, uint64_t address)
{
	const uint64_t *known = address_map_find(&defined->at, address);
	return known ? *known & (CLOBBER_REGISTERS | CONSTANT) : CLOBBER_REGISTERS | CONSTANT;
}

clobber_set defined_arguments(const struct defined *defined, uint64_t address, clobber_set set)
{
	static const uint8_t order[] = {CLOBBER_RDI, CLOBBER_RSI, CLOBBER_RDX,
					CLOBBER_RCX, CLOBBER_R8,  CLOBBER_R9};
	clobber_set at = defined_at(defined, address);
	for (unsigned i = 0; i < sizeof(order); i++)
		if (!(at & CLOBBER_BIT(order[i])))
			for (; i < sizeof(order); i++)
				at &= ~CLOBBER_BIT(order[i]);
	for (unsigned i = 0; i < 8; i++)
		if (!(at & CLOBBER_BIT(CLOBBER_XMM0 + i)))
			for (; i < 8; i++)
				at &= ~CLOBBER_BIT(CLOBBER_XMM0 + i);
	if (!(at & CONSTANT))
		at &= ~CLOBBER_BIT(CLOBBER_RAX);
	return set & at;
}
