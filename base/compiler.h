/* SPDX-License-Identifier: MIT */
/*
 * What the compiler gives beyond C: scope-bound release (`_cleanup_(fn)` calls fn(&variable) when the
 * variable goes out of scope) and `_must_check_` for results that may not be dropped.
 */
#ifndef BASE_COMPILER_H
#define BASE_COMPILER_H

#include <stdlib.h>
#include <unistd.h>

#define _must_check_  __attribute__((warn_unused_result))
#define _cleanup_(fn) __attribute__((cleanup(fn)))

static inline void cleanup_freep(void *p)
{
	free(*(void **)p);
}

static inline void cleanup_closep(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

#define _cleanup_free_	_cleanup_(cleanup_freep)
#define _cleanup_close_ _cleanup_(cleanup_closep)

#endif
