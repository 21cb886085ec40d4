/* SPDX-License-Identifier: MIT */
/*
 * Calling a function on the borrowed thread, on the area's stack. Its return shows as the stub's marker
 * system call. Vector state and errno are the thread's own again whatever the function did, also when nobody
 * is there to see it return.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <elf.h>

#include "process/remote/borrow.h"

#define XSTATE_OFFSET \
	REMOTE_SCRATCH_SIZE /* in the stack area: behind the scratch space, page-aligned for xrstor */
#define XSTATE_ROOM    16384u
#define INTERRUPT_NS   1000000000ull
#define ABI_FLAGS      0x202 /* interrupts on, direction forward */
#define RESTART_BLOCK  (-516l)
#define RESTART_NOHAND (-514l)

/* Faults of the function itself: blocked, the kernel would reset their handlers and kill. */
#define FAULTS                                                                                        \
	(1ull << (SIGSEGV - 1) | 1ull << (SIGBUS - 1) | 1ull << (SIGILL - 1) | 1ull << (SIGFPE - 1) | \
	 1ull << (SIGTRAP - 1))

_Static_assert(XSTATE_OFFSET % 64 == 0 && XSTATE_OFFSET + XSTATE_ROOM <= REMOTE_STACK_SIZE / 2,
	       "stack remains");

struct call {
	struct remote *remote;
	uint64_t address;
	bool inside;		    /* between the entry and the exit of a system call */
	struct user_regs_struct at; /* registers at the last stop */
};

static struct usp_error *unusable(const struct remote *remote, const char *why)
{
	return usp_errorf(USP_UNSUPPORTED, "cannot call a function in %s (%d): %s", remote->target->name,
			  remote->target->pid, why);
}

/* A copy of the vector state here and one in the target, for the stub. */
static struct usp_error *save_xstate(struct remote *remote)
{
	if (!remote->xstate)
		remote->xstate = malloc(XSTATE_ROOM);
	if (!remote->xstate)
		return &usp_error_no_memory;
	struct iovec io = {.iov_base = remote->xstate, .iov_len = XSTATE_ROOM};
	if (ptrace(PTRACE_GETREGSET, remote->tid, NT_X86_XSTATE, &io) < 0)
		return errno == ESRCH ? remote_ptrace_error(remote, errno, "reading the vector state of")
				      : unusable(remote, "this CPU has no XSAVE");
	if (io.iov_len >= XSTATE_ROOM)
		return unusable(remote, "its vector state is larger than usplice has room for");
	remote->xstate_size = io.iov_len;
	int r = remote_write(remote->target, remote->area.stack + XSTATE_OFFSET, remote->xstate,
			     remote->xstate_size);
	if (r < 0)
		return usp_error_errno(USP_FAILED, -r, "writing to usplice's stack in %s (%d)",
				       remote->target->name, remote->target->pid);
	return NULL;
}

struct usp_error *remote_call_undo(struct remote *remote)
{
	struct iovec io = {.iov_base = remote->xstate, .iov_len = remote->xstate_size};
	if (ptrace(PTRACE_SETREGSET, remote->tid, NT_X86_XSTATE, &io) < 0)
		return remote_ptrace_error(remote, errno, "restoring the vector state of");
	remote->calling = false;
	if (!remote->slot.errno_address)
		return NULL;
	int32_t value = (int32_t)remote->slot.errno_value;
	int r = remote_write(remote->target, remote->slot.errno_address, &value, sizeof(value));
	if (r < 0)
		return usp_error_errno(USP_FAILED, -r, "restoring errno of thread %d of %s (%d)", remote->tid,
				       remote->target->name, remote->target->pid);
	return NULL;
}

