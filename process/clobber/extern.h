/* SPDX-License-Identifier: MIT */
/*
 * Which parameter registers a call out of the module can use, where the C library's prototype of the called
 * function is known by its name. All of them where it is not.
 */
#ifndef PROCESS_CLOBBER_EXTERN_H
#define PROCESS_CLOBBER_EXTERN_H

#include "process/clobber/text.h"

/* insn: a jump or call through a slot that the dynamic linker fills in. */
clobber_set extern_parameters(const struct text *text, const struct insn *insn);

#endif
