/* SPDX-License-Identifier: MIT */
/*
 * One running process, as the controller holds it: descriptors that cannot come to mean another process.
 * Reads memory; never writes it (that is text.h for text, remote.h for what usplice itself mapped).
 */
#ifndef PROCESS_TARGET_H
#define PROCESS_TARGET_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/compiler.h"
#include "base/error.h"

struct usp_timeline;

struct target {
	pid_t pid;	     /* thread group id, as the controller's PID namespace names it */
	char name[16];	     /* comm, made printable */
	uint64_t start_time; /* stat field 22, clock ticks since boot: tells a reused pid apart */
	int pidfd;
	int procfd; /* /proc/PID; when the leader has exited, /proc/PID/task/TID of a thread that lives */
	int taskfd; /* /proc/PID/task */
	int memfd;  /* /proc/PID/mem, read and write */
	int lockfd; /* -1, or /proc/PID with an flock: this controller is the only one that acts */
	uint8_t auxv[512]; /* the auxiliary vector: another one means that another program was executed */
	size_t auxv_size;
	struct usp_timeline *timeline; /* of the action under way, not owned; NULL: nobody looks */
	bool seccomp;		       /* some thread has a filter or strict mode: remote system calls need
			 PTRACE_O_SUSPEND_SECCOMP */
};

/*
 * Opens process pid (any thread's id is refused, naming the group's). Refuses kernel threads, zombies, 32-bit
 * processes and the controller itself. USP_NOT_FOUND, USP_PERMISSION, USP_UNSUPPORTED.
 */
_must_check_ struct usp_error *target_open(pid_t pid, struct target **ret);
void target_close(struct target *target); /* NULL is fine; gives the lock back */

/*
 * Makes this controller the only one that acts on target. wait: block until the other is done, else USP_BUSY.
 * Ends with the controller, however that ends.
 */
_must_check_ struct usp_error *target_lock(struct target *target, bool wait);

/* Gives the lock back; NULL, or not holding it, is fine. */
void target_unlock(struct target *target);

/* Whether the process still exists and is the one that was opened (not exited). Exec is seen by start of
 * maps_read. */
bool target_alive(const struct target *target);

/* Whether it has certainly executed another program since it was opened. */
bool target_executed(const struct target *target);

/* All of n bytes at address, or -errno (-EFAULT: not mapped, -ESRCH: gone) and buf undefined. */
_must_check_ int target_read(const struct target *target, uint64_t address, void *buf, size_t n);

/*
 * Opens /proc/PID/<path> (printf-style), O_CLOEXEC; -errno on failure. "task/..." is looked up in taskfd,
 * everything else in procfd.
 */
int target_openat(const struct target *target, int flags, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#endif
