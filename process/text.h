/* SPDX-License-Identifier: MIT */
/*
 * The one place that writes the target's own text. Through /proc/PID/mem, so page protections never change.
 */
#ifndef PROCESS_TEXT_H
#define PROCESS_TEXT_H

#include "process/target.h"

/*
 * Writes n bytes (1 to 31) at address after checking that `expected` (n bytes) are there, then reads back.
 * -EBADMSG when the bytes differ (nothing was written), -EIO when the read-back differs, or -errno of the
 * system call.
 */
_must_check_ int text_write(const struct target *target, uint64_t address, const void *expected,
			    const void *bytes, size_t n);

/*
 * Makes the pages of [address, address + n) the target's own (copy-on-write done) without changing a byte, so
 * that a later write is quick and cannot fail for lack of memory.
 */
_must_check_ int text_prepare(const struct target *target, uint64_t address, size_t n);

#endif
