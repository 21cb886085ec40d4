// SPDX-License-Identifier: MIT
#include "process/clobber/decode.h"

#include <stdio.h>
#include <string.h>

#include "process/decoder.h"

static const char *const general_names[] = {"rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11"};

void clobber_bit_name(unsigned n, char buf[8])
{
	if (n < sizeof(general_names) / sizeof(*general_names))
		snprintf(buf, 8, "%s", general_names[n]);
	else if (n >= CLOBBER_XMM0 && n < CLOBBER_ZMM16)
		snprintf(buf, 8, "xmm%u", n - CLOBBER_XMM0);
	else if (n >= CLOBBER_ZMM16 && n < CLOBBER_K0)
		snprintf(buf, 8, "zmm%u", n - CLOBBER_ZMM16 + 16);
	else if (n >= CLOBBER_K0 && n < CLOBBER_MM0)
		snprintf(buf, 8, "k%u", n - CLOBBER_K0);
	else if (n >= CLOBBER_MM0 && n < 64)
		snprintf(buf, 8, "mm%u", n - CLOBBER_MM0);
	else
		snprintf(buf, 8, "?");
}

void clobber_set_format(clobber_set set, char *buf, size_t size)
{
	size_t used = 0;
	if (size)
		*buf = '\0';
	for (unsigned n = 0; n < 64 && used < size; n++) {
		char name[8];
		if (!(set & CLOBBER_REGISTERS & CLOBBER_BIT(n)))
			continue;
		clobber_bit_name(n, name);
		used += (size_t)snprintf(buf + used, size - used, "%s%s", used ? ", " : "", name);
	}
}

/* The bit of a register, 0 for those that are none of ours. */
static clobber_set register_bit(ZydisRegister reg)
{
	int number = ZydisRegisterGetId(reg);
	switch (ZydisRegisterGetClass(reg)) {
	case ZYDIS_REGCLASS_GPR8:
	case ZYDIS_REGCLASS_GPR16:
	case ZYDIS_REGCLASS_GPR32:
	case ZYDIS_REGCLASS_GPR64:
		switch (ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, reg)) {
		case ZYDIS_REGISTER_RAX:
			return CLOBBER_BIT(CLOBBER_RAX);
		case ZYDIS_REGISTER_RCX:
			return CLOBBER_BIT(CLOBBER_RCX);
		case ZYDIS_REGISTER_RDX:
			return CLOBBER_BIT(CLOBBER_RDX);
		case ZYDIS_REGISTER_RSI:
			return CLOBBER_BIT(CLOBBER_RSI);
		case ZYDIS_REGISTER_RDI:
			return CLOBBER_BIT(CLOBBER_RDI);
		case ZYDIS_REGISTER_R8:
			return CLOBBER_BIT(CLOBBER_R8);
		case ZYDIS_REGISTER_R9:
			return CLOBBER_BIT(CLOBBER_R9);
		case ZYDIS_REGISTER_R10:
			return CLOBBER_BIT(CLOBBER_R10);
		case ZYDIS_REGISTER_R11:
			return CLOBBER_BIT(CLOBBER_R11);
		default:
			return 0;
		}
	case ZYDIS_REGCLASS_XMM:
	case ZYDIS_REGCLASS_YMM:
	case ZYDIS_REGCLASS_ZMM:
		return number >= 0 && number < 32 ? CLOBBER_BIT(CLOBBER_XMM0 + number) : 0;
	case ZYDIS_REGCLASS_MASK:
		return number >= 0 && number < 8 ? CLOBBER_BIT(CLOBBER_K0 + number) : 0;
	case ZYDIS_REGCLASS_MMX:
		return number >= 0 && number < 8 ? CLOBBER_BIT(CLOBBER_MM0 + number) : 0;
	case ZYDIS_REGCLASS_X87:
		return CLOBBER_MMX;
	default:
		return 0;
	}
}

