/* SPDX-License-Identifier: MIT */
/*
 * Whether a pad does what the original does, told by decoding both side by side. Knows what each kind of
 * instruction has to become, and shares nothing with process/displace.c.
 */
#ifndef TESTS_DISPLACE_SAME_H
#define TESTS_DISPLACE_SAME_H

#include <Zydis/Zydis.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* An instruction where it stands. */
struct decoded {
	const uint8_t *bytes;
	uint64_t address, next;
	ZydisDecodedInstruction insn;
	ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
	bool is_relative;
	uint64_t target; /* when it is */
};
bool decoded_at(const uint8_t *bytes, size_t n, uint64_t address, struct decoded *ret);

/* What differs, in words; NULL: nothing. code, n, address, length and pad_address as given to displace(). */
const char *same_differs(const uint8_t *code, size_t n, uint64_t address, size_t length, uint64_t pad_address,
			 const uint8_t *pad, size_t size, size_t covered);

#endif