/* What the stub needs to come back by itself is written before the thread goes anywhere. */
static struct usp_error *begin(struct call *call, const uint64_t args[6], uint64_t errno_address)
{
	int32_t errno_value = 0;
	struct remote *remote = call->remote;
	struct usp_error *error = save_xstate(remote);
	if (error)
		return error;
	if (errno_address) {
		int r = target_read(remote->target, errno_address, &errno_value, sizeof(errno_value));
		if (r < 0)
			return usp_error_errno(
				USP_FAILED, -r, "reading errno of thread %d of %s (%d) at 0x%lx", remote->tid,
				remote->target->name, remote->target->pid, (long)errno_address);
	}
	remote->slot.xstate = remote->area.stack + XSTATE_OFFSET;
	remote->slot.errno_address = errno_address;
	remote->slot.errno_value = (uint32_t)errno_value;
	error = remote_update_slot(remote);
	if (error)
		return error;
	struct user_regs_struct registers = remote->registers;
	remote_slot_park(&remote->slot, remote->address, &registers);
	registers.rip = remote->address + remote_stub_call;
	registers.rsp = remote->area.stack + REMOTE_STACK_SIZE;
	registers.rbp = 0;
	registers.rax = 0;
	registers.r11 = call->address;
	registers.rdi = args[0];
	registers.rsi = args[1];
	registers.rdx = args[2];
	registers.rcx = args[3];
	registers.r8 = args[4];
	registers.r9 = args[5];
	registers.eflags = ABI_FLAGS;
	remote->calling = true;
	error = remote_set_registers(remote, &registers);
	return error ? error : remote_set_mask(remote, ~FAULTS);
}

/*
 * The thread is in some stop, outside any system call. It is parked at the marker, from where it would
 * restore everything by itself; only when vector state and errno are its own again, at the usual place, from
 * where it would not.
 */
static struct usp_error *end(struct call *call)
{
	struct remote *remote = call->remote;
	struct user_regs_struct registers = remote->registers;
	remote_slot_park(&remote->slot, remote->address, &registers);
	registers.rip = remote->address + remote_stub_marker;
	struct usp_error *error = remote_set_registers(remote, &registers);
	if (!error)
		error = remote_set_mask(remote, ~0ull);
	if (!error)
		error = remote_call_undo(remote);
	return error ? error : remote_park(remote);
}

static const char *signal_name(int signal)
{
	switch (signal) {
	case SIGSEGV:
		return "SIGSEGV";
	case SIGBUS:
		return "SIGBUS";
	case SIGILL:
		return "SIGILL";
	case SIGFPE:
		return "SIGFPE";
	case SIGTRAP:
		return "SIGTRAP";
	default:
		return "a signal";
	}
}

/* Stopped at a fault's signal: the signal is dropped with the function. */
static struct usp_error *abandon_fault(struct call *call, int signal, uint64_t fault_address)
{
	struct usp_error *error = remote_get_registers(call->remote, &call->at);
	if (!error)
		error = end(call);
	if (error)
		return error;
	return usp_errorf(USP_FAILED,
			  "the function at 0x%lx in %s (%d) was stopped by %s at 0x%lx (address 0x%lx)",
			  (long)call->address, call->remote->target->name, call->remote->target->pid,
			  signal_name(signal), (long)call->at.rip, (long)fault_address);
}