/* Instructions that write part of their first operand although the tables say "writes". */
static bool merges(const ZydisDecodedInstruction *insn, const ZydisDecodedOperand *operands)
{
	if (insn->avx.mask.mode == ZYDIS_MASK_MODE_MERGING)
		return true;
	switch (insn->mnemonic) {
	case ZYDIS_MNEMONIC_MOVSS:
	case ZYDIS_MNEMONIC_MOVSD:
		return operands[0].type == ZYDIS_OPERAND_TYPE_REGISTER &&
		       operands[1].type == ZYDIS_OPERAND_TYPE_REGISTER;
	case ZYDIS_MNEMONIC_CVTSI2SD:
	case ZYDIS_MNEMONIC_CVTSI2SS:
	case ZYDIS_MNEMONIC_CVTSS2SD:
	case ZYDIS_MNEMONIC_CVTSD2SS:
	case ZYDIS_MNEMONIC_CVTPI2PS:
	case ZYDIS_MNEMONIC_SQRTSS:
	case ZYDIS_MNEMONIC_SQRTSD:
	case ZYDIS_MNEMONIC_RSQRTSS:
	case ZYDIS_MNEMONIC_RCPSS:
	case ZYDIS_MNEMONIC_ROUNDSS:
	case ZYDIS_MNEMONIC_ROUNDSD:
	case ZYDIS_MNEMONIC_MOVLPS:
	case ZYDIS_MNEMONIC_MOVLPD:
	case ZYDIS_MNEMONIC_MOVHPS:
	case ZYDIS_MNEMONIC_MOVHPD:
	case ZYDIS_MNEMONIC_MOVLHPS:
	case ZYDIS_MNEMONIC_MOVHLPS:
	case ZYDIS_MNEMONIC_PINSRB:
	case ZYDIS_MNEMONIC_PINSRW:
	case ZYDIS_MNEMONIC_PINSRD:
	case ZYDIS_MNEMONIC_PINSRQ:
	case ZYDIS_MNEMONIC_INSERTPS:
		return true;
	default:
		return false;
	}
}

/* "or $-1,%eax" and "and $0,%eax" read nothing either. */
static bool is_constant(const ZydisDecodedInstruction *insn, const ZydisDecodedOperand *operands)
{
	if (insn->operand_count_visible != 2 || operands[0].type != ZYDIS_OPERAND_TYPE_REGISTER ||
	    operands[1].type != ZYDIS_OPERAND_TYPE_IMMEDIATE)
		return false;
	return (insn->mnemonic == ZYDIS_MNEMONIC_OR && operands[1].imm.value.s == -1) ||
	       (insn->mnemonic == ZYDIS_MNEMONIC_AND && operands[1].imm.value.s == 0);
}

/* Moves of 16 bytes and more, and what packs two words into one register. */
static bool is_packed(const ZydisDecodedInstruction *insn, const ZydisDecodedOperand *operands)
{
	switch (insn->mnemonic) {
	case ZYDIS_MNEMONIC_PUNPCKLQDQ:
	case ZYDIS_MNEMONIC_PUNPCKHQDQ:
	case ZYDIS_MNEMONIC_PUNPCKLDQ:
	case ZYDIS_MNEMONIC_MOVHPS:
	case ZYDIS_MNEMONIC_MOVHPD:
	case ZYDIS_MNEMONIC_MOVLHPS:
	case ZYDIS_MNEMONIC_PINSRQ:
	case ZYDIS_MNEMONIC_PINSRD:
	case ZYDIS_MNEMONIC_PSHUFD:
		return true;
	default:
		break;
	}
	for (unsigned i = 0; i < insn->operand_count_visible; i++)
		if (operands[i].type == ZYDIS_OPERAND_TYPE_MEMORY && operands[i].size >= 128)
			return true;
	return false;
}

/* "xor %eax,%eax" and its kin read nothing. */
static bool is_idiom(const ZydisDecodedInstruction *insn, const ZydisDecodedOperand *operands)
{
	unsigned first = 0;
	switch (insn->mnemonic) {
	case ZYDIS_MNEMONIC_XOR:
	case ZYDIS_MNEMONIC_SUB:
	case ZYDIS_MNEMONIC_SBB:
	case ZYDIS_MNEMONIC_PXOR:
	case ZYDIS_MNEMONIC_XORPS:
	case ZYDIS_MNEMONIC_XORPD:
	case ZYDIS_MNEMONIC_PCMPEQB:
	case ZYDIS_MNEMONIC_PCMPEQW:
	case ZYDIS_MNEMONIC_PCMPEQD:
	case ZYDIS_MNEMONIC_PCMPEQQ:
		break;
	case ZYDIS_MNEMONIC_VPXOR:
	case ZYDIS_MNEMONIC_VPXORD:
	case ZYDIS_MNEMONIC_VPXORQ:
	case ZYDIS_MNEMONIC_VXORPS:
	case ZYDIS_MNEMONIC_VXORPD:
	case ZYDIS_MNEMONIC_VPCMPEQB:
	case ZYDIS_MNEMONIC_VPCMPEQW:
	case ZYDIS_MNEMONIC_VPCMPEQD:
	case ZYDIS_MNEMONIC_VPCMPEQQ:
	case ZYDIS_MNEMONIC_KXORB:
	case ZYDIS_MNEMONIC_KXORW:
	case ZYDIS_MNEMONIC_KXORD:
	case ZYDIS_MNEMONIC_KXORQ:
		if (insn->avx.mask.mode == ZYDIS_MASK_MODE_MERGING)
			return false;
		first = 1;
		break;
	default:
		return false;
	}
	return insn->operand_count_visible >= first + 2 &&
	       operands[first].type == ZYDIS_OPERAND_TYPE_REGISTER &&
	       operands[first + 1].type == ZYDIS_OPERAND_TYPE_REGISTER &&
	       operands[first].reg.value == operands[first + 1].reg.value;
}

