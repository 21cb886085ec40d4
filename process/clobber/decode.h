/* SPDX-License-Identifier: MIT */
/*
 * One instruction, reduced to what the question of clobber.h needs: which caller-saved registers it reads and
 * writes, and where control goes.
 */
#ifndef PROCESS_CLOBBER_DECODE_H
#define PROCESS_CLOBBER_DECODE_H

#include "process/clobber/clobber.h"

#define CLOBBER_BIT(n) ((clobber_set)1 << (n))
enum {
	CLOBBER_RAX,
	CLOBBER_RCX,
	CLOBBER_RDX,
	CLOBBER_RSI,
	CLOBBER_RDI,
	CLOBBER_R8,
	CLOBBER_R9,
	CLOBBER_R10,
	CLOBBER_R11
};
#define CLOBBER_XMM0	16
#define CLOBBER_ZMM16	32
#define CLOBBER_K0	48
#define CLOBBER_MM0	56
#define CLOBBER_VECTORS ((clobber_set)0xffffffffffff << CLOBBER_XMM0 & ~((clobber_set)0xffff << CLOBBER_K0))
#define CLOBBER_MMX	((clobber_set)0xff << CLOBBER_MM0)
/* Bits that stand for a register at all. */
#define CLOBBER_REGISTERS ((clobber_set)0x1ff | ~(clobber_set)0xffff)

/* What the ABI passes arguments in, to a function (rax beside them: vector count of variadic ones) and
 * returns in. */
#define CLOBBER_PARAMETERS                                                                \
	(CLOBBER_BIT(CLOBBER_RDI) | CLOBBER_BIT(CLOBBER_RSI) | CLOBBER_BIT(CLOBBER_RDX) | \
	 CLOBBER_BIT(CLOBBER_RCX) | CLOBBER_BIT(CLOBBER_R8) | CLOBBER_BIT(CLOBBER_R9) |   \
	 (clobber_set)0xff << CLOBBER_XMM0)
#define CLOBBER_ARGUMENTS (CLOBBER_PARAMETERS | CLOBBER_BIT(CLOBBER_RAX))
#define CLOBBER_RETURNS	  (CLOBBER_BIT(CLOBBER_RAX) | CLOBBER_BIT(CLOBBER_RDX) | (clobber_set)3 << CLOBBER_XMM0)
/*
 * Of these, what counts as holding something just because a call has returned, and what a caller that nobody
 * knows may be returning to its callers. rdx and the vector registers do not: few calls return anything
 * there, and nearly all leave something behind. For the same reason, a vector register that was last loaded
 * or stored whole (memory being copied or cleared) holds no argument. So a second word or a floating-point
 * value that is kept where a call returned it, across the call of the replaced function, and then passed out
 * of the module or returned to it without any instruction having touched it, goes unseen.
 */
#define CLOBBER_RETURNED CLOBBER_BIT(CLOBBER_RAX)

/* "rcx", "xmm3" of bit n. */
void clobber_bit_name(unsigned n, char buf[8]);
/* "rcx, xmm3" of a whole set. */
void clobber_set_format(clobber_set set, char *buf, size_t size);

enum flow {
	FLOW_NEXT,
	FLOW_CALL,	    /* to target */
	FLOW_CALL_INDIRECT, /* or a far one */
	FLOW_JUMP,	    /* to target */
	FLOW_BRANCH,	    /* to target or on */
	FLOW_TABLE,	    /* an indirect jump that looks like a switch */
	FLOW_JUMP_INDIRECT, /* some other one */
	FLOW_JUMP_SLOT, /* through a word at a fixed place: a GOT slot, so a tail call to another module */
	FLOW_RETURN,
	FLOW_STOP, /* never goes on: ud2, hlt, int3 */
};

struct insn {
	uint64_t address, target;
	uint64_t
		pointer; /* lea: where it points; an indexed load or jump without a base: its table; else 0 */
	clobber_set reads;  /* for certain */
	clobber_set maybe;  /* perhaps: pushes that save or align, operands of system calls */
	clobber_set writes; /* in whole or in part, always or under a condition */
	clobber_set kills;  /* of these: wholly and always */
	clobber_set
		vague; /* upper parts only (vzeroupper), or by an operand (xrstor): for safe over-estimates */
	bool constant_rax;  /* sets rax to a number: may be a variadic call's count of vector arguments */
	clobber_set packed; /* moved as whole vectors: no floating-point value of one lane */
	clobber_set pushes, pops;
	uint8_t length;
	uint8_t flow; /* enum flow */
	bool is_nop;
	bool scaled_load; /* movslq (b,i,4) and the like: the first half of a switch */
};

/* The instruction that begins with these bytes; false when none does. */
bool insn_decode(const uint8_t *bytes, size_t size, uint64_t address, struct insn *ret);

#endif
