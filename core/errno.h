/* SPDX-License-Identifier: MIT */
/*
 * The engine's own error numbers, so that core/ needs no libc. Functions return them negated; the values are
 * Linux's, so that a host on Linux may compare with its <errno.h>, and both headers may be included together.
 */
#ifndef CORE_ERRNO_H
#define CORE_ERRNO_H

enum core_errno {
	CORE_EPERM = 1,	      /* may not: its data may be stale */
	CORE_ENOENT = 2,      /* no such payload */
	CORE_EIO = 5,	      /* what was read or written is not what it must be */
	CORE_E2BIG = 7,	      /* more than the stated maximum */
	CORE_EAGAIN = 11,     /* not now: somebody is inside */
	CORE_EBUSY = 16,      /* in flight, not quiescent in time, or not on top */
	CORE_EEXIST = 17,     /* name, build-id, symbol or bytes are taken already */
	CORE_EINVAL = 22,     /* malformed request, or the wrong state for it */
	CORE_ENOSPC = 28,     /* the place is too short, or the caller's array is */
	CORE_ERANGE = 34,     /* a jump does not reach, or a time is out of bounds */
	CORE_EBADMSG = 74,    /* the bytes found are not the expected ones; nothing was written */
	CORE_EOVERFLOW = 75,  /* an address wraps around */
	CORE_ENOTSUP = 95,    /* understood and not supported */
	CORE_ETIMEDOUT = 110, /* the deadline passed */
	CORE_EALREADY = 114,  /* complete already */
	CORE_ESTALE = 116,    /* of an earlier round */
	CORE_EUCLEAN = 117,   /* an interrupted action must be recovered first */
	CORE_ECANCELED = 125, /* a hook said no */
};

#endif
