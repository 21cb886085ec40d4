/* SPDX-License-Identifier: MIT */
/*
 * The phases of an action on its timeline. The engine's steps are all to be seen in what it asks of its host,
 * so where there is a timeline the host's table of operations is another one, which notes when each begins
 * and ends and otherwise does the same. Without a timeline nothing of this is run.
 */
#ifndef PROCESS_HOST_TIMELINE_H
#define PROCESS_HOST_TIMELINE_H

#include "process/host/host.h"

/* The table for this host. Sets host->marks, freed with free(). */
const struct host_ops *host_timeline_ops(struct host *host);

#endif
