// SPDX-License-Identifier: MIT
/*
 * usplice/process.h: opening and finding processes.
 */
#define _GNU_SOURCE
#include <usplice/process.h>

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "process/registry.h"
#include "process/session.h"

struct usp_error *usp_process_open(pid_t pid, struct usp_process **ret)
{
	struct usp_process *process = calloc(1, sizeof(*process));
	if (!process)
		return &usp_error_no_memory;
	struct usp_error *error = target_open(pid, &process->target);
	if (error) {
		free(process);
		return error;
	}
	*ret = process;
	return NULL;
}

void usp_process_close(struct usp_process *process)
{
	if (!process)
		return;
	target_close(process->target);
	free(process);
}

pid_t usp_process_pid(const struct usp_process *process)
{
	return process->target->pid;
}

/* The file PID/name below proc, as a string without the last newline; false when it cannot be had. */
static bool read_small(int proc, const char *pid, const char *name, char *text, size_t size)
{
	char path[64];
	snprintf(path, sizeof(path), "%s/%s", pid, name);
	_cleanup_close_ int fd = openat(proc, path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, text, size - 1) : -1;
	if (n <= 0)
		return false;
	text[n] = 0;
	text[strcspn(text, "\n")] = 0;
	return true;
}

static bool has_name(int proc, const char *pid, const void *context)
{
	const char *name = context;
	char text[4096], path[64];
	/* comm is cut off at 15 characters. */
	if (read_small(proc, pid, "comm", text, sizeof(text)) && !strcmp(text, name))
		return true;
	snprintf(path, sizeof(path), "%s/exe", pid);
	ssize_t n = readlinkat(proc, path, text, sizeof(text) - 1);
	if (n <= 0)
		return false;
	text[n] = 0;
	char *deleted = strstr(text, " (deleted)");
	if (deleted && !deleted[10])
		*deleted = 0;
	return !strcmp(basename(text), name);
}

static bool has_registry(int proc, const char *pid, const void *context)
{
	char path[64];
	(void)context;
	snprintf(path, sizeof(path), "%s/maps", pid);
	int fd = openat(proc, path, O_RDONLY | O_CLOEXEC);
	FILE *maps = fd >= 0 ? fdopen(fd, "r") : NULL;
	if (!maps) {
		if (fd >= 0)
			close(fd);
		return false;
	}
	bool found = false;
	char *line = NULL;
	size_t size = 0;
	while (!found && getline(&line, &size, maps) > 0) {
		const char *at = strstr(line, REGISTRY_MAPPING);
		char after = at ? at[strlen(REGISTRY_MAPPING)] : 0;
		found = at && (after == ' ' || after == '\n');
	}
	free(line);
	fclose(maps);
	return found;
}

static int compare_pids(const void *a, const void *b)
{
	pid_t x = *(const pid_t *)a, y = *(const pid_t *)b;
	return x < y ? -1 : x > y;
}

static struct usp_error *find_processes(bool (*matches)(int, const char *, const void *), const void *context,
					pid_t **pids, size_t *n)
{
	DIR *proc = opendir("/proc");
	if (!proc)
		return usp_error_errno(USP_FAILED, errno, "cannot read /proc");
	size_t capacity = 0;
	*pids = NULL;
	*n = 0;
	for (struct dirent *entry; (entry = readdir(proc));) {
		if (!isdigit((unsigned char)entry->d_name[0]) ||
		    !matches(dirfd(proc), entry->d_name, context))
			continue;
		if (*n == capacity) {
			capacity = capacity ? 2 * capacity : 16;
			pid_t *more = reallocarray(*pids, capacity, sizeof(**pids));
			if (!more) {
				free(*pids);
				*pids = NULL;
				closedir(proc);
				return &usp_error_no_memory;
			}
			*pids = more;
		}
		(*pids)[(*n)++] = (pid_t)strtol(entry->d_name, NULL, 10);
	}
	closedir(proc);
	if (*n)
		qsort(*pids, *n, sizeof(**pids), compare_pids);
	return NULL;
}

struct usp_error *usp_process_find(const char *name, pid_t **pids, size_t *n)
{
	return find_processes(has_name, name, pids, n);
}

struct usp_error *usp_process_find_patched(pid_t **pids, size_t *n)
{
	return find_processes(has_registry, NULL, pids, n);
}
