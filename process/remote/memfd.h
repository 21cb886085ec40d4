/* SPDX-License-Identifier: MIT */
/*
 * Files in the target's memory. What usplice maps there is of such a file, so that it shows by name in the maps and a
 * later controller finds it; the descriptor is open for the mapping only.
 */
#ifndef PROCESS_REMOTE_MEMFD_H
#define PROCESS_REMOTE_MEMFD_H

#include "process/remote/remote.h"

/* How a mapping of such a file is named. */
#define REMOTE_MEMFD_MAPPING(name) "/memfd:" name " (deleted)"

/* Closes the descriptors of this name that a killed controller left. */
_must_check_ struct usp_error *remote_memfd_sweep(struct remote *remote, const char *name);

/*
 * A file of size bytes; its descriptor in *fd. name lies at name_address in the target. What was left of this name is
 * closed first, and this one if it fails. USP_UNSUPPORTED: the target may not make a file of
 * this size, which would be a SIGXFSZ.
 */
_must_check_ struct usp_error *remote_memfd_open(struct remote *remote, const char *name,
						 uint64_t name_address, uint64_t size, uint64_t *fd);

/* Closes it; error, if there was one, or that of closing. */
_must_check_ struct usp_error *remote_memfd_close(struct remote *remote, uint64_t fd,
						  struct usp_error *error);

#endif
