/* SPDX-License-Identifier: MIT */
/*
 * Files as a process of the build sees them: in its own root directory and from its own working directory,
 * also when it has ended. And copies of them, by content.
 */
#ifndef BUILD_CAPTURE_FILE_H
#define BUILD_CAPTURE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "base/error.h"

#define CAPTURE_FILE_MAX ((size_t)4 << 30) /* bytes, of one file that is read */

struct capture_place {
	int root, directory; /* open, both; -1 when closed */
	char *name;	     /* of the working directory */
};

/* That of a live process. 0 or -errno. */
_must_check_ int capture_place_open(pid_t pid, struct capture_place *ret);
void capture_place_close(struct capture_place *place);
/* A path by which this process reaches what that one calls `file`. The caller frees. NULL: out of memory. */
char *capture_place_reach(const struct capture_place *place, const char *file);
/* The absolute name of it, "." and ".." taken away by name. Likewise. */
char *capture_place_name(const struct capture_place *place, const char *file);

enum capture_format {
	CAPTURE_NO_FILE, /* nothing there, or no regular file */
	CAPTURE_OTHER,
	CAPTURE_RELOCATABLE,
	CAPTURE_LINKED, /* executables, shared libraries */
	CAPTURE_ARCHIVE,
	CAPTURE_BITCODE, /* of LLVM: an object that is compiled at link time */
};

_must_check_ struct usp_error *capture_file_format(const char *path, enum capture_format *ret);

/* To find out later whether the file was written. */
struct capture_stamp {
	bool known; /* false: there was no file, or one so new that its time may say nothing */
	dev_t device;
	ino_t inode;
	off_t size;
	struct timespec modified, changed;
};

struct capture_stamp capture_file_stamp(const char *path);
/* False only if certainly nobody wrote it since. */
bool capture_file_written(const char *path, const struct capture_stamp *before);

_must_check_ struct usp_error *capture_hash(const void *bytes, size_t size, uint8_t *hash);
_must_check_ struct usp_error *capture_file_hash(const char *path, uint8_t *hash);
/* The same, and copies it into the store unless it is there. */
_must_check_ struct usp_error *capture_file_store(const char *path, const char *store, uint8_t *hash);
/* Where it is in the store. The caller frees. NULL: out of memory. */
char *capture_stored_path(const char *store, const uint8_t *hash);

#endif
