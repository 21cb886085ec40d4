/* SPDX-License-Identifier: MIT */
/*
 * Instructions as far as the shape of a function needs them: how long, and where control may go next.
 */
#ifndef PROCESS_BRANCH_H
#define PROCESS_BRANCH_H

#include <stdbool.h>
#include <stdint.h>

#define BRANCH_INSTRUCTION_MAX 15u /* bytes */

struct step {
	uint8_t length;
	bool is_call, is_branch; /* branch: a jump, conditional or not */
	bool is_direct;		 /* the branch or call names its target */
	bool by_slot;		 /* jmp *slot(%rip) */
	bool is_landmark;	 /* endbr64 */
	bool ends;		 /* the next instruction does not follow it */
	uint64_t target;	 /* of a direct one */
};

struct branch_decoder;
/* NULL: out of memory, or the disassembler does not work at all. */
struct branch_decoder *branch_decoder_create(void);
void branch_decoder_destroy(struct branch_decoder *decoder); /* NULL is fine */

/* The instruction at bytes (n of them), which lies at address. False: none is there. */
bool branch_decode(const struct branch_decoder *decoder, const uint8_t *bytes, uint64_t n, uint64_t address,
		   struct step *ret);

#endif
