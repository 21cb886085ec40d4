/* SPDX-License-Identifier: MIT */
/*
 * The helper process of a capture: the build's processes are its tracees, and no others are, so it may wait
 * for whoever reports, which a library may not do in its caller's process. When it ends, all of the build
 * ends with it.
 */
#ifndef BUILD_CAPTURE_TRACE_H
#define BUILD_CAPTURE_TRACE_H

#include <signal.h>
#include <stdint.h>

#include "build/capture/capture.h"

struct capture_trace {
	const struct capture_options *options;
	char *const *environment;
	const sigset_t *mask; /* of the build's processes */
	int log;	      /* records (log.h) go here */
	int control;	      /* what comes here, be it the end of file, ends the build */
};

/* The helper's whole life, from right after fork(). */
_Noreturn void capture_trace(const struct capture_trace *trace);

#endif
