/* SPDX-License-Identifier: MIT */
/*
 * Will every name that the payload uses be there? In a running process that is known; for a file it is looked
 * up as far as can be. The addresses given to the image are made up: within reach of it, and not in it.
 */
#ifndef BUILD_RESOLVE_H
#define BUILD_RESOLVE_H

#include <usplice/build.h>

#include "build/against.h"
#include "build/libraries.h"
#include "payload/image.h"

struct resolver {
	const struct usp_cc_options *options;
	const struct against *against;
	uint64_t address; /* what every name "is" */
	bool opened;
	struct libraries libraries; /* opened when first needed */
};

/* A payload_resolve_fn; the context is a struct resolver. */
_must_check_ struct usp_error *resolve_reference(void *context, const struct payload_reference *reference,
						 struct payload_value *value);
void resolver_deinit(struct resolver *resolver);

#endif
