/* SPDX-License-Identifier: MIT */
/*
 * What stays mapped in the target for remote work. Both parts are private mappings of a memfd, so that they
 * show by name in the maps and whatever a killed controller left half done is found and used again.
 */
#define _GNU_SOURCE
#include "process/remote/borrow.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#define AREA_NAME    "usplice-area"
#define AREA_MAPPING "/memfd:" AREA_NAME " (deleted)"
#define AREA_SIZE    (REMOTE_CODE_SIZE + REMOTE_STACK_SIZE)

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8u
#endif

_Static_assert(sizeof(AREA_NAME) <= REMOTE_SLOT_STRING_SIZE, "the name is passed in the slot");

static bool is_part(const struct mapping *m, uint64_t size, int prot)
{
	return !m->shared && m->prot == prot && m->end - m->start == size && !strcmp(m->name, AREA_MAPPING);
}

bool remote_find_area(const struct maps *maps, struct remote_area *area)
{
	*area = (struct remote_area){0};
	for (size_t i = 0; i < maps->n; i++) {
		const struct mapping *m = &maps->v[i];
		if (!area->code && is_part(m, REMOTE_CODE_SIZE, PROT_READ | PROT_EXEC))
			area->code = m->start;
		if (!area->stack && is_part(m, REMOTE_STACK_SIZE, PROT_READ | PROT_WRITE))
			area->stack = m->start;
	}
	return area->code && area->stack;
}

bool remote_area_valid(const struct maps *maps, const struct remote_area *area)
{
	const struct mapping *code = maps_find(maps, area->code), *stack = maps_find(maps, area->stack);
	return code && stack && code->start == area->code && stack->start == area->stack &&
	       is_part(code, REMOTE_CODE_SIZE, PROT_READ | PROT_EXEC) &&
	       is_part(stack, REMOTE_STACK_SIZE, PROT_READ | PROT_WRITE);
}

static struct usp_error *call(struct remote *remote, const char *what, long number, const uint64_t args[6],
			      int64_t *result)
{
	struct usp_error *error = remote_syscall(remote, number, args, result);
	if (!error && *result < 0)
		error = usp_error_errno(USP_FAILED, (int)-*result, "%s in %s (%d) failed", what,
					remote->target->name, remote->target->pid);
	return error;
}

/* A controller that was killed before its close left the descriptor. */
static struct usp_error *close_leftovers(struct remote *remote)
{
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
	for (struct dirent *entry; !error && (entry = readdir(dir));) {
		char link[sizeof(AREA_MAPPING) + 1];
		ssize_t n = readlinkat(fd, entry->d_name, link, sizeof(link));
		if (n != (ssize_t)strlen(AREA_MAPPING) || memcmp(link, AREA_MAPPING, (size_t)n))
			continue;
		const uint64_t args[6] = {strtoul(entry->d_name, NULL, 10)};
		int64_t result;
		error = call(remote, "close", SYS_close, args, &result);
	}
	closedir(dir);
	return error;
}

static struct usp_error *make_memfd(struct remote *remote, int64_t *ret)
{
	memcpy(remote->slot.string, AREA_NAME, sizeof(AREA_NAME));
	struct usp_error *error = remote_update_slot(remote);
	if (error)
		return error;
	const uint64_t name = remote->address + offsetof(struct remote_slot, string);
	error = remote_syscall(remote, SYS_memfd_create, (const uint64_t[6]){name, MFD_CLOEXEC}, ret);
	if (!error &&
	    *ret == -EACCES) /* vm.memfd_noexec=2: the file may not be run; mapping it is another matter */
		error = remote_syscall(remote, SYS_memfd_create,
				       (const uint64_t[6]){name, MFD_CLOEXEC | MFD_NOEXEC_SEAL}, ret);
	if (!error && *ret < 0)
		error = usp_error_errno(USP_FAILED, (int)-*ret, "memfd_create in %s (%d) failed",
					remote->target->name, remote->target->pid);
	return error;
}

static struct usp_error *map_part(struct remote *remote, int64_t fd, size_t size, int prot, uint64_t offset,
				  uint64_t *ret)
{
	if (*ret)
		return NULL;
	const uint64_t args[6] = {0, size, (uint64_t)prot, MAP_PRIVATE, (uint64_t)fd, offset};
	int64_t address;
	struct usp_error *error = call(remote, "mmap", SYS_mmap, args, &address);
	if (!error)
		*ret = (uint64_t)address;
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

struct usp_error *remote_area_map(struct remote *remote)
{
	const struct remote_area before = remote->area;
	uint64_t limit;
	int r = file_size_limit(remote->target, &limit);
	if (r < 0)
		return usp_error_errno(USP_FAILED, -r, "cannot read the limits of %s (%d)",
				       remote->target->name, remote->target->pid);
	if (limit < AREA_SIZE) /* ftruncate would send it SIGXFSZ */
		return usp_errorf(USP_UNSUPPORTED,
				  "%s (%d) may not make a file of %u bytes (RLIMIT_FSIZE is %lu), so usplice "
				  "cannot map memory in it by name; raise it with prlimit",
				  remote->target->name, remote->target->pid, AREA_SIZE, limit);
	int64_t fd, result;
	struct usp_error *error = close_leftovers(remote);
	if (!error && !(remote->area.code && remote->area.stack)) {
		error = make_memfd(remote, &fd);
		if (error)
			return error;
		error = call(remote, "ftruncate", SYS_ftruncate, (const uint64_t[6]){(uint64_t)fd, AREA_SIZE},
			     &result);
		if (!error)
			error = map_part(remote, fd, REMOTE_CODE_SIZE, PROT_READ | PROT_EXEC, 0,
					 &remote->area.code);
		if (!error)
			error = map_part(remote, fd, REMOTE_STACK_SIZE, PROT_READ | PROT_WRITE,
					 REMOTE_CODE_SIZE, &remote->area.stack);
		struct usp_error *close_error = NULL;
		if (remote_usable(remote))
			close_error =
				call(remote, "close", SYS_close, (const uint64_t[6]){(uint64_t)fd}, &result);
		if (error)
			usp_error_destroy(close_error);
		else
			error = close_error;
	}
	if (error && !before.code && remote->area.code && remote_usable(remote)) {
		usp_error_destroy(remote_syscall(remote, SYS_munmap,
						 (const uint64_t[6]){remote->area.code, REMOTE_CODE_SIZE},
						 &result));
		remote->area.code = 0;
	}
	return usp_error_prefix(error, "mapping usplice's area");
}
