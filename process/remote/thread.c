/* SPDX-License-Identifier: MIT */
/*
 * The borrowed thread under ptrace: from one stop to the next, its registers and mask, writes to its slot.
 */
#include "process/remote/borrow.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>

#define SYSCALL_SIGNAL (SIGTRAP | 0x80)
#define SPINS	       50 /* a stop takes microseconds: yielding beats sleeping */
#define NAP_MAX_NS     1000000l

uint64_t remote_now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

static struct usp_error *gone(struct remote *remote)
{
	remote->gone = true;
	for (size_t i = 0; i < remote->threads->n; i++)
		if (remote->threads->v[i].tid == remote->tid)
			remote->threads->v[i].state = THREAD_EXITED;
	return usp_errorf(USP_GONE, "thread %d of %s (%d) ended while usplice worked in it", remote->tid,
			  remote->target->name, remote->target->pid);
}

struct usp_error *remote_ptrace_error(struct remote *remote, int errno_value, const char *what)
{
	if (errno_value == ESRCH)
		return gone(remote);
	return usp_error_errno(USP_FAILED, errno_value, "%s thread %d of %s (%d)", what, remote->tid,
			       remote->target->name, remote->target->pid);
}

struct usp_error *remote_resume(struct remote *remote, int request, int signal)
{
	remote->event_stop = false;
	if (ptrace(request, remote->tid, 0, (long)signal) < 0)
		return remote_ptrace_error(remote, errno, "resuming");
	return NULL;
}

/* PTRACE_O_TRACESYSGOOD need not be set: then only the siginfo tells a system-call stop from a breakpoint. */
static bool is_syscall_stop(struct remote *remote, int status)
{
	siginfo_t info;
	if (WSTOPSIG(status) == SYSCALL_SIGNAL)
		return true;
	return WSTOPSIG(status) == SIGTRAP && ptrace(PTRACE_GETSIGINFO, remote->tid, 0, &info) == 0 &&
	       info.si_code == SIGTRAP;
}

struct usp_error *remote_wait(struct remote *remote, uint64_t deadline_ns, enum remote_stop *stop,
			      int *signal)
{
	int status;
	long nap_ns = 20000;
	for (unsigned i = 0;; i++) {
		pid_t r = waitpid(remote->tid, &status, __WALL | WNOHANG);
		if (r < 0 && errno != EINTR)
			return errno == ECHILD ? gone(remote)
					       : remote_ptrace_error(remote, errno, "waiting for");
		if (r > 0) {
			if (!WIFSTOPPED(status))
				return gone(remote);
			if (status >> 16 != PTRACE_EVENT_EXIT)
				break;
			/* It never runs the program's code again. A leader would not be reaped before the
			 * others. */
			ptrace(PTRACE_DETACH, remote->tid, 0, 0);
			return gone(remote);
		}
		if (remote_now_ns() >= deadline_ns) {
			*stop = REMOTE_STOP_TIMEOUT;
			return NULL;
		}
		if (i < SPINS) {
			sched_yield();
			continue;
		}
		nanosleep(&(struct timespec){.tv_nsec = nap_ns}, NULL);
		if (nap_ns < NAP_MAX_NS)
			nap_ns *= 2;
	}
	*signal = 0;
	if (status >> 16 == PTRACE_EVENT_STOP) {
		*stop = REMOTE_STOP_EVENT;
		*signal = WSTOPSIG(status);
		remote->event_stop = true;
		remote->stop_signal = *signal;
	} else if (status >> 16) {
		*stop = REMOTE_STOP_OTHER;
	} else if (is_syscall_stop(remote, status)) {
		*stop = REMOTE_STOP_SYSCALL;
	} else {
		*stop = REMOTE_STOP_SIGNAL;
		*signal = WSTOPSIG(status);
	}
	return NULL;
}

struct usp_error *remote_to_syscall_stop(struct remote *remote, uint64_t deadline_ns)
{
	int signal = 0;
	for (;;) {
		enum remote_stop stop;
		struct usp_error *error = remote_resume(remote, PTRACE_SYSCALL, signal);
		if (!error)
			error = remote_wait(remote, deadline_ns, &stop, &signal);
		if (error || stop == REMOTE_STOP_SYSCALL)
			return error;
		if (stop == REMOTE_STOP_TIMEOUT) {
			remote->lost = true;
			return usp_errorf(USP_FAILED,
					  "thread %d of %s (%d) did not finish a system call for usplice in "
					  "time; it goes "
					  "back to its work by itself when it does",
					  remote->tid, remote->target->name, remote->target->pid);
		}
		if (stop == REMOTE_STOP_SIGNAL &&
		    signal != SIGSTOP) { /* all others are blocked: the stub itself faults */
			remote->broken = true;
			return usp_errorf(USP_FAILED,
					  "usplice's stub in thread %d of %s (%d) was hit by signal %d; "
					  "somebody changed the "
					  "memory at 0x%lx",
					  remote->tid, remote->target->name, remote->target->pid, signal,
					  (long)remote->address);
		}
		if (stop == REMOTE_STOP_EVENT)
			signal = 0; /* of a stopped process: this thread works on all the same */
	}
}

struct usp_error *remote_get_registers(struct remote *remote, struct user_regs_struct *ret)
{
	if (ptrace(PTRACE_GETREGS, remote->tid, 0, ret) < 0)
		return remote_ptrace_error(remote, errno, "reading the registers of");
	return NULL;
}

struct usp_error *remote_set_registers(struct remote *remote, const struct user_regs_struct *registers)
{
	if (ptrace(PTRACE_SETREGS, remote->tid, 0, registers) < 0)
		return remote_ptrace_error(remote, errno, "setting the registers of");
	return NULL;
}

struct usp_error *remote_set_mask(struct remote *remote, uint64_t mask)
{
	if (ptrace(PTRACE_SETSIGMASK, remote->tid, sizeof(mask), &mask) < 0)
		return remote_ptrace_error(remote, errno, "setting the signal mask of");
	return NULL;
}

struct usp_error *remote_park(struct remote *remote)
{
	struct user_regs_struct registers = remote->registers;
	remote_slot_park(&remote->slot, remote->address, &registers);
	return remote_set_registers(remote, &registers);
}

struct usp_error *remote_poke(struct remote *remote, uint64_t address, const void *buf, size_t n)
{
	int r = remote_write(remote->target, address, buf, n);
	if (r == 0)
		return NULL;
	if (r == -ESRCH)
		return gone(remote);
	/* A kernel with proc_mem.force_override=never or =ptrace: ptrace itself still may. Whole words: slots
	 * are. */
	if (n % sizeof(long) == 0) {
		size_t done = 0;
		for (; done < n; done += sizeof(long)) {
			long word;
			memcpy(&word, (const char *)buf + done, sizeof(word));
			if (ptrace(PTRACE_POKEDATA, remote->tid, address + done, word) < 0)
				break;
		}
		if (done == n)
			return NULL;
	}
	return usp_error_errno(USP_FAILED, -r, "writing usplice's stub to 0x%lx in %s (%d)", (long)address,
			       remote->target->name, remote->target->pid);
}

struct usp_error *remote_update_slot(struct remote *remote)
{
	return remote_poke(remote, remote->address, &remote->slot, REMOTE_SLOT_CODE);
}