static void add_memory(const ZydisDecodedInstruction *insn, const ZydisDecodedOperand *operand,
		       struct insn *ret)
{
	ret->reads |= register_bit(operand->mem.base) | register_bit(operand->mem.index);
	if (operand->mem.base == ZYDIS_REGISTER_RIP)
		ret->pointer = ret->address + insn->length + (uint64_t)operand->mem.disp.value;
	else if (operand->mem.base == ZYDIS_REGISTER_NONE && operand->mem.scale == 8)
		ret->pointer = (uint64_t)operand->mem.disp.value;
	if (operand->mem.index != ZYDIS_REGISTER_NONE && operand->mem.scale >= 4 &&
	    (insn->mnemonic == ZYDIS_MNEMONIC_MOVSXD || insn->mnemonic == ZYDIS_MNEMONIC_MOV))
		ret->scaled_load = true;
}

static void add_register(const ZydisDecodedInstruction *insn, const ZydisDecodedOperand *operand,
			 bool partial, struct insn *ret)
{
	clobber_set bit = register_bit(operand->reg.value);
	ZydisRegisterClass class = ZydisRegisterGetClass(operand->reg.value);
	if (!bit)
		return;
	if (class == ZYDIS_REGCLASS_X87) {
		ret->writes |= bit; /* the x87 stack is empty at calls: never read across one */
		ret->kills |= bit;
		return;
	}
	if (class == ZYDIS_REGCLASS_GPR8 || class == ZYDIS_REGCLASS_GPR16)
		partial = true;
	if (operand->actions & ZYDIS_OPERAND_ACTION_MASK_READ) {
		if (insn->mnemonic == ZYDIS_MNEMONIC_PUSH)
			ret->maybe |= bit;
		else
			ret->reads |= bit;
	}
	if (operand->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE) {
		ret->writes |= bit;
		if ((operand->actions & ZYDIS_OPERAND_ACTION_WRITE) && !partial)
			ret->kills |= bit;
	}
	if (operand->visibility == ZYDIS_OPERAND_VISIBILITY_EXPLICIT && insn->mnemonic == ZYDIS_MNEMONIC_PUSH)
		ret->pushes |= bit;
	if (operand->visibility == ZYDIS_OPERAND_VISIBILITY_EXPLICIT && insn->mnemonic == ZYDIS_MNEMONIC_POP)
		ret->pops |= bit;
}

static void add_special(const ZydisDecodedInstruction *insn, struct insn *ret)
{
	switch (insn->mnemonic) {
	case ZYDIS_MNEMONIC_SYSCALL:
	case ZYDIS_MNEMONIC_INT:
	case ZYDIS_MNEMONIC_SYSENTER:
		ret->reads |= CLOBBER_BIT(CLOBBER_RAX);
		ret->maybe |= CLOBBER_BIT(CLOBBER_RDI) | CLOBBER_BIT(CLOBBER_RSI) | CLOBBER_BIT(CLOBBER_RDX) |
			      CLOBBER_BIT(CLOBBER_R10) | CLOBBER_BIT(CLOBBER_R8) | CLOBBER_BIT(CLOBBER_R9);
		ret->writes |= CLOBBER_BIT(CLOBBER_RAX) | CLOBBER_BIT(CLOBBER_RCX) | CLOBBER_BIT(CLOBBER_R11);
		ret->kills |= CLOBBER_BIT(CLOBBER_RAX) | CLOBBER_BIT(CLOBBER_RCX) | CLOBBER_BIT(CLOBBER_R11);
		break;
	case ZYDIS_MNEMONIC_VZEROUPPER:
		ret->writes = ret->kills = 0;
		ret->vague = CLOBBER_VECTORS & ((clobber_set)0xffff << CLOBBER_XMM0);
		break;
	case ZYDIS_MNEMONIC_VZEROALL:
		ret->writes = ret->kills = (clobber_set)0xffff << CLOBBER_XMM0;
		break;
	case ZYDIS_MNEMONIC_XRSTOR:
	case ZYDIS_MNEMONIC_XRSTOR64:
	case ZYDIS_MNEMONIC_XRSTORS:
	case ZYDIS_MNEMONIC_XRSTORS64:
	case ZYDIS_MNEMONIC_FXRSTOR:
	case ZYDIS_MNEMONIC_FXRSTOR64:
		ret->vague = CLOBBER_ALL & ~(clobber_set)0xffff;
		break;
	case ZYDIS_MNEMONIC_XBEGIN:
		ret->vague = CLOBBER_BIT(CLOBBER_RAX);
		break;
	default:
		break;
	}
	switch (insn->meta.isa_set) {
	case ZYDIS_ISA_SET_X87:
	case ZYDIS_ISA_SET_FCMOV:
		ret->writes |= CLOBBER_MMX;
		ret->kills |= CLOBBER_MMX;
		ret->reads &= ~CLOBBER_MMX;
		break;
	default:
		break;
	}
}

