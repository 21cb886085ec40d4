/* SPDX-License-Identifier: MIT */
/*
 * From C files or finished objects to a payload, when the target is open: what `usplice cc` and `usplice build` share.
 */
#ifndef BUILD_CC_H
#define BUILD_CC_H

#include <usplice/build.h>

#include "build/against.h"
#include "build/compile.h"
#include "build/workdir.h"

/* Steps 2 to 6 of cc.c. */
_must_check_ struct usp_error *cc_finish(const struct usp_cc_options *options, struct against *against,
					 const struct workdir *workdir, const struct compiler *compiler);

#endif
