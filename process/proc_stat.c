// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include "process/proc_stat.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STATUS_SIZE 8192 /* the line of groups may be long */

static void make_printable(char *text)
{
	for (; *text; text++)
		if (*text < ' ' || *text > '~')
			*text = '?';
}

/* Up to size - 1 bytes of the file, ended by a zero. The length or -errno. */
static ssize_t read_file(int dirfd, const char *path, char *buf, size_t size)
{
	_cleanup_close_ int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	size_t n = 0;
	while (n < size - 1) {
		ssize_t r = read(fd, buf + n, size - 1 - n);
		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return -errno;
		if (r == 0)
			break;
		n += (size_t)r;
	}
	buf[n] = '\0';
	return (ssize_t)n;
}

int proc_stat_read(int dirfd, const char *path, struct proc_stat *ret)
{
	char text[1024];
	ssize_t n = read_file(dirfd, path, text, sizeof(text));
	if (n < 0)
		return (int)n;
	/* comm may hold parentheses, spaces and newlines: it ends at the last ')'. */
	char *open = strchr(text, '('), *close = strrchr(text, ')');
	unsigned long long start_time;
	unsigned flags;
	int parent;
	char state;
	if (!open || !close || close < open ||
	    sscanf(close + 1,
		   " %c %d %*d %*d %*d %*d %u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu", &state,
		   &parent, &flags, &start_time) != 4)
		return -EBADMSG;
	*close = '\0';
	snprintf(ret->name, sizeof(ret->name), "%s", open + 1);
	make_printable(ret->name);
	ret->state = state;
	ret->parent = parent;
	ret->flags = flags;
	ret->start_time = start_time;
	return 0;
}

/* What follows "key:" on its line of a status file's text, or NULL. Name is the first line, and the kernel
 * escapes newlines in it: a line's start is one. */
static const char *status_value(const char *text, const char *key)
{
	size_t length = strlen(key);
	for (const char *line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (!strncmp(line, key, length) && line[length] == ':')
			return line + length + 1;
	}
	return NULL;
}

int proc_status_read(int dirfd, const char *path, const char *key, int64_t *ret)
{
	char text[STATUS_SIZE], *end;
	ssize_t n = read_file(dirfd, path, text, sizeof(text));
	if (n < 0)
		return (int)n;
	const char *value = status_value(text, key);
	if (!value)
		return -EBADMSG;
	errno = 0;
	*ret = strtoll(value, &end, 10);
	return errno || end == value ? -EBADMSG : 0;
}

int proc_masks_read(int dirfd, const char *path, struct proc_masks *ret)
{
	static const char *const keys[] = {"SigPnd", "ShdPnd", "SigBlk", "SigCgt"};
	uint64_t values[4];
	char text[STATUS_SIZE];
	ssize_t n = read_file(dirfd, path, text, sizeof(text));
	if (n < 0)
		return (int)n;
	for (size_t i = 0; i < 4; i++) {
		const char *value = status_value(text, keys[i]);
		char *end;
		if (!value)
			return -EBADMSG;
		errno = 0;
		values[i] = strtoull(value, &end, 16);
		if (errno || end == value)
			return -EBADMSG;
	}
	*ret = (struct proc_masks){.pending = values[0] | values[1],
				   .own_pending = values[0],
				   .blocked = values[2],
				   .caught = values[3]};
	return 0;
}

int proc_own_id_read(int dirfd, const char *path, pid_t *ret)
{
	char text[STATUS_SIZE];
	ssize_t n = read_file(dirfd, path, text, sizeof(text));
	if (n < 0)
		return (int)n;
	const char *value = status_value(text, "NSpid");
	if (!value)
		return -ENODATA;
	/* From the outermost namespace to the innermost. */
	for (char *end; *value && *value != '\n'; value = end) {
		long id = strtol(value, &end, 10);
		if (end == value || id <= 0)
			return -EBADMSG;
		*ret = (pid_t)id;
	}
	return 0;
}

int proc_line_read(int dirfd, const char *path, char *buf, size_t size)
{
	ssize_t n = read_file(dirfd, path, buf, size);
	if (n < 0)
		return (int)n;
	buf[strcspn(buf, "\n")] = '\0';
	make_printable(buf);
	return 0;
}
