/* SPDX-License-Identifier: MIT */
/*
 * What makes an image readable as a small ELF shared object: header, program headers, section headers, symbol
 * table. Addresses in it are relative to the image's start, as in any shared object.
 */
#ifndef PAYLOAD_IMAGE_ELF_H
#define PAYLOAD_IMAGE_ELF_H

#include "payload/file.h"
#include "payload/image.h"

/* Writes them into image->bytes, whose segments are set, and fills in image->functions. */
_must_check_ struct usp_error *payload_image_write_elf(const struct payload_file *file,
						       struct payload_image *image);

#endif
