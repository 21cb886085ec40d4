/* SPDX-License-Identifier: MIT */
/*
 * One system call by the borrowed thread, and writes to what usplice mapped.
 */
#include <errno.h>

#include "process/remote/borrow.h"

#define RESTARTS_MAX   1000 /* of one remote system call */
#define ERRNO_RESTART  512  /* ERESTARTSYS .. ERESTART_RESTARTBLOCK */
#define ERRNO_RESTART_ 516

struct usp_error *remote_syscall(struct remote *remote, long number, const uint64_t args[6], int64_t *result)
{
	*result = -ESRCH;
	if (!remote_usable(remote))
		return usp_errorf(remote->gone ? USP_GONE : USP_FAILED,
				  "thread %d of %s (%d) is not in usplice's hands any more", remote->tid,
				  remote->target->name, remote->target->pid);
	uint64_t deadline = remote_now_ns() + REMOTE_PATIENCE_NS;
	for (unsigned i = 0; i < RESTARTS_MAX; i++) {
		struct user_regs_struct registers = remote->registers;
		remote_slot_park(&remote->slot, remote->address, &registers);
		registers.rax = (uint64_t)number;
		registers.rdi = args[0];
		registers.rsi = args[1];
		registers.rdx = args[2];
		registers.r10 = args[3];
		registers.r8 = args[4];
		registers.r9 = args[5];
		struct usp_error *error = remote_set_registers(remote, &registers);
		if (!error)
			error = remote_to_syscall_stop(remote, deadline); /* entry */
		if (!error)
			error = remote_to_syscall_stop(remote, deadline); /* exit */
		if (!error)
			error = remote_get_registers(remote, &registers);
		if (error)
			return error;
		int64_t r = (int64_t)registers.rax;
		if (r <= -ERRNO_RESTART && r >= -ERRNO_RESTART_)
			continue; /* interrupted by a stop of the process */
		*result = r;
		return NULL;
	}
	return usp_errorf(USP_FAILED,
			  "system call %ld in thread %d of %s (%d) is interrupted again and again", number,
			  remote->tid, remote->target->name, remote->target->pid);
}

struct usp_error *remote_syscall_ok(struct remote *remote, const char *what, long number,
				    const uint64_t args[6], int64_t *result)
{
	struct usp_error *error = remote_syscall(remote, number, args, result);
	if (!error && *result < 0)
		error = usp_error_errno(USP_FAILED, (int)-*result, "%s in %s (%d) failed", what,
					remote->target->name, remote->target->pid);
	return error;
}

int remote_write(const struct target *target, uint64_t address, const void *buf, size_t n)
{
	for (size_t done = 0; done < n;) {
		ssize_t r =
			pwrite(target->memfd, (const char *)buf + done, n - done, (off_t)(address + done));
		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			return r < 0 && errno != EIO ? -errno : r == 0 ? -ESRCH : -EFAULT;
		done += (size_t)r;
	}
	return 0;
}
