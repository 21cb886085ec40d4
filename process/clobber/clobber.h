/* SPDX-License-Identifier: MIT */
/*
 * The -fipa-ra trap: at -O2 gcc lets a caller keep a value in a caller-saved register across a call of a
 * function in the same file when it has seen that the callee leaves that register alone. A replacement that
 * clobbers it corrupts that caller. Two builds with the same flags would show the caller as changed; a
 * payload written by hand has no such witness, so the machine code is asked.
 */
#ifndef PROCESS_CLOBBER_CLOBBER_H
#define PROCESS_CLOBBER_CLOBBER_H

#include "process/elf/symbols.h"

/*
 * A set of caller-saved registers: bit 0-8 rax rcx rdx rsi rdi r8 r9 r10 r11, bit 16-31 xmm0-15 (with their
 * ymm/zmm parts), bit 32-47 zmm16-31, bit 48-55 k0-7, bit 56-63 mm0-7/st.
 */
typedef uint64_t clobber_set;
#define CLOBBER_ALL (~(clobber_set)0)

/*
 * What the function at link-time address [address, +size) of module may change, with all it calls: direct
 * calls inside the module are followed (recursion ends in a fixed point); an indirect call, a call out of the
 * module, a system call beyond its own registers, or an instruction that cannot be decoded gives what the ABI
 * allows.
 */
_must_check_ struct usp_error *clobber_of_function(struct module *module, uint64_t address, uint64_t size,
						   clobber_set *ret);

/*
 * Refuses (USP_MISMATCH) when some direct caller of the old function in the module's text reads, after the
 * call and before writing it, a caller-saved register that the old function leaves alone and `fresh` (what
 * the new one may change) contains; a caller that returns with it untouched makes its own callers ask in
 * turn. The message names caller, call site, register and remedy. Rests on `fresh` being right: take
 * clobber_of_code() of the replacement. address is a link-time one.
 *
 * Errs towards refusing: a register that may be handed on to a function in another module counts as read,
 * unless it certainly holds nothing or that function is known to take no such argument ("could corrupt").
 * What goes unseen is listed at CLOBBER_RETURNED (decode.h) and callers_pass() (callers.h):
 * values passed on untouched in registers that seldom carry any.
 */
_must_check_ struct usp_error *clobber_check(struct module *module, uint64_t address, uint64_t size,
					     const char *name, clobber_set fresh);

/*
 * The same for one of several. replaced: runtime ranges of all functions that the payload replaces
 * (function_ranges(), sealed; or NULL): calls from their old code do not count, for it will not run any more.
 */
_must_check_ struct usp_error *clobber_check_among(struct module *module, uint64_t address, uint64_t size,
						   const char *name, clobber_set fresh,
						   const struct range_set *replaced);

/*
 * What code in a buffer may change: [entry, entry+size) inside text; calls that leave text are taken to
 * change all. The text must be relocated: in an object file's bytes, a call to anywhere is a call to the next
 * instruction.
 */
_must_check_ struct usp_error *clobber_of_code(const uint8_t *text, size_t text_size, size_t entry,
					       size_t size, clobber_set *ret);

#endif
