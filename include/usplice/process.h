/* SPDX-License-Identifier: MIT */
/*
 * Opening a running process as a target. One struct usp_process is used by one thread at a time; several may
 * be open.
 */
#ifndef USPLICE_PROCESS_H
#define USPLICE_PROCESS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <usplice/error.h>

#ifdef __cplusplus
extern "C" {
#endif

struct usp_process;

/*
 * Opens process pid (a thread group's id). Stops nobody and changes nothing.
 * USP_NOT_FOUND, USP_PERMISSION, USP_UNSUPPORTED (kernel thread, 32-bit, not x86-64, the caller itself).
 */
USP_API struct usp_error *usp_process_open(pid_t pid, struct usp_process **process);

/* Closes; NULL is fine. */
USP_API void usp_process_close(struct usp_process *process);

USP_API pid_t usp_process_pid(const struct usp_process *process);

/*
 * The ids of all processes whose executable's base name or command name (comm) is `name`, ascending. *pids is
 * freed by the caller with free(). No match is no error: *n is 0.
 */
USP_API struct usp_error *usp_process_find(const char *name, pid_t **pids, size_t *n);

/*
 * The ids of all processes that have usplice's registry in their maps, ascending; those that the caller may
 * not look at are left out. *pids is freed by the caller with free(). None is no error: *n is 0.
 */
USP_API struct usp_error *usp_process_find_patched(pid_t **pids, size_t *n);

#ifdef __cplusplus
}
#endif
#endif
