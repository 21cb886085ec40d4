/* SPDX-License-Identifier: MIT */
/*
 * The texts of <usplice/payload.h> and <usplice/shadow.h>, made part of the library by embed.py: a payload is always
 * compiled with the headers of the version that reads it, installed or not.
 */
#ifndef BUILD_PAYLOAD_HEADER_H
#define BUILD_PAYLOAD_HEADER_H

#include <stddef.h>

extern const char payload_header[];
extern const size_t payload_header_size;
extern const char shadow_header[];
extern const size_t shadow_header_size;

#endif
