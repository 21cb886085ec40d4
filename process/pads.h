/* SPDX-License-Identifier: MIT */
/*
 * The pads of a payload: for each of its sites, a copy of the original instructions (displace.h), laid behind
 * its image. By them a thread that meets a trap where the original code is meant goes on in it. Made at the
 * upload, from the original bytes; writes nothing into the target itself.
 */
#ifndef PROCESS_PADS_H
#define PROCESS_PADS_H

#include "process/record.h"
#include "process/target.h"

struct pads {
	uint8_t *bytes; /* owned */
	size_t size;	/* whole pages; 0: none */
};

/*
 * Sets pad, pad_size and enterable of each function of record, and record->pads_size; the pads lie from
 * image_base + image_size on. A site that can have none has pad 0, and its actions are made by rendezvous.
 */
_must_check_ struct usp_error *pads_make(const struct target *target, struct record *record,
					 struct pads *ret);
void pads_deinit(struct pads *pads);

#endif
