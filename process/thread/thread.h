/* SPDX-License-Identifier: MIT */
/*
 * The target's threads under ptrace: seize all (until no new one appears), interrupt all, wait for all,
 * detach all. Every stop is told apart; a signal that arrives meanwhile is delivered once; a group stop stays
 * a group stop.
 *
 * Who is stopped is always in PTRACE_EVENT_STOP: a thread met in another stop (signal delivery, clone, fork,
 * …) is interrupted again and let on to there, a signal with it, so its handler's first instruction is where
 * it then stands. So registers of every stopped thread may be set, and no signal is ever in the controller's
 * keeping.
 *
 * From threads_stop() (of all) to the release the calling thread has a real-time priority, if it may have
 * one: the target does not stand still for longer because others want the CPU, too.
 *
 * ptrace knows threads, not processes: all calls on one struct threads must come from the thread that made
 * it.
 */
#ifndef PROCESS_THREAD_THREAD_H
#define PROCESS_THREAD_THREAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/user.h>

#include "process/target.h"

enum thread_state {
	THREAD_RUNNING,	      /* seized, not stopped */
	THREAD_STOPPED,	      /* in PTRACE_EVENT_STOP: registers may be read and set */
	THREAD_GROUP_STOPPED, /* the same, but the process is stopped (SIGSTOP): stays stopped on release and
				 detach */
	THREAD_EXITED,	      /* or exiting: runs no code of the program any more. Not traced */
};

struct thread {
	pid_t tid;
	enum thread_state state;
	bool has_registers;
	bool asleep; /* looked at without being stopped: of the registers only rip, rsp, fs_base and the
			arguments of its system call are known */
	struct user_regs_struct registers; /* as the thread now has them (orig_rax too); see threads_stop() */
	char name[16];			   /* comm, made printable */

	/* thread*.c only */
	long options;	  /* PTRACE_O_... that it was seized with */
	bool seen;	  /* in this listing */
	bool interrupted; /* a PTRACE_EVENT_STOP is on its way */
	bool seccomp_suspended;
};

struct threads {
	const struct target *target; /* not owned */
	struct thread *v; /* pointers into it end with the next call of threads_stop() or threads_poll() */
	size_t n, capacity;
	uint64_t stop_begin_ns,
		stop_end_ns;  /* CLOCK_MONOTONIC: of the last threads_stop() .. threads_release() */
	bool seccomp_refused; /* threads_suspend_seccomp() was tried and the kernel said no */

	/* thread*.c only */
	bool one;	/* of threads_seize_one(): the others are none of our business */
	bool own_child; /* the target is a child of the controller: its exit is for someone else to wait for
			 */
	bool zombie_leader; /* and traced by us: can be let go only at the end of the whole process */
	bool hurried;	    /* the controller's thread has another scheduling policy for a while */
	int policy;	    /* its own */
	bool executed;	    /* the process executed another program */
	pid_t *workers; /* kernel workers in the process (io_uring, vhost): never run its code, left alone */
	size_t n_workers, workers_capacity;
	pid_t *strays; /* forked children that the kernel seized for us and that are to be let go */
	size_t n_strays, strays_capacity;
};

/*
 * Seizes every thread with PTRACE_SEIZE; nobody stops. New threads are seized by the kernel
 * (PTRACE_O_TRACECLONE). A leader that has exited is no obstacle. USP_PERMISSION names the tracer that has it
 * already (pid and comm).
 */
_must_check_ struct usp_error *threads_seize(const struct target *target, struct threads **ret);
/* The same, but for one thread that is seized apart. */
_must_check_ struct usp_error *threads_seize_but(const struct target *target, pid_t spare,
						 struct threads **ret);

/*
 * Seizes thread tid of the target alone: v[0]. threads_stop(), _release(), _detach() then work on it alone,
 * what it clones or forks is not followed. USP_NOT_FOUND: no such thread (any more), or it is exiting, or a
 * kernel worker.
 */
_must_check_ struct usp_error *threads_seize_one(const struct target *target, pid_t tid,
						 struct threads **ret);

/*
 * Interrupts all, then waits for all, until deadline_ns (CLOCK_MONOTONIC). On time-out (USP_NOT_QUIESCENT,
 * naming the threads that did not stop and where they are, /proc/TID/wchan and stat state) everyone runs on;
 * so they do on any other error. USP_GONE: the process ended or executed another program. With
 * threads_seize_one(), also when just that thread ended. Fills in registers.
 *
 * System calls that a mere stop makes return EINTR (epoll_wait, semop, sigtimedwait, … : the kernel does not
 * restart these) are put back so that the kernel restarts them unless a signal handler runs: rax =
 * -ERESTARTNOHAND. The limit: a finite time-out of such a call starts anew.
 */
_must_check_ struct usp_error *threads_stop(struct threads *threads, uint64_t deadline_ns);

/* Lets everyone run on, still seized. A process in group stop stays in it. */
_must_check_ struct usp_error *threads_release(struct threads *threads);

/*
 * Detaches from all and frees. Everyone runs on (or stays in the group stop it was in). Threads that are
 * running are interrupted for that, all at once. NULL is fine. A thread that cannot be interrupted (state D;
 * waiting for its vfork child) is waited for shortly; after that it stays traced until it can be let go: by
 * the next call of threads_seize(), threads_seize_one() or threads_detach() in this thread, or by this
 * thread's end.
 */
void threads_detach(struct threads *threads);

/* Frees without letting anybody go: the end of the calling thread does, and stops nobody for it. NULL is
 * fine. */
void threads_forget(struct threads *threads);

/* Handles whatever waitpid has without blocking (thread births, deaths, signals): call it while preparing. */
_must_check_ struct usp_error *threads_poll(struct threads *threads);

/*
 * Lets a stopped thread make any system call in spite of seccomp, until it is released or detached. 0, or
 * -EPERM (the controller lacks CAP_SYS_ADMIN or has a filter itself), -EINVAL (not in this kernel), -ESRCH
 * (killed). Done by itself for a thread of threads_seize_one() when target->seccomp.
 */
_must_check_ int threads_suspend_seccomp(struct threads *threads, struct thread *thread);

#endif
