// SPDX-License-Identifier: MIT
#include "same.h"

#include <string.h>

#include "process/displace.h"

struct side {
	const uint8_t *pad;
	size_t size, at; /* bytes of the pad; how far it has been looked at */
	uint64_t address, pad_address;
	size_t length;
	size_t copies[DISPLACE_SITE_MAX];
	struct {
		size_t offset;
		uint64_t target;
	} inward[DISPLACE_SITE_MAX];
	size_t n_inward;
};

bool decoded_at(const uint8_t *bytes, size_t n, uint64_t address, struct decoded *ret)
{
	ZydisDecoder decoder;
	ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	ZydisDecoderEnableMode(&decoder, ZYDIS_DECODER_MODE_CET, ZYAN_TRUE);
	ZydisDecoderEnableMode(&decoder, ZYDIS_DECODER_MODE_MPX, ZYAN_TRUE);
	ZydisDecoderEnableMode(&decoder, ZYDIS_DECODER_MODE_LZCNT, ZYAN_TRUE);
	ZydisDecoderEnableMode(&decoder, ZYDIS_DECODER_MODE_TZCNT, ZYAN_TRUE);
	if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, bytes, n, &ret->insn, ret->operands)))
		return false;
	ret->bytes = bytes;
	ret->address = address;
	ret->next = address + ret->insn.length;
	ret->is_relative = ret->insn.operand_count && ret->operands[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE &&
			   ret->operands[0].imm.is_relative;
	if (ret->is_relative)
		ZydisCalcAbsoluteAddress(&ret->insn, &ret->operands[0], address, &ret->target);
	return true;
}

/* The pad's next instruction. */
static bool take(struct side *side, struct decoded *ret)
{
	if (!decoded_at(side->pad + side->at, side->size - side->at, side->pad_address + side->at, ret))
		return false;
	side->at += ret->insn.length;
	return true;
}

static bool is_mnemonic(const struct decoded *d, ZydisMnemonic mnemonic)
{
	return d->insn.mnemonic == mnemonic;
}

/* Where a branch of the copy must go. */
static bool goes_there(struct side *side, const struct decoded *copy, uint64_t target, bool anew)
{
	uint64_t offset = target - side->address;
	if (!copy->is_relative)
		return false;
	if (offset >= side->length || (anew && !offset))
		return copy->target == target;
	side->inward[side->n_inward].offset = (size_t)offset;
	side->inward[side->n_inward++].target = copy->target;
	return true;
}

static bool same_memory(const struct decoded *a, const ZydisDecodedOperand *x, const struct decoded *b,
			const ZydisDecodedOperand *y, int64_t stack_moved)
{
	if (x->mem.type != y->mem.type || x->mem.segment != y->mem.segment || x->mem.base != y->mem.base ||
	    x->mem.index != y->mem.index || x->mem.scale != y->mem.scale)
		return false;
	if (x->mem.base == ZYDIS_REGISTER_RIP)
		return a->next + (uint64_t)x->mem.disp.value == b->next + (uint64_t)y->mem.disp.value;
	bool is_stack = x->mem.base == ZYDIS_REGISTER_RSP || x->mem.base == ZYDIS_REGISTER_ESP;
	return x->mem.disp.value + (is_stack ? stack_moved : 0) == y->mem.disp.value;
}

static bool same_operand(const struct decoded *a, const ZydisDecodedOperand *x, const struct decoded *b,
			 const ZydisDecodedOperand *y, int64_t stack_moved)
{
	if (x->type != y->type || x->size != y->size)
		return false;
	switch (x->type) {
	case ZYDIS_OPERAND_TYPE_REGISTER:
		return x->reg.value == y->reg.value;
	case ZYDIS_OPERAND_TYPE_MEMORY:
		return same_memory(a, x, b, y, stack_moved);
	case ZYDIS_OPERAND_TYPE_IMMEDIATE:
		return !x->imm.is_relative && !y->imm.is_relative && x->imm.value.u == y->imm.value.u;
	default:
		return x->type == ZYDIS_OPERAND_TYPE_POINTER && x->ptr.segment == y->ptr.segment &&
		       x->ptr.offset == y->ptr.offset;
	}
}

static bool is_rip(const struct decoded *d)
{
	for (unsigned i = 0; i < d->insn.operand_count; i++)
		if (d->operands[i].type == ZYDIS_OPERAND_TYPE_MEMORY &&
		    d->operands[i].mem.base == ZYDIS_REGISTER_RIP)
			return true;
	return false;
}

/* Mnemonic, operands, attributes; and every byte but those of a displacement from the instruction pointer. */
static const char *same_plain(const struct decoded *a, const struct decoded *b)
{
	if (a->insn.mnemonic != b->insn.mnemonic || a->insn.attributes != b->insn.attributes ||
	    a->insn.length != b->insn.length || a->insn.operand_count != b->insn.operand_count)
		return "another instruction";
	for (unsigned i = 0; i < a->insn.operand_count; i++)
		if (!same_operand(a, &a->operands[i], b, &b->operands[i], 0))
			return "an operand";
	for (unsigned i = 0; i < a->insn.length; i++) {
		bool in_displacement = i >= a->insn.raw.disp.offset && i < a->insn.raw.disp.offset + 4u;
		if (a->bytes[i] != b->bytes[i] && !(is_rip(a) && in_displacement))
			return "a byte";
	}
	return NULL;
}

