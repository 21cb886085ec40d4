// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include "process/elf/rootfile.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/syscall.h>

/*
 * First a descriptor that only names the file: opening a fifo waits and opening a device may do anything.
 * What it names cannot change any more when it is opened for reading.
 */
static int reopen_regular(int pathfd, struct stat *st)
{
	char name[32];
	if (fstat(pathfd, st) < 0)
		return -errno;
	if (!S_ISREG(st->st_mode))
		return -EINVAL;
	snprintf(name, sizeof(name), "/proc/self/fd/%d", pathfd);
	int fd = open(name, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	return fd < 0 ? -errno : fd;
}

int rootfile_open(int rootfd, const char *path, struct stat *st)
{
	struct open_how how = {
		.flags = O_PATH | O_CLOEXEC,
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
	};
	_cleanup_close_ int pathfd = -1;
	for (int tries = 0; tries < 32; tries++) {
		pathfd = (int)syscall(SYS_openat2, rootfd, path, &how, sizeof(how));
		if (pathfd >= 0 || errno != EAGAIN) /* a rename somewhere meanwhile */
			break;
	}
	return pathfd < 0 ? -errno : reopen_regular(pathfd, st);
}

int rootfile_open_magic(int dirfd, const char *name, struct stat *st)
{
	_cleanup_close_ int pathfd = openat(dirfd, name, O_PATH | O_CLOEXEC);
	return pathfd < 0 ? -errno : reopen_regular(pathfd, st);
}
