/* SPDX-License-Identifier: MIT */
/*
 * Who seems to be inside the functions of a plan right now, found without stopping or waking anybody: threads
 * that sleep in a system call, by what /proc says of them. Running threads are not looked at. For people; no
 * action rests on it.
 */
#ifndef PROCESS_BUSY_H
#define PROCESS_BUSY_H

#include "process/plan.h"

/* "TID name: function", owned by the caller, as is each string. */
_must_check_ struct usp_error *busy_threads(const struct session *session, const struct plan *plan,
					    char ***lines, size_t *n);

#endif
