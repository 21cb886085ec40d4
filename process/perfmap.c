// SPDX-License-Identifier: MIT
/*
 * Lines are "START SIZE name [usplice payload]", in hex without 0x. The file's directory is the target's and
 * hostile: opened beneath the target's root with no symbolic link followed, and only a regular file is
 * touched.
 */
#define _GNU_SOURCE
#include "process/perfmap.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define OUR_MARK  " [usplice "
#define FILE_MAX_ (16u << 20)

/* The target's pid as its own PID namespace has it: the last number of NSpid. */
static pid_t inner_pid(const struct target *target)
{
	char text[8192];
	_cleanup_close_ int fd = target_openat(target, O_RDONLY, "status");
	ssize_t n = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;
	if (n <= 0)
		return 0;
	text[n] = 0;
	char *line = strstr(text, "\nNSpid:");
	if (!line)
		return target->pid;
	char *end = strchr(line + 1, '\n');
	if (end)
		*end = 0;
	char *last = strrchr(line + 1, '\t');
	return last ? (pid_t)strtol(last + 1, NULL, 10) : 0;
}

static int open_beneath(int root, const char *path, uint64_t flags)
{
	struct open_how how = {
		.flags = flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK,
		.mode = flags & O_CREAT ? 0644 : 0,
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};
	return (int)syscall(SYS_openat2, root, path, &how, sizeof(how));
}

/* What replaces a function goes by that function's name: it is what people look for. */
static const char *name_for_people(const struct record *record, const struct record_code *code)
{
	for (size_t i = 0; i < record->n_functions; i++)
		if (record->functions[i].new_address == code->address)
			return record->functions[i].name;
	return code->name;
}

static void print_lines(FILE *out, const struct registry *registry)
{
	for (int i = 0; i < REGISTRY_PAYLOADS_MAX; i++) {
		const struct record *record = registry->records[i];
		for (size_t k = 0; record && k < record->n_code; k++) {
			fprintf(out, "%lx %lx ", record->code[k].address, record->code[k].size);
			for (const char *c = name_for_people(record, &record->code[k]); *c; c++)
				fputc(isgraph((unsigned char)*c) ? *c : '?', out);
			fprintf(out, OUR_MARK "%s]\n", record->name);
		}
	}
}

/* Whether text has a line that usplice did not write. */
static bool has_foreign_line(const char *text)
{
	while (*text) {
		const char *end = strchrnul(text, '\n');
		const char *mark = memmem(text, (size_t)(end - text), OUR_MARK, strlen(OUR_MARK));
		if (end > text && !mark)
			return true;
		text = *end ? end + 1 : end;
	}
	return false;
}

static int read_existing(int fd, char **text)
{
	struct stat st;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || st.st_nlink != 1 || st.st_size > FILE_MAX_)
		return -EINVAL;
	*text = calloc(1, (size_t)st.st_size + 1);
	if (!*text)
		return -ENOMEM;
	ssize_t n = pread(fd, *text, (size_t)st.st_size, 0);
	return n < 0 ? -errno : 0;
}

static int write_all(int fd, const char *text, size_t size)
{
	while (size) {
		ssize_t n = write(fd, text, size);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		text += n;
		size -= (size_t)n;
	}
	return 0;
}

/* Those of our lines that the file does not have yet. */
static int append_missing(int fd, const char *existing, char *lines)
{
	int r = lseek(fd, 0, SEEK_END) < 0 ? -errno : 0;
	for (char *line = lines; !r && *line;) {
		char *end = strchrnul(line, '\n');
		char saved = *end;
		*end = 0;
		bool there = strstr(existing, line) != NULL;
		*end = saved;
		if (!there)
			r = write_all(fd, line, (size_t)(end - line) + (saved != 0));
		line = saved ? end + 1 : end;
	}
	return r;
}

static int update(int root, const char *path, char *lines)
{
	_cleanup_free_ char *existing = NULL;
	_cleanup_close_ int fd = open_beneath(root, path, O_RDWR | (*lines ? O_CREAT : 0));
	if (fd < 0)
		return !*lines && errno == ENOENT ? 0 : -errno;
	int r = read_existing(fd, &existing);
	if (r < 0)
		return r;
	if (has_foreign_line(existing))
		return append_missing(fd, existing, lines);
	if (ftruncate(fd, 0) < 0 || lseek(fd, 0, SEEK_SET) < 0)
		return -errno;
	r = write_all(fd, lines, strlen(lines));
	if (!r && !*lines) {
		_cleanup_close_ int directory = open_beneath(root, "/tmp", O_RDONLY | O_DIRECTORY);
		if (directory < 0 || unlinkat(directory, strrchr(path, '/') + 1, 0) < 0)
			r = -errno;
	}
	return r;
}

void perfmap_update(struct session *session)
{
	_cleanup_free_ char *lines = NULL;
	size_t size;
	FILE *out = open_memstream(&lines, &size);
	if (!out)
		return;
	print_lines(out, session->registry);
	fclose(out);
	char path[64];
	pid_t pid = inner_pid(session->target);
	_cleanup_close_ int root = target_openat(session->target, O_PATH | O_DIRECTORY, "root");
	snprintf(path, sizeof(path), "/tmp/perf-%d.map", pid);
	int r = root < 0 ? root : pid <= 0 ? -ESRCH : update(root, path, lines);
	if (r < 0)
		session_log(session, USP_LOG_WARNING, "perf", "cannot keep %s for perf: %s", path,
			    strerror(-r));
}
