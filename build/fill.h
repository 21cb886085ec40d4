/* SPDX-License-Identifier: MIT */
/*
 * Filling in what the target binary tells about each record: address, size, expected bytes, hash. What could
 * not be patched is refused here already.
 */
#ifndef BUILD_FILL_H
#define BUILD_FILL_H

#include <usplice/build.h>

#include "build/against.h"

/* object: the file that payload was read from, whose records are filled in, size bytes. */
_must_check_ struct usp_error *fill_records(const struct usp_cc_options *options,
					    const struct against *against, const struct payload *payload,
					    uint8_t *object, size_t size);

#endif
