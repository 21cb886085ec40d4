/* SPDX-License-Identifier: MIT */
/*
 * Making error objects. Used by every folder but core/, which returns -errno and knows no strings.
 */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

#include <usplice/error.h>

#include "base/compiler.h"

/* The static object for "out of memory". */
extern struct usp_error usp_error_no_memory;

/* A new error with a printf-style sentence. Never returns NULL. */
_must_check_ struct usp_error *usp_errorf(enum usp_code code, const char *format, ...)
	__attribute__((format(printf, 2, 3), returns_nonnull));

/*
 * The same for a failed system call: ": " and strerror(errno_value) are added. EPERM and EACCES become
 * USP_PERMISSION, ENOENT USP_NOT_FOUND, ESRCH USP_GONE, ENOMEM USP_FAILED, unless code is not USP_FAILED.
 */
_must_check_ struct usp_error *usp_error_errno(enum usp_code code, int errno_value, const char *format, ...)
	__attribute__((format(printf, 3, 4), returns_nonnull));

/* Puts "prefix: " before the message of error (takes it, returns the same or a new one). NULL stays NULL. */
_must_check_ struct usp_error *usp_error_prefix(struct usp_error *error, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

#endif
