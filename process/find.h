/* SPDX-License-Identifier: MIT */
/*
 * Which payload in the registry a person means.
 */
#ifndef PROCESS_FIND_H
#define PROCESS_FIND_H

#include "process/session.h"

/*
 * The entry that `payload` means: the path of a file (has a '/' in it or ends in ".usp": by its build-id),
 * else a name. USP_NOT_FOUND names those that are there.
 */
_must_check_ struct usp_error *find_payload(const struct session *session, const char *payload, int *index);

#endif
