/* SPDX-License-Identifier: MIT */
/* Which registers code reads after a point before it writes them: what it relies on there. */
#ifndef PROCESS_CLOBBER_LIVE_H
#define PROCESS_CLOBBER_LIVE_H

#include "process/clobber/defined.h"

struct live {
	clobber_set certain;  /* an instruction reads it */
	clobber_set perhaps;  /* it may be an argument of a call that cannot be looked into, or is pushed */
	clobber_set out;      /* unwritten at a return */
	clobber_set returned; /* of these: may be the return value (clobber.c's) */
	uint64_t at[64];      /* per register: where it is read, first found */
};

/* What a function reads for certain of what it is entered with. */
clobber_set live_at_entry(struct analysis *a, uint64_t entry);

/* What is read from start on, of the registers in set, before it is written. defined: of the function there.
 */
void live_walk(struct analysis *a, uint64_t start, clobber_set set, const struct defined *defined,
	       struct live *ret);

#endif
