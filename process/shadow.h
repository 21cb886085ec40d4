/* SPDX-License-Identifier: MIT */
/*
 * The place of shadow data in a target (usplice/shadow.h, docs/shadow.md): mapped when the first payload comes that uses
 * it, noted in the registry, and kept for as long as the process lives, since the data in it is the program's from then on.
 * What is in it is the payloads' business alone: the controller neither reads nor writes it.
 */
#ifndef PROCESS_SHADOW_H
#define PROCESS_SHADOW_H

#include "process/plan.h"
#include "process/session.h"

/* Maps it if it is not there yet; registry and remote are. */
_must_check_ struct usp_error *shadow_need(struct session *session, struct remote *remote,
					   const struct plan *plan);

#endif
