// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include "build/capture/file.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "build/file.h"
#include "payload/hash.h"

/* A time stamp this fresh may be the same after another write: file systems' clocks go in ticks. */
#define STAMP_FRESH_S 2

int capture_place_open(pid_t pid, struct capture_place *ret)
{
	char path[64], name[PATH_MAX];
	*ret = (struct capture_place){.root = -1, .directory = -1};
	snprintf(path, sizeof(path), "/proc/%d/cwd", (int)pid);
	ssize_t n = readlink(path, name, sizeof(name) - 1);
	if (n < 0)
		return -errno;
	name[n] = '\0';
	ret->directory = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (ret->directory < 0)
		return -errno;
	snprintf(path, sizeof(path), "/proc/%d/root", (int)pid);
	ret->root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int r = ret->root < 0 ? -errno : 0;
	if (!r && !(ret->name = strdup(name)))
		r = -ENOMEM;
	if (r)
		capture_place_close(ret);
	return r;
}

void capture_place_close(struct capture_place *place)
{
	if (place->root >= 0)
		close(place->root);
	if (place->directory >= 0)
		close(place->directory);
	free(place->name);
	*place = (struct capture_place){.root = -1, .directory = -1};
}

char *capture_place_reach(const struct capture_place *place, const char *file)
{
	char *ret;
	int from = *file == '/' ? place->root : place->directory;
	return asprintf(&ret, "/proc/self/fd/%d/%s", from, file) < 0 ? NULL : ret;
}

char *capture_place_name(const struct capture_place *place, const char *file)
{
	char *ret;
	if (asprintf(&ret, "%s/%s", *file == '/' ? "" : place->name, file) < 0)
		return NULL;
	char *to = ret;
	for (const char *at = ret; *at;) {
		at += strspn(at, "/");
		size_t n = strcspn(at, "/");
		if (n == 2 && !memcmp(at, "..", 2)) {
			while (to > ret && *--to != '/')
				;
		} else if (n && !(n == 1 && *at == '.')) {
			*to++ = '/'; /* never past `at`: each word had one before it */
			memmove(to, at, n);
			to += n;
		}
		at += n;
	}
	if (to == ret)
		*to++ = '/';
	*to = '\0';
	return ret;
}

struct usp_error *capture_file_format(const char *path, enum capture_format *ret)
{
	struct stat st;
	*ret = CAPTURE_NO_FILE;
	/* Looked at before it is opened: to open a FIFO or a device is to do something. */
	if (stat(path, &st) < 0) {
		/* What may not be reached from here, the build's processes could not reach either. */
		if (errno == ENOENT || errno == ENOTDIR || errno == ENAMETOOLONG || errno == ELOOP ||
		    errno == EACCES)
			return NULL;
		return usp_error_errno(USP_FAILED, errno, "cannot look at %s", path);
	}
	if (!S_ISREG(st.st_mode))
		return NULL;
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return usp_error_errno(USP_FAILED, errno, "cannot open %s", path);
	unsigned char head[EI_NIDENT + sizeof(Elf64_Half)] = {0};
	ssize_t n = pread(fd, head, sizeof(head), 0);
	if (n < 0)
		return usp_error_errno(USP_FAILED, errno, "cannot read %s", path);
	*ret = CAPTURE_OTHER;
	if (n == (ssize_t)sizeof(head) && !memcmp(head, ELFMAG, SELFMAG)) {
		bool big = head[EI_DATA] == ELFDATA2MSB;
		unsigned type = head[EI_NIDENT + big] | (unsigned)head[EI_NIDENT + !big] << 8;
		if (type == ET_REL)
			*ret = CAPTURE_RELOCATABLE;
		else if (type == ET_EXEC || type == ET_DYN)
			*ret = CAPTURE_LINKED;
	} else if (n >= 8 && (!memcmp(head, "!<arch>\n", 8) || !memcmp(head, "!<thin>\n", 8))) {
		*ret = CAPTURE_ARCHIVE;
	} else if (n >= 4 && (!memcmp(head, "BC\xc0\xde", 4) || !memcmp(head, "\xde\xc0\x17\x0b", 4))) {
		*ret = CAPTURE_BITCODE;
	}
	return NULL;
}

struct capture_stamp capture_file_stamp(const char *path)
{
	struct stat st;
	struct timespec now;
	if (stat(path, &st) < 0 || clock_gettime(CLOCK_REALTIME, &now) < 0)
		return (struct capture_stamp){0};
	return (struct capture_stamp){
		.known = st.st_ctim.tv_sec + STAMP_FRESH_S < now.tv_sec,
		.device = st.st_dev,
		.inode = st.st_ino,
		.size = st.st_size,
		.modified = st.st_mtim,
		.changed = st.st_ctim,
	};
}

static bool same_time(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

bool capture_file_written(const char *path, const struct capture_stamp *before)
{
	struct capture_stamp now = capture_file_stamp(path);
	return !before->known || now.device != before->device || now.inode != before->inode ||
	       now.size != before->size || !same_time(&now.modified, &before->modified) ||
	       !same_time(&now.changed, &before->changed);
}

struct usp_error *capture_hash(const void *bytes, size_t size, uint8_t *hash)
{
	int r = payload_hash(bytes, size, hash);
	return r ? usp_error_errno(USP_FAILED, -r, "cannot compute a hash") : NULL;
}

struct usp_error *capture_file_hash(const char *path, uint8_t *hash)
{
	_cleanup_free_ uint8_t *bytes = NULL;
	size_t size;
	struct usp_error *error = file_read(path, CAPTURE_FILE_MAX, &bytes, &size);
	return error ? error : capture_hash(bytes, size, hash);
}

char *capture_stored_path(const char *store, const uint8_t *hash)
{
	size_t n = strlen(store);
	char *ret = malloc(n + 2 + 2 * PAYLOAD_HASH_SIZE);
	if (!ret)
		return NULL;
	memcpy(ret, store, n);
	ret[n++] = '/';
	for (size_t i = 0; i < PAYLOAD_HASH_SIZE; i++) {
		ret[n++] = "0123456789abcdef"[hash[i] >> 4];
		ret[n++] = "0123456789abcdef"[hash[i] & 15];
	}
	ret[n] = '\0';
	return ret;
}

struct usp_error *capture_file_store(const char *path, const char *store, uint8_t *hash)
{
	_cleanup_free_ uint8_t *bytes = NULL;
	size_t size;
	struct usp_error *error = file_read(path, CAPTURE_FILE_MAX, &bytes, &size);
	if (!error)
		error = capture_hash(bytes, size, hash);
	if (error)
		return error;
	_cleanup_free_ char *stored = capture_stored_path(store, hash);
	if (!stored)
		return &usp_error_no_memory;
	/* Its name says what is in it, and it was put there as a whole. */
	return access(stored, F_OK) ? file_write(stored, bytes, size) : NULL;
}
