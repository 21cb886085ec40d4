// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include "process/remote/memfd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "process/remote/borrow.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8u
#endif

static struct usp_error *close_one(struct remote *remote, uint64_t fd)
{
	int64_t result;
	return remote_syscall_ok(remote, "close", SYS_close, (const uint64_t[6]){fd}, &result);
}

struct usp_error *remote_memfd_sweep(struct remote *remote, const char *name)
{
	char wanted[64], link[64];
	int length = snprintf(wanted, sizeof(wanted), REMOTE_MEMFD_MAPPING("%s"), name);
	int fd = target_openat(remote->target, O_RDONLY | O_DIRECTORY, "fd");
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	if (!dir) {
		int e = fd < 0 ? -fd : errno;
		if (fd >= 0)
			close(fd);
		return usp_error_errno(USP_FAILED, e, "cannot list the descriptors of %s (%d)",
				       remote->target->name, remote->target->pid);
	}
	struct usp_error *error = NULL;
	for (struct dirent *entry; !error && (entry = readdir(dir));)
		if (readlinkat(fd, entry->d_name, link, sizeof(link)) == length &&
		    !memcmp(link, wanted, (size_t)length))
			error = close_one(remote, strtoul(entry->d_name, NULL, 10));
	closedir(dir);
	return error;
}

/* The soft RLIMIT_FSIZE. Not by prlimit(): that takes CAP_SYS_RESOURCE over another user's process. */
static int file_size_limit(const struct target *target, uint64_t *limit)
{
	static const char line_name[] = "Max file size";
	char text[4096];
	_cleanup_close_ int fd = target_openat(target, O_RDONLY, "limits");
	ssize_t n = fd < 0 ? fd : read(fd, text, sizeof(text) - 1);
	if (n <= 0)
		return fd < 0 ? fd : n ? -errno : -EIO;
	text[n] = 0;
	char *line = strstr(text, line_name);
	if (!line)
		return -EIO;
	line += strlen(line_name);
	line += strspn(line, " ");
	*limit = strncmp(line, "unlimited", 9) ? strtoull(line, NULL, 10) : UINT64_MAX;
	return 0;
}

static struct usp_error *check_size(const struct target *target, uint64_t size)
{
	uint64_t limit;
	int r = file_size_limit(target, &limit);
	if (r < 0)
		return usp_error_errno(USP_FAILED, -r, "cannot read the limits of %s (%d)", target->name,
				       target->pid);
	if (limit >= size)
		return NULL;
	return usp_errorf(USP_UNSUPPORTED,
			  "%s (%d) may not make a file of %lu bytes (RLIMIT_FSIZE is %lu), so usplice "
			  "cannot map memory in it by name; raise it with prlimit",
			  target->name, target->pid, size, limit);
}

struct usp_error *remote_memfd_open(struct remote *remote, const char *name, uint64_t name_address,
				    uint64_t size, uint64_t *fd)
{
	int64_t result;
	struct usp_error *error = check_size(remote->target, size);
	if (!error)
		error = remote_memfd_sweep(remote, name);
	if (!error)
		error = remote_syscall(remote, SYS_memfd_create,
				       (const uint64_t[6]){name_address, MFD_CLOEXEC}, &result);
	if (!error && result == -EACCES) /* vm.memfd_noexec=2: not to be run; it may be mapped */
		error = remote_syscall(remote, SYS_memfd_create,
				       (const uint64_t[6]){name_address, MFD_CLOEXEC | MFD_NOEXEC_SEAL},
				       &result);
	if (!error && result < 0)
		error = usp_error_errno(USP_FAILED, (int)-result, "memfd_create in %s (%d) failed",
					remote->target->name, remote->target->pid);
	if (error)
		return error;
	*fd = (uint64_t)result;
	error = remote_syscall_ok(remote, "ftruncate", SYS_ftruncate, (const uint64_t[6]){*fd, size},
				  &result);
	return error ? remote_memfd_close(remote, *fd, error) : NULL;
}

struct usp_error *remote_memfd_close(struct remote *remote, uint64_t fd, struct usp_error *error)
{
	struct usp_error *second = close_one(remote, fd);
	if (!error)
		return second;
	usp_error_destroy(second);
	return error;
}
