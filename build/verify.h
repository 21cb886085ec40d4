/* SPDX-License-Identifier: MIT */
/*
 * The last look at a finished payload: it is read as upload reads it, every relocation is carried out, every
 * name looked up, and the registers that callers rely on are compared.
 */
#ifndef BUILD_VERIFY_H
#define BUILD_VERIFY_H

#include <usplice/build.h>

#include "build/against.h"

_must_check_ struct usp_error *verify_payload(const struct usp_cc_options *options,
					      const struct against *against, const void *bytes, size_t size);

#endif
