// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include "process/proc_stat.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

int proc_status_read(int dirfd, const char *path, const char *key, int64_t *ret)
{
	char text[4096];
	ssize_t n = read_file(dirfd, path, text, sizeof(text));
	if (n < 0)
		return (int)n;
	size_t length = strlen(key);
	/* Name is the first line, and the kernel escapes newlines in it: a line's start is one. */
	for (const char *line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, key, length) || line[length] != ':')
			continue;
		char *end;
		errno = 0;
		*ret = strtoll(line + length + 1, &end, 10);
		return errno || end == line + length + 1 ? -EBADMSG : 0;
	}
	return -EBADMSG;
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
