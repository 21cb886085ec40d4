/* SPDX-License-Identifier: MIT */
/*
 * Thread-local variables without a call. Code compiled with -fPIC asks __tls_get_addr (or a TLS descriptor)
 * where a variable is. For one at a fixed distance from the thread pointer the answer is known beforehand,
 * and the call is written over, as linkers do when they make an executable: so nothing of the C library is
 * needed, which a static program may not have. Only the code's bytes are looked at and written here; apply.c
 * decides.
 */
#ifndef PAYLOAD_TLS_H
#define PAYLOAD_TLS_H

#include "payload/file.h"

/* A whole call of __tls_get_addr with its argument: the relocations i (TLSGD or TLSLD) and i + 1 are its. */
struct payload_tls_call {
	uint64_t offset; /* in the section */
	uint32_t size;	 /* all of it lies inside the section */
	bool general;	 /* TLSGD: a variable's address, not a block's */
};

/* Whether the code around relocation i is one of the forms that gcc and clang write, byte for byte. */
bool payload_tls_call_find(const struct payload_file *file, const struct payload_section *section, size_t i,
			   struct payload_tls_call *ret);

/* %rax becomes the thread pointer + tpoff (0 and no such instruction, if the call is not general). */
void payload_tls_call_write(uint8_t *code, const struct payload_tls_call *call, int32_t tpoff);

/* Whether relocation i (GOTPC32_TLSDESC or TLSDESC_CALL) belongs to the instruction that it should. */
bool payload_tls_descriptor_check(const struct payload_section *section, size_t i);

/* code: where the relocation is. "lea descriptor(%rip),%REG" becomes "mov $tpoff,%REG", "call *(%rax)" a NOP.
 */
void payload_tls_descriptor_write(uint8_t *code, uint32_t type, int32_t tpoff);

#endif
