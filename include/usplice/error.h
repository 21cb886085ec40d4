/* SPDX-License-Identifier: MIT */
/*
 * Error objects: a code for programs and a sentence for people.
 *
 * A function that can fail returns a `struct usp_error *`: NULL is success. The caller owns what it gets and
 * gives it back with usp_error_destroy(). There is a static object for "out of memory", so that reporting a
 * failure never fails. The shape (an object that names the thing) was seen in drgn.
 */
#ifndef USPLICE_ERROR_H
#define USPLICE_ERROR_H

#ifdef __cplusplus
extern "C" {
#endif

/* What libusplice exports, and nothing else. */
#ifndef USP_API
#define USP_API __attribute__((visibility("default")))
#endif

/*
 * What went wrong, coarsely. The values are the exit codes of the `usplice` command and never change meaning.
 */
enum usp_code {
	USP_OK = 0,	       /* done */
	USP_FAILED = 1,	       /* anything without a code of its own (out of memory, an unexpected errno) */
	USP_USAGE = 2,	       /* the request itself makes no sense */
	USP_NOT_FOUND = 3,     /* no such process, payload, function or file */
	USP_EXISTS = 4,	       /* name, build-id or symbol is there already */
	USP_WRONG_STATE = 5,   /* the payload is not in the state that the action starts from */
	USP_ORDER = 6,	       /* not on top of the stack, or what it depends on is not */
	USP_MISMATCH = 7,      /* the target is not what the payload was made for (build-id, bytes, size) */
	USP_NOT_QUIESCENT = 8, /* somebody stayed inside until the deadline; nothing was changed */
	USP_VETO = 9,	       /* a hook said no; nothing was changed */
	USP_PERMISSION = 10,   /* not enough rights over the target, or another tracer has it */
	USP_BUSY = 11,	       /* another action is in flight */
	USP_BAD_PAYLOAD = 12,  /* the payload file is malformed or not allowed */
	USP_GONE = 13,	       /* the target exited or executed another program meanwhile */
	USP_UNSUPPORTED = 14,  /* understood, and not supported; said in the documentation */
	USP_AMBIGUOUS = 15,    /* more than one match; the message lists them */
	USP_NO_CHANGE = 16,    /* the source patch changes no code of the target: there is nothing to patch */
};

struct usp_error {
	enum usp_code code;
	int errno_value;     /* the errno behind it, 0 if none */
	const char *message; /* UTF-8, no newline at the end: what, where, what to do about it */
};

/* Frees an error object; NULL and the static objects are fine. Thread safe. */
USP_API void usp_error_destroy(struct usp_error *error);

#ifdef __cplusplus
}
#endif
#endif
