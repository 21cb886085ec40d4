/* SPDX-License-Identifier: MIT */
/*
 * Telling the target's own unwinder (libgcc's) about payload code, so that backtrace(), pthread_cancel() and
 * C++ exceptions find their way through it. Where there is no unwinder to tell yet, that is reported, not
 * hidden.
 */
#ifndef PROCESS_UNWINDER_H
#define PROCESS_UNWINDER_H

#include <usplice/list.h>

#include "process/session.h"

#define UNWINDER_OBJECT_SIZE 128 /* bytes: libgcc's `struct object` is 48 in gcc 12; room for later ones */

/* Whether the target has an unwinder that could be told: USP_UNWIND_REGISTERED if so, else why not. */
enum usp_unwind unwinder_look(const struct session *session);

/*
 * Registers [eh_frame ends with a zero word] with `object` (UNWINDER_OBJECT_SIZE bytes, zero, writable, in
 * the target) as the storage. *unwind says what became of it; that no thread could be borrowed is no error.
 */
_must_check_ struct usp_error *unwinder_register(struct session *session, uint64_t eh_frame, uint64_t object,
						 enum usp_unwind *unwind);

/* Takes it back; must succeed before the memory is given back. */
_must_check_ struct usp_error *unwinder_deregister(struct session *session, uint64_t eh_frame);

#endif