/* Still running at the deadline. */
static struct usp_error *abandon_late(struct call *call)
{
	struct remote *remote = call->remote;
	uint64_t deadline = remote_now_ns() + INTERRUPT_NS;
	if (ptrace(PTRACE_INTERRUPT, remote->tid, 0, 0) < 0)
		return remote_ptrace_error(remote, errno, "interrupting");
	for (;;) {
		enum remote_stop stop;
		int signal;
		struct usp_error *error = remote_wait(remote, deadline, &stop, &signal);
		if (error)
			return error;
		if (stop == REMOTE_STOP_EVENT)
			break;
		if (stop == REMOTE_STOP_TIMEOUT) {
			remote->lost = true;
			return usp_errorf(
				USP_FAILED,
				"the function at 0x%lx in %s (%d) has not returned in time and cannot be "
				"interrupted; thread %d goes back to its work by itself when it returns",
				(long)call->address, remote->target->name, remote->target->pid, remote->tid);
		}
		/* Any other stop has used the interrupt up. */
		if (ptrace(PTRACE_INTERRUPT, remote->tid, 0, 0) < 0)
			return remote_ptrace_error(remote, errno, "interrupting");
		error = remote_resume(remote, PTRACE_CONT,
				      stop == REMOTE_STOP_SIGNAL && signal == SIGSTOP ? signal : 0);
		if (error)
			return error;
	}
	struct usp_error *error = remote_get_registers(remote, &call->at);
	if (error)
		return error;
	/*
	 * The kernel keeps one system call to be resumed with what is left of its time. The function's has
	 * taken the place of the thread's: that one begins anew with its whole time, which is longer, and not
	 * for what the function waited for.
	 */
	if ((int64_t)call->at.orig_rax >= 0 && (int64_t)call->at.rax == RESTART_BLOCK &&
	    (int64_t)remote->registers.orig_rax >= 0 && (int64_t)remote->registers.rax == RESTART_BLOCK) {
		uint64_t id = remote->slot.tid;
		remote->registers.rax = (uint64_t)RESTART_NOHAND;
		remote_slot_fill(&remote->slot, remote->tid, &remote->registers, remote->mask);
		remote->slot.tid = id;
		error = remote_update_slot(remote);
		if (error)
			return error;
	}
	error = end(call);
	if (error)
		return error;
	return usp_errorf(
		USP_FAILED,
		"the function at 0x%lx in %s (%d) had not returned by the deadline; it was at 0x%lx",
		(long)call->address, remote->target->name, remote->target->pid, (long)call->at.rip);
}

/* Runs to the marker's entry. *done: it returned; otherwise it was abandoned, and that is the error. */
static struct usp_error *run(struct call *call, uint64_t deadline_ns)
{
	struct remote *remote = call->remote;
	const uint64_t marker = remote->address + remote_stub_marker + REMOTE_SYSCALL_LENGTH;
	int signal = 0;
	for (;;) {
		enum remote_stop stop;
		struct usp_error *error = remote_resume(remote, PTRACE_SYSCALL, signal);
		if (!error)
			error = remote_wait(remote, deadline_ns, &stop, &signal);
		if (error)
			return error;
		switch (stop) {
		case REMOTE_STOP_TIMEOUT:
			return abandon_late(call);
		case REMOTE_STOP_SYSCALL:
			call->inside = !call->inside;
			signal = 0;
			if (!call->inside)
				break;
			error = remote_get_registers(remote, &call->at);
			if (error || call->at.rip == marker)
				return error;
			break;
		case REMOTE_STOP_SIGNAL: {
			siginfo_t info;
			if (signal == SIGSTOP)
				break; /* passed on; the thread works on in the stopped process */
			if (ptrace(PTRACE_GETSIGINFO, remote->tid, 0, &info) < 0)
				return remote_ptrace_error(remote, errno, "asking about a signal of");
			if (signal <= 0 || signal > 64 || (FAULTS & 1ull << (signal - 1) && info.si_code > 0))
				return abandon_fault(call, signal, (uint64_t)(uintptr_t)info.si_addr);
			remote->kept |= 1ull << (signal - 1); /* sent by somebody, for the program */
			signal = 0;
			break;
		}
		default:
			signal = 0;
			break;
		}
	}
}

struct usp_error *remote_call(struct remote *remote, uint64_t address, const uint64_t args[6],
			      uint64_t errno_address, uint64_t deadline_ns, uint64_t *result)
{
	struct call call = {.remote = remote, .address = address};
	*result = 0;
	if (!remote_usable(remote))
		return usp_errorf(remote->gone ? USP_GONE : USP_FAILED,
				  "thread %d of %s (%d) is not in usplice's hands any more", remote->tid,
				  remote->target->name, remote->target->pid);
	if (!remote->area.stack)
		return unusable(remote, "no stack is mapped for it");
	struct usp_error *error = begin(&call, args, errno_address);
	if (!error)
		error = run(&call, deadline_ns);
	if (error)
		return error;
	*result = call.at.rbx;
	/* The marker blocks every signal again; behind it stands what would bring the thread home. */
	error = remote_to_syscall_stop(remote, remote_now_ns() + REMOTE_PATIENCE_NS);
	return error ? error : end(&call);
}
