/* SPDX-License-Identifier: MIT */
/*
 * The core sync of the process host: membarrier(PRIVATE_EXPEDITED_SYNC_CORE), run inside the target. When it
 * returns, every CPU that runs one of the target's threads has executed a serialising instruction, and the
 * others will before they return to one.
 */
#ifndef PROCESS_MEMBARRIER_H
#define PROCESS_MEMBARRIER_H

#include "process/remote/remote.h"

/* Registers the target for it; needed once in a process's life, and slow (it may take some milliseconds). */
_must_check_ struct usp_error *membarrier_register(struct remote *remote);

/* One sync. Registers first where that was not done yet (a child forked meanwhile). */
_must_check_ struct usp_error *membarrier_sync(struct remote *remote);

#endif
