/* SPDX-License-Identifier: MIT */
/*
 * After a controller that was killed: the code is made to agree with the registry's table that counts, and
 * memory left over is given back.
 */
#ifndef PROCESS_RECOVER_H
#define PROCESS_RECOVER_H

#include "process/session.h"

/* Does nothing when nothing is unfinished. *recovered (may be NULL): whether there was something. Needs the
 * lock. */
_must_check_ struct usp_error *recover(struct session *session, bool *recovered);

/* Whether there is something to recover. */
bool recover_needed(const struct registry *registry);

#endif
