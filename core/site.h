/* SPDX-License-Identifier: MIT */
/*
 * Making an engine_site from a function: diverted to its replacement, or blanked in part. Pure; what the
 * bytes are is read by the host.
 */
#ifndef CORE_SITE_H
#define CORE_SITE_H

#include "core/engine.h"

/*
 * The function at entry (code: its first n bytes as they are in the untouched target; size: of all of it)
 * jumps to `to`. The bytes found are the expected ones. -CORE_ENOSPC: the function is shorter than that
 * takes, or n is too small; -CORE_ERANGE: out of reach; -CORE_EINVAL: misaligned.
 */
int site_divert(const struct arch_ops *arch, uint64_t entry, const uint8_t *code, size_t n, uint64_t size,
		uint64_t to, struct engine_site *site);

/*
 * Blanks [offset, offset + length) of the function at entry; code is the whole of it, n bytes. -CORE_EINVAL:
 * not 1 to 31 bytes, out of the function, or an instruction would be cut. decode: see
 * arch_ops.check_boundaries.
 */
int site_blank(const struct arch_ops *arch, uint64_t entry, const uint8_t *code, size_t n, size_t offset,
	       size_t length, arch_decode_fn *decode, void *context, struct engine_site *site);

#endif
