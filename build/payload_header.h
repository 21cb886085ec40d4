/* SPDX-License-Identifier: MIT */
/*
 * The text of <usplice/payload.h>, made part of the library by embed.py: a payload is always compiled with
 * the header of the version that reads it, installed or not.
 */
#ifndef BUILD_PAYLOAD_HEADER_H
#define BUILD_PAYLOAD_HEADER_H

#include <stddef.h>

extern const char payload_header[];
extern const size_t payload_header_size;

#endif
