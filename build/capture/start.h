/* SPDX-License-Identifier: MIT */
/*
 * Starting the build's command as a tracee: it is seized before it executes, so nothing of it goes unseen.
 */
#ifndef BUILD_CAPTURE_START_H
#define BUILD_CAPTURE_START_H

#include <sys/types.h>

#include "build/capture/trace.h"

/* *failed: for capture_start_failure(), if the process never executes the command. */
_must_check_ struct usp_error *capture_start(const struct capture_trace *trace, pid_t *pid, int *failed);
/* Why it has not: the error of it, or *start_error: the errno of the exec. */
_must_check_ struct usp_error *capture_start_failure(const struct capture_trace *trace, int failed,
						     int *start_error);

#endif
