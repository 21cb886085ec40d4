/* SPDX-License-Identifier: MIT */
/*
 * From the records of a build to struct capture: the same object seen at its assembler's end and at the
 * compiler's is one; what ld -r made is replaced by what went into it; of several objects at one path those
 * stay that count.
 */
#ifndef BUILD_CAPTURE_RESULT_H
#define BUILD_CAPTURE_RESULT_H

#include "build/capture/capture.h"
#include "build/capture/log.h"

struct capture_result {
	struct capture *capture;
	const char *store;
	size_t objects_capacity, links_capacity;
};

/* Takes a CAPTURE_RECORD_OBJECT or _LINK. *text: "gcc /a/main.o", the caller frees; NULL: was known. */
_must_check_ struct usp_error *capture_result_add(struct capture_result *result,
						  struct capture_fields *fields, char **text);
/* When all are there. */
_must_check_ struct usp_error *capture_result_finish(struct capture_result *result);

#endif
