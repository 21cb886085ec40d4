/* SPDX-License-Identifier: MIT */
/*
 * Opening files by names that a target gave: inside its root directory, never out of it, never anything but a
 * regular file, and never blocking on one.
 */
#ifndef PROCESS_ELF_ROOTFILE_H
#define PROCESS_ELF_ROOTFILE_H

#include <sys/stat.h>

#include "base/compiler.h"

/*
 * Opens path (absolute or not: from the root) read-only, links resolved as in a chroot to rootfd. The
 * descriptor or -errno (-EINVAL: not a regular file). st is what it is.
 */
_must_check_ int rootfile_open(int rootfd, const char *path, struct stat *st);

/* The same for a name below dirfd that may be one of proc's magic links. */
_must_check_ int rootfile_open_magic(int dirfd, const char *name, struct stat *st);

#endif
