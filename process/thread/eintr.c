// SPDX-License-Identifier: MIT
/*
 * System calls that a mere stop ends with EINTR.
 *
 * Most interruptible calls leave one of the kernel's private codes (ERESTARTSYS, …) in rax, which the kernel
 * turns into a restart on the way back to the program unless a handler runs. The calls below return a bare
 * -EINTR instead. On the way out of a stop rax may be replaced: -ERESTARTNOHAND means just what the program
 * expects, EINTR if a handler of its own runs (before the program goes on), a restart otherwise. The kernel
 * then takes back rax and rip by itself, so nothing is half done if the controller dies.
 *
 * A restart is right for these because their EINTR means that nothing was done: whatever was transferred or
 * submitted is returned as a count instead. close() is not in the list (its descriptor is gone), nor ioctl()
 * (nobody knows). What cannot be had back is how much of a finite time-out was used up: it starts anew.
 *
 * orig_rax tells a system call's result from a chance value: it is negative in every other entry to the
 * kernel, and after sigreturn.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <sys/syscall.h>

#include "process/thread/internal.h"

#define ERESTARTNOHAND 514 /* the kernel's; not for programs' eyes, hence in no header of theirs */

static bool ends_with_eintr(unsigned long long number)
{
	switch (number) {
	/* Waiting. */
	case SYS_epoll_wait:
	case SYS_epoll_pwait:
	case 441: /* epoll_pwait2 */
	case SYS_semop:
	case SYS_semtimedop:
	case SYS_rt_sigtimedwait:
	case SYS_io_getevents:
	case 426: /* io_uring_enter: what was submitted is returned as a count */
	/* Sockets with SO_RCVTIMEO or SO_SNDTIMEO; reads and writes of files on FUSE. */
	case SYS_read:
	case SYS_write:
	case SYS_readv:
	case SYS_writev:
	case SYS_pread64:
	case SYS_pwrite64:
	case SYS_preadv:
	case SYS_pwritev:
	case SYS_preadv2:
	case SYS_pwritev2:
	case SYS_sendfile:
	case SYS_splice:
	case SYS_recvfrom:
	case SYS_recvmsg:
	case SYS_recvmmsg:
	case SYS_sendto:
	case SYS_sendmsg:
	case SYS_sendmmsg:
	case SYS_accept:
	case SYS_accept4:
	case SYS_connect:
		return true;
	default:
		return false;
	}
}

bool thread_restart_call(struct user_regs_struct *registers)
{
	if (registers->rax != (unsigned long long)-EINTR || !ends_with_eintr(registers->orig_rax))
		return false;
	registers->rax = (unsigned long long)-ERESTARTNOHAND;
	return true;
}
