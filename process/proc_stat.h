/* SPDX-License-Identifier: MIT */
/*
 * What /proc says about one process or thread, read without stopping it. Names in it are hostile (comm may
 * hold anything): parsed from the right end, made printable.
 */
#ifndef PROCESS_PROC_STAT_H
#define PROCESS_PROC_STAT_H

#include <stdint.h>
#include <sys/types.h>

#include "base/compiler.h"

/* Flags of field 9: on its way out; a kernel thread; a kernel worker inside a process (io_uring, vhost). The
 * kernel's PF_...
 */
#define PROC_FLAG_EXITING     0x00000004u
#define PROC_FLAG_KTHREAD     0x00200000u
#define PROC_FLAG_IO_WORKER   0x00000010u
#define PROC_FLAG_USER_WORKER 0x00004000u

struct proc_stat {
	char name[16]; /* comm, made printable */
	char state;    /* R S D T t Z X I */
	pid_t parent;
	uint32_t flags;
	uint64_t start_time; /* clock ticks since boot */
};

/* Reads dirfd/path, a stat file. 0 or -errno (-ENOENT, -ESRCH: gone; -EBADMSG: not that form). */
_must_check_ int proc_stat_read(int dirfd, const char *path, struct proc_stat *ret);

/* The number (decimal) behind "key:" in dirfd/path, a status file. 0 or -errno. */
_must_check_ int proc_status_read(int dirfd, const char *path, const char *key, int64_t *ret);

struct proc_masks { /* bit 0 is signal 1 */
	uint64_t blocked, caught;
	uint64_t pending; /* the thread's own and its process' */
	uint64_t own_pending;
};

/* From dirfd/path, a status file. 0 or -errno. */
_must_check_ int proc_masks_read(int dirfd, const char *path, struct proc_masks *ret);

/* By which number the thread of dirfd/path, a status file, is known in its own PID namespace. 0 or -errno;
 * -ENODATA: a kernel that does not tell, for want of such namespaces. */
_must_check_ int proc_own_id_read(int dirfd, const char *path, pid_t *ret);

/* The first line of a small file into buf, without the newline, made printable. 0 or -errno. */
_must_check_ int proc_line_read(int dirfd, const char *path, char *buf, size_t size);

#endif