static const char *same_call(struct side *side, const struct decoded *a)
{
	struct decoded push, jump;
	if (!take(side, &push) || !is_mnemonic(&push, ZYDIS_MNEMONIC_PUSH) || push.operands[0].size != 64 ||
	    push.operands[0].type != ZYDIS_OPERAND_TYPE_MEMORY ||
	    push.operands[0].mem.base != ZYDIS_REGISTER_RIP)
		return "no push for a call";
	if (!take(side, &jump) || !is_mnemonic(&jump, ZYDIS_MNEMONIC_JMP))
		return "no jump for a call";
	if (a->is_relative) {
		if (!goes_there(side, &jump, a->target, true))
			return "where a call goes";
	} else if (!same_operand(a, &a->operands[0], &jump, &jump.operands[0], 8)) {
		return "through what a call goes";
	}
	uint64_t literal = push.next + (uint64_t)push.operands[0].mem.disp.value - side->pad_address, pushed;
	if (literal != side->at || side->size - side->at != sizeof(pushed))
		return "where the return address lies";
	memcpy(&pushed, side->pad + literal, sizeof(pushed));
	side->at += sizeof(pushed);
	return pushed == a->next ? NULL : "the return address";
}

static const char *same_hop(struct side *side, const struct decoded *a)
{
	struct decoded test, over, jump;
	if (!take(side, &test) || test.insn.mnemonic != a->insn.mnemonic ||
	    test.insn.address_width != a->insn.address_width || !take(side, &over) ||
	    !is_mnemonic(&over, ZYDIS_MNEMONIC_JMP) || !over.is_relative || !take(side, &jump) ||
	    !is_mnemonic(&jump, ZYDIS_MNEMONIC_JMP))
		return "the shape of a short branch";
	if (test.target != jump.address || over.target != jump.next)
		return "the hops of a short branch";
	return goes_there(side, &jump, a->target, false) ? NULL : "where a short branch goes";
}

static const char *same_one(struct side *side, const struct decoded *a)
{
	struct decoded b;
	const char *what;
	if (a->insn.meta.category == ZYDIS_CATEGORY_CALL)
		return same_call(side, a);
	switch (a->insn.mnemonic) {
	case ZYDIS_MNEMONIC_LOOP:
	case ZYDIS_MNEMONIC_LOOPE:
	case ZYDIS_MNEMONIC_LOOPNE:
	case ZYDIS_MNEMONIC_JRCXZ:
	case ZYDIS_MNEMONIC_JECXZ:
		return same_hop(side, a);
	default:
		break;
	}
	if (!take(side, &b))
		return "no instruction";
	if (a->is_relative) {
		if (a->insn.mnemonic != b.insn.mnemonic)
			return "another branch";
		return goes_there(side, &b, a->target, false) ? NULL : "where a branch goes";
	}
	what = same_plain(a, &b);
	if (what || !is_mnemonic(a, ZYDIS_MNEMONIC_SYSCALL))
		return what;
	if (!take(side, &b) || !is_mnemonic(&b, ZYDIS_MNEMONIC_LEA) ||
	    b.operands[0].reg.value != ZYDIS_REGISTER_RCX || b.operands[1].mem.base != ZYDIS_REGISTER_RIP ||
	    b.next + (uint64_t)b.operands[1].mem.disp.value != a->next)
		return "rcx behind a system call";
	return NULL;
}

static bool ends(const struct decoded *d)
{
	return d->insn.meta.category == ZYDIS_CATEGORY_CALL || is_mnemonic(d, ZYDIS_MNEMONIC_JMP) ||
	       d->insn.meta.category == ZYDIS_CATEGORY_RET;
}

const char *same_differs(const uint8_t *code, size_t n, uint64_t address, size_t length, uint64_t pad_address,
			 const uint8_t *pad, size_t size, size_t covered)
{
	struct side side = {
		.pad = pad, .size = size, .address = address, .pad_address = pad_address, .length = length};
	struct decoded original;
	size_t offset = 0;
	bool goes_on = true;
	memset(side.copies, 0xff, sizeof(side.copies));
	if (size > DISPLACE_MAX)
		return "longer than a pad may be";
	while (offset < length) {
		if (!decoded_at(code + offset, n - offset, address + offset, &original))
			return "the original cannot be decoded";
		side.copies[offset] = side.at;
		const char *what = same_one(&side, &original);
		if (what)
			return what;
		offset += original.insn.length;
		goes_on = !ends(&original);
		bool is_reached = goes_on;
		for (size_t i = 0; i < side.n_inward; i++)
			is_reached |= side.inward[i].offset >= offset;
		if (!is_reached)
			break;
	}
	for (size_t i = 0; i < side.n_inward; i++)
		if (side.inward[i].target != pad_address + side.copies[side.inward[i].offset])
			return "where a branch inside goes";
	if (covered != (offset < length ? length : offset))
		return "what it covers";
	if (goes_on && (!take(&side, &original) || !is_mnemonic(&original, ZYDIS_MNEMONIC_JMP) ||
			original.target != address + covered))
		return "the jump at the end";
	return side.at == size ? NULL : "bytes behind its end";
}