static void add_flow(const ZydisDecodedInstruction *insn, const ZydisDecodedOperand *operands,
		     struct insn *ret)
{
	bool direct = insn->operand_count_visible && operands[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE &&
		      operands[0].imm.is_relative &&
		      ZYAN_SUCCESS(ZydisCalcAbsoluteAddress(insn, &operands[0], ret->address, &ret->target));
	switch (insn->meta.category) {
	case ZYDIS_CATEGORY_CALL:
		ret->flow = direct ? FLOW_CALL : FLOW_CALL_INDIRECT;
		return;
	case ZYDIS_CATEGORY_COND_BR:
		ret->flow = direct ? FLOW_BRANCH : FLOW_STOP;
		return;
	case ZYDIS_CATEGORY_RET:
		ret->flow = FLOW_RETURN;
		return;
	case ZYDIS_CATEGORY_UNCOND_BR:
		ret->flow = FLOW_JUMP_INDIRECT;
		if (direct)
			ret->flow = FLOW_JUMP;
		else if (operands[0].type == ZYDIS_OPERAND_TYPE_MEMORY &&
			 operands[0].mem.base == ZYDIS_REGISTER_RIP)
			ret->flow = FLOW_JUMP_SLOT;
		else if (insn->attributes & ZYDIS_ATTRIB_HAS_NOTRACK)
			ret->flow = FLOW_TABLE;
		else if (operands[0].type == ZYDIS_OPERAND_TYPE_MEMORY && operands[0].mem.scale == 8 &&
			 operands[0].mem.index != ZYDIS_REGISTER_NONE)
			ret->flow = FLOW_TABLE;
		return;
	default:
		break;
	}
	switch (insn->mnemonic) {
	case ZYDIS_MNEMONIC_UD0:
	case ZYDIS_MNEMONIC_UD1:
	case ZYDIS_MNEMONIC_UD2:
	case ZYDIS_MNEMONIC_HLT:
	case ZYDIS_MNEMONIC_INT3:
		ret->flow = FLOW_STOP;
		break;
	default:
		ret->flow = FLOW_NEXT;
		break;
	}
}

bool insn_decode(const uint8_t *bytes, size_t size, uint64_t address, struct insn *ret)
{
	ZydisDecodedInstruction insn;
	ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
	if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder_x86_64, bytes, size, &insn, operands)))
		return false;
	*ret = (struct insn){.address = address, .length = insn.length};
	ret->is_nop = insn.mnemonic == ZYDIS_MNEMONIC_NOP;
	if (ret->is_nop)
		return true;
	bool idiom = is_idiom(&insn, operands), partial = merges(&insn, operands);
	for (unsigned i = 0; i < insn.operand_count; i++) {
		if (operands[i].type == ZYDIS_OPERAND_TYPE_MEMORY)
			add_memory(&insn, &operands[i], ret);
		else if (operands[i].type == ZYDIS_OPERAND_TYPE_REGISTER)
			add_register(&insn, &operands[i], partial && i == 0, ret);
	}
	if (is_constant(&insn, operands))
		ret->reads = 0;
	if (idiom)
		ret->reads = 0;
	ret->constant_rax = ret->kills == CLOBBER_BIT(CLOBBER_RAX) &&
			    (idiom || (insn.mnemonic == ZYDIS_MNEMONIC_MOV &&
				       operands[1].type == ZYDIS_OPERAND_TYPE_IMMEDIATE));
	if (is_packed(&insn, operands))
		ret->packed = (ret->reads | ret->writes) & CLOBBER_VECTORS;
	add_special(&insn, ret);
	add_flow(&insn, operands, ret);
	return true;
}
