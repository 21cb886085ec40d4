/* SPDX-License-Identifier: MIT */
/*
 * Carries out the relocations of an image: finds what each symbol means at its base, asking the host for the
 * target's ones, each once; fills in slots and words; makes thread-local accesses fit what the host says of
 * the variables.
 */
#ifndef PAYLOAD_APPLY_H
#define PAYLOAD_APPLY_H

#include "payload/file.h"
#include "payload/image.h"

/* image: base and bytes are set, and the sections' contents are copied in. */
_must_check_ struct usp_error *payload_apply_relocations(const struct payload_file *file,
							 struct payload_image *image,
							 payload_resolve_fn *resolve, void *context);

#endif
