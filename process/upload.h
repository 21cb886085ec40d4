/* SPDX-License-Identifier: MIT */
/*
 * Bringing a payload into the target, and its memory out again. States and switching are the engine's
 * (host.h).
 */
#ifndef PROCESS_UPLOAD_H
#define PROCESS_UPLOAD_H

#include "process/plan.h"

/* Checks and uploads; *index is the new entry. With options.dry_run: checks and builds, changes nothing,
 * *index = -1. */
_must_check_ struct usp_error *upload(struct session *session, struct plan *plan, int *index);

/* Gives back the memory of entry `index`, which the engine has unloaded, and frees the entry. */
_must_check_ struct usp_error *upload_remove(struct session *session, int index);

/*
 * A mapping that is still `pending` (its controller was killed, or failed) is unmapped, when it is what the
 * registry says. remote: a borrowed thread, or NULL to borrow one.
 */
_must_check_ struct usp_error *upload_recover(struct session *session, struct remote *remote);

#endif
