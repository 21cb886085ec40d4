// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include "process/busy.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define STACK_LOOK_MAX (1u << 20) /* bytes: deeper frames are not looked for here */
#define LINES_MAX      64

/* Stack pointer and instruction pointer of a sleeping thread; false when it runs or cannot be asked. */
static bool where_it_sleeps(const struct target *target, const char *tid, uint64_t *sp, uint64_t *ip)
{
	char text[512];
	_cleanup_close_ int fd = target_openat(target, O_RDONLY, "task/%s/syscall", tid);
	ssize_t n = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;
	if (n <= 0)
		return false;
	text[n] = 0;
	char *end = strrchr(text, ' ');
	if (!end)
		return false;
	*ip = strtoull(end + 1, NULL, 16);
	*end = 0;
	char *before = strrchr(text, ' ');
	if (!before)
		return false;
	*sp = strtoull(before + 1, NULL, 16);
	return *ip && *sp;
}

/* The plan's function that holds an address in its old code past the entry, or -1. */
static int function_at(const struct plan *plan, uint64_t address)
{
	for (size_t i = 0; i < plan->payload->n_functions; i++)
		for (size_t k = 0; k < plan->functions[i].ranges.n; k++)
			if (address >= plan->functions[i].ranges.v[k].start &&
			    address < plan->functions[i].ranges.v[k].end &&
			    address != plan->functions[i].old_address)
				return (int)i;
	return -1;
}

static int find_on_stack(const struct session *session, const struct plan *plan, uint64_t sp, uint64_t ip)
{
	int found = function_at(plan, ip);
	const struct mapping *mapping = maps_find(&session->maps, sp);
	if (found >= 0 || !mapping)
		return found;
	uint64_t start = sp & ~7ull;
	size_t size = mapping->end - start < STACK_LOOK_MAX ? mapping->end - start : STACK_LOOK_MAX;
	_cleanup_free_ uint64_t *words = malloc(size);
	if (!words || target_read(session->target, start, words, size) < 0)
		return -1;
	for (size_t i = 0; i < size / 8 && found < 0; i++)
		found = function_at(plan, words[i]);
	return found;
}

static char *describe(const struct session *session, const struct plan *plan, const char *tid, int function)
{
	char comm[32] = "";
	_cleanup_close_ int fd = target_openat(session->target, O_RDONLY, "task/%s/comm", tid);
	ssize_t n = fd >= 0 ? read(fd, comm, sizeof(comm) - 1) : 0;
	comm[n > 0 ? n : 0] = 0;
	for (char *c = comm; *c; c++)
		if (!isprint((unsigned char)*c))
			*c = *c == '\n' ? 0 : '?';
	char *line;
	return asprintf(&line, "%s %s: %s", tid, comm, plan->functions[function].name) < 0 ? NULL : line;
}

struct usp_error *busy_threads(const struct session *session, const struct plan *plan, char ***lines,
			       size_t *n)
{
	*n = 0;
	*lines = calloc(LINES_MAX, sizeof(**lines));
	if (!*lines)
		return &usp_error_no_memory;
	int fd = target_openat(session->target, O_RDONLY | O_DIRECTORY, "task");
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	if (!dir) {
		int r = fd < 0 ? -fd : errno;
		if (fd >= 0)
			close(fd);
		free(*lines);
		*lines = NULL;
		return usp_error_errno(USP_FAILED, r, "cannot list the threads of process %d",
				       session->target->pid);
	}
	for (struct dirent *entry; *n < LINES_MAX && (entry = readdir(dir));) {
		uint64_t sp, ip;
		if (!isdigit((unsigned char)entry->d_name[0]) ||
		    !where_it_sleeps(session->target, entry->d_name, &sp, &ip))
			continue;
		int function = find_on_stack(session, plan, sp, ip);
		char *line = function >= 0 ? describe(session, plan, entry->d_name, function) : NULL;
		if (line)
			(*lines)[(*n)++] = line;
	}
	closedir(dir);
	return NULL;
}
