/* SPDX-License-Identifier: MIT */
/*
 * Lengths of time, as people write and read them. Independent of the locale.
 */
#ifndef CLI_DURATION_H
#define CLI_DURATION_H

#include <stdbool.h>
#include <stdint.h>

/*
 * "2", "0.25", "250ms", "2s" -> milliseconds, rounded to the nearest. A bare number is in units of unit_ms
 * (1000: seconds, 1: milliseconds). False: not a length of time, above 2^32-1 ms, or below 1 ms and not 0.
 */
bool duration_parse(const char *word, uint32_t unit_ms, uint32_t *ret);

/* "0.31 ms", "1.2 s", "12 us": three significant digits at most. buf: 16 bytes. */
const char *duration_format(uint64_t ns, char buf[16]);

#endif
