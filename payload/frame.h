/* SPDX-License-Identifier: MIT */
/*
 * .eh_frame: walking its records (CIEs and FDEs) and writing the sorted table, .eh_frame_hdr. What a record
 * says about registers is not looked at. Never trusts a length, an offset or an encoding.
 */
#ifndef PAYLOAD_FRAME_H
#define PAYLOAD_FRAME_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define PAYLOAD_FRAME_HEADER_SIZE 12u
#define PAYLOAD_FRAME_ENTRY_SIZE  8u

struct payload_frame {
	uint64_t record;      /* address of the FDE */
	uint64_t start, size; /* what code it covers */
};

/* Adds the number of FDEs in not yet relocated records to *n. */
_must_check_ struct usp_error *payload_frames_count(const uint8_t *data, size_t size, size_t *n);

/*
 * The FDEs of relocated records that lie at address (without the terminator), sorted by start. frames has
 * room for n; that there are n of them is checked.
 */
_must_check_ struct usp_error *payload_frames_read(const uint8_t *data, size_t size, uint64_t address,
						   struct payload_frame *frames, size_t n);

/* The frame that covers address, or NULL. frames as from payload_frames_read(), not overlapping. */
const struct payload_frame *payload_frames_find(const struct payload_frame *frames, size_t n,
						uint64_t address);

/* Writes .eh_frame_hdr, to lie at address, for the records at eh_frame. All within 2 GiB of each other. */
void payload_frames_write_table(const struct payload_frame *frames, size_t n, uint64_t address,
				uint64_t eh_frame, uint8_t *table);

#endif
