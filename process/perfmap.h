/* SPDX-License-Identifier: MIT */
/*
 * /tmp/perf-PID.map in the target's mount namespace, by which perf names payload functions.
 */
#ifndef PROCESS_PERFMAP_H
#define PROCESS_PERFMAP_H

#include "process/session.h"

/*
 * Brings the file in line with the registry: written when payloads are there, gone when none is. A file that
 * holds lines of somebody else's (a JIT) is only added to. What fails is logged as a warning: perf's comfort
 * is no reason to fail an action.
 */
void perfmap_update(struct session *session);

#endif
