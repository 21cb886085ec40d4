// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include "build/file.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

struct usp_error *file_read(const char *path, size_t max, uint8_t **bytes, size_t *size)
{
	/* O_NONBLOCK: a FIFO of that name must not make us wait before it is refused. */
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;
	if (fd < 0 || fstat(fd, &st) < 0)
		return usp_error_errno(USP_FAILED, errno, "cannot open %s", path);
	if (!S_ISREG(st.st_mode))
		return usp_errorf(USP_FAILED, "%s is not a regular file", path);
	if ((uint64_t)st.st_size > max)
		return usp_errorf(USP_FAILED, "%s is larger than %zu bytes", path, max);

	_cleanup_free_ uint8_t *buffer = malloc((size_t)st.st_size + 1);
	if (!buffer)
		return &usp_error_no_memory;
	size_t have = 0;
	while (have < (size_t)st.st_size) {
		ssize_t n = read(fd, buffer + have, (size_t)st.st_size - have);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return usp_error_errno(USP_FAILED, errno, "cannot read %s", path);
		if (!n)
			return usp_errorf(USP_FAILED, "%s became shorter while it was read", path);
		have += (size_t)n;
	}
	*bytes = buffer;
	*size = have;
	buffer = NULL;
	return NULL;
}

static int write_all(int fd, const uint8_t *bytes, size_t size)
{
	while (size) {
		ssize_t n = write(fd, bytes, size);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		bytes += n;
		size -= (size_t)n;
	}
	return 0;
}

/* What a file gets that is simply created: 0666 less the umask. There is no way to read the umask but to set
 * it. */
static mode_t created_mode(void)
{
	mode_t mask = umask(022);
	umask(mask);
	return 0666 & ~mask;
}

struct usp_error *file_write(const char *path, const void *bytes, size_t size)
{
	struct stat st;
	if (!stat(path, &st) && !S_ISREG(st.st_mode))
		return usp_errorf(USP_USAGE, "%s is there and is no regular file: it is not written over",
				  path);

	const char *slash = strrchr(path, '/');
	int directory = slash ? (int)(slash - path) + 1 : 0;
	_cleanup_free_ char *temporary = NULL;
	if (asprintf(&temporary, "%.*s.%s.XXXXXX", directory, path, path + directory) < 0) {
		temporary = NULL;
		return &usp_error_no_memory;
	}
	int fd = mkostemp(temporary, O_CLOEXEC);
	if (fd < 0)
		return usp_error_errno(USP_FAILED, errno, "cannot write %s", path);
	int r = write_all(fd, bytes, size);
	if (!r && fchmod(fd, created_mode()) < 0)
		r = -errno;
	if (close(fd) < 0 && !r)
		r = -errno;
	if (!r && rename(temporary, path) < 0)
		r = -errno;
	if (r) {
		unlink(temporary);
		return usp_error_errno(USP_FAILED, -r, "cannot write %s", path);
	}
	return NULL;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *where)
{
	(void)st, (void)type, (void)where;
	remove(path);
	return 0;
}

void file_remove_tree(const char *path)
{
	nftw(path, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}
