/* SPDX-License-Identifier: MIT */
/*
 * One step of unwinding, from the CFI row that libdw finds for an address. Exact or nothing: there is no
 * guess from a frame pointer here (libdwfl's own walk makes one, silently, where CFI is missing).
 */
#ifndef PROCESS_STACK_CFI_H
#define PROCESS_STACK_CFI_H

#include <elfutils/libdw.h>
#include <stdbool.h>
#include <stdint.h>

/* DWARF's numbers: rax rdx rcx rbx rsi rdi rbp rsp r8-r15, return address. */
enum {
	CFI_RSP = 7,
	CFI_RA = 16,
	CFI_REGISTERS = 17
};

struct cfi_registers {
	uint64_t v[CFI_REGISTERS]; /* [CFI_RA] is the frame's own instruction pointer */
	uint32_t known;		   /* a bit each */
};

/* Reads a word of the target; false when it cannot. */
typedef bool cfi_read_fn(void *context, uint64_t address, uint64_t *value);

enum cfi_result {
	CFI_STEPPED,
	CFI_OUTERMOST, /* the row says that nobody called this frame, or the return address is 0 */
	CFI_FAILED,
};

/*
 * Goes from the frame in *registers to its caller, by row. *signal: the frame is a signal trampoline, so the
 * caller was interrupted and its address is exact.
 */
enum cfi_result cfi_step(Dwarf_Frame *row, cfi_read_fn *read, void *context, struct cfi_registers *registers,
			 bool *signal);

#endif
