// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct usp_error usp_error_no_memory = {
	.code = USP_FAILED,
	.errno_value = ENOMEM,
	.message = "out of memory",
};

/* Takes message (may be NULL: out of memory). */
static struct usp_error *error_new(enum usp_code code, int errno_value, char *message)
{
	struct usp_error *error = message ? malloc(sizeof(*error)) : NULL;
	if (!error) {
		free(message);
		return &usp_error_no_memory;
	}
	error->code = code;
	error->errno_value = errno_value;
	error->message = message;
	return error;
}

struct usp_error *usp_errorf(enum usp_code code, const char *format, ...)
{
	char *message;
	va_list ap;
	va_start(ap, format);
	if (vasprintf(&message, format, ap) < 0)
		message = NULL;
	va_end(ap);
	return error_new(code, 0, message);
}

static enum usp_code code_of_errno(enum usp_code code, int errno_value)
{
	if (code != USP_FAILED)
		return code;
	switch (errno_value) {
	case EPERM:
	case EACCES:
		return USP_PERMISSION;
	case ENOENT:
		return USP_NOT_FOUND;
	case ESRCH:
		return USP_GONE;
	default:
		return USP_FAILED;
	}
}

struct usp_error *usp_error_errno(enum usp_code code, int errno_value, const char *format, ...)
{
	char *what, *message;
	va_list ap;
	va_start(ap, format);
	if (vasprintf(&what, format, ap) < 0)
		what = NULL;
	va_end(ap);
	if (!what)
		return &usp_error_no_memory;
	if (asprintf(&message, "%s: %s", what, strerror(errno_value)) < 0)
		message = NULL;
	free(what);
	return error_new(code_of_errno(code, errno_value), errno_value, message);
}

struct usp_error *usp_error_prefix(struct usp_error *error, const char *format, ...)
{
	if (!error || error == &usp_error_no_memory)
		return error;
	char *prefix, *message;
	va_list ap;
	va_start(ap, format);
	if (vasprintf(&prefix, format, ap) < 0)
		prefix = NULL;
	va_end(ap);
	if (!prefix)
		return error;
	if (asprintf(&message, "%s: %s", prefix, error->message) >= 0) {
		free((char *)error->message);
		error->message = message;
	}
	free(prefix);
	return error;
}

void usp_error_destroy(struct usp_error *error)
{
	if (!error || error == &usp_error_no_memory)
		return;
	free((char *)error->message);
	free(error);
}
