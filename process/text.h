/* SPDX-License-Identifier: MIT */
/*
 * The one place that writes the target's own text. Through /proc/PID/mem, so page protections never change.
 */
#ifndef PROCESS_TEXT_H
#define PROCESS_TEXT_H

#include "core/host.h"
#include "process/target.h"

/*
 * Writes each of v (1 to 31 bytes) in order, after checking that the expected bytes are there, then reads back.
 * *done: how many. -EBADMSG: the bytes of v[*done] differ, and nothing was written of it; -EIO: a read-back
 * differs; or -errno of the system call. What became of those behind v[*done] is not known then.
 */
_must_check_ int text_write(const struct target *target, const struct host_write *v, size_t n, size_t *done);

/*
 * Makes the pages of [address, address + n) the target's own (copy-on-write done) without changing a byte, so
 * that a later write is quick and cannot fail for lack of memory.
 */
_must_check_ int text_prepare(const struct target *target, uint64_t address, size_t n);

#endif
