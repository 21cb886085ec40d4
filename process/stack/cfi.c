// SPDX-License-Identifier: MIT
#include "process/stack/cfi.h"

#include <dwarf.h>

#define STACK_DEPTH 32 /* of the expression machine */
#define OPS_MAX	    256

struct machine {
	uint64_t v[STACK_DEPTH];
	size_t n;
	const struct cfi_registers *registers;
	bool has_cfa;
	uint64_t cfa;
	cfi_read_fn *read;
	void *context;
};

static bool push(struct machine *m, uint64_t value)
{
	if (m->n == STACK_DEPTH)
		return false;
	m->v[m->n++] = value;
	return true;
}

static bool push_register(struct machine *m, uint64_t number, uint64_t offset)
{
	if (number >= CFI_REGISTERS || !(m->registers->known & (1u << number)))
		return false;
	return push(m, m->registers->v[number] + offset);
}

static bool binary(struct machine *m, unsigned atom)
{
	if (m->n < 2)
		return false;
	uint64_t b = m->v[--m->n], *a = &m->v[m->n - 1];
	switch (atom) {
	case DW_OP_plus:
		*a += b;
		return true;
	case DW_OP_minus:
		*a -= b;
		return true;
	case DW_OP_mul:
		*a *= b;
		return true;
	case DW_OP_and:
		*a &= b;
		return true;
	case DW_OP_or:
		*a |= b;
		return true;
	case DW_OP_xor:
		*a ^= b;
		return true;
	case DW_OP_shl:
		*a = b < 64 ? *a << b : 0;
		return true;
	case DW_OP_shr:
		*a = b < 64 ? *a >> b : 0;
		return true;
	case DW_OP_eq:
		*a = *a == b;
		return true;
	case DW_OP_ne:
		*a = *a != b;
		return true;
	case DW_OP_lt:
		*a = (int64_t)*a < (int64_t)b;
		return true;
	case DW_OP_le:
		*a = (int64_t)*a <= (int64_t)b;
		return true;
	case DW_OP_gt:
		*a = (int64_t)*a > (int64_t)b;
		return true;
	case DW_OP_ge:
		*a = (int64_t)*a >= (int64_t)b;
		return true;
	default:
		return false;
	}
}

static bool one_op(struct machine *m, const Dwarf_Op *op)
{
	unsigned atom = op->atom;
	if (atom >= DW_OP_lit0 && atom <= DW_OP_lit31)
		return push(m, atom - DW_OP_lit0);
	if (atom >= DW_OP_breg0 && atom <= DW_OP_breg31)
		return push_register(m, atom - DW_OP_breg0, op->number);
	switch (atom) {
	case DW_OP_bregx:
		return push_register(m, op->number, op->number2);
	case DW_OP_addr:
	case DW_OP_const1u:
	case DW_OP_const1s:
	case DW_OP_const2u:
	case DW_OP_const2s:
	case DW_OP_const4u:
	case DW_OP_const4s:
	case DW_OP_const8u:
	case DW_OP_const8s:
	case DW_OP_constu:
	case DW_OP_consts:
		return push(m, op->number);
	case DW_OP_call_frame_cfa:
		return m->has_cfa && push(m, m->cfa);
	case DW_OP_plus_uconst:
		if (!m->n)
			return false;
		m->v[m->n - 1] += op->number;
		return true;
	case DW_OP_deref:
		return m->n && m->read(m->context, m->v[m->n - 1], &m->v[m->n - 1]);
	case DW_OP_dup:
		return m->n && push(m, m->v[m->n - 1]);
	case DW_OP_drop:
		if (!m->n)
			return false;
		m->n--;
		return true;
	case DW_OP_nop:
		return true;
	default:
		return binary(m, atom); /* jumps and the rest occur in no CFI of a compiler's: no answer */
	}
}

/* *is_value: the expression gives the value itself; else an address. */
static bool evaluate(struct machine *m, const Dwarf_Op *ops, size_t n, uint64_t *result, bool *is_value)
{
	*is_value = false;
	m->n = 0;
	if (!n || n > OPS_MAX)
		return false;
	for (size_t i = 0; i < n; i++) {
		unsigned atom = ops[i].atom;
		if (atom == DW_OP_stack_value && i == n - 1)
			*is_value = true;
		else if ((atom == DW_OP_regx || (atom >= DW_OP_reg0 && atom <= DW_OP_reg31)) && n == 1) {
			*is_value = true;
			if (!push_register(m, atom == DW_OP_regx ? ops[i].number : atom - DW_OP_reg0, 0))
				return false;
		} else if (!one_op(m, &ops[i]))
			return false;
	}
	if (!m->n)
		return false;
	*result = m->v[m->n - 1];
	return true;
}

enum cfi_result cfi_step(Dwarf_Frame *row, cfi_read_fn *read, void *context, struct cfi_registers *registers,
			 bool *signal)
{
	Dwarf_Op ops_mem[3], *ops;
	size_t n;
	Dwarf_Addr start, end;
	struct machine m = {.registers = registers, .read = read, .context = context};
	struct cfi_registers next = {0};
	bool is_value;
	if (dwarf_frame_info(row, &start, &end, signal) != CFI_RA)
		return CFI_FAILED;
	/* Who says that he has no caller need not say where his frame is. */
	if (dwarf_frame_register(row, CFI_RA, ops_mem, &ops, &n))
		return CFI_FAILED;
	if (!n)
		return ops == ops_mem ? CFI_OUTERMOST : CFI_FAILED;
	if (dwarf_frame_cfa(row, &ops, &n) || !evaluate(&m, ops, n, &m.cfa, &is_value))
		return CFI_FAILED;
	m.has_cfa = true;
	for (int i = 0; i < CFI_REGISTERS; i++) {
		uint64_t value;
		if (dwarf_frame_register(row, i, ops_mem, &ops, &n))
			return CFI_FAILED;
		if (!n && ops == ops_mem)
			continue; /* undefined: the callee may have changed it */
		if (!n) {
			if (!(registers->known & (1u << i)))
				continue;
			value = registers->v[i];
		} else {
			if (!evaluate(&m, ops, n, &value, &is_value) ||
			    (!is_value && !read(context, value, &value))) {
				if (i == CFI_RA || i == CFI_RSP)
					return CFI_FAILED;
				continue;
			}
		}
		next.v[i] = value;
		next.known |= 1u << i;
	}
	if (!(next.known & (1u << CFI_RSP))) {
		next.v[CFI_RSP] = m.cfa;
		next.known |= 1u << CFI_RSP;
	}
	if (!(next.known & (1u << CFI_RA)))
		return CFI_FAILED;
	if (!next.v[CFI_RA])
		return CFI_OUTERMOST;
	*registers = next;
	return CFI_STEPPED;
}
