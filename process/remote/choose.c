/* SPDX-License-Identifier: MIT */
/*
 * Which thread to borrow. One that sleeps in a system call which restarts without anybody noticing is best; a
 * spinning one does as well. What /proc says is only a hint: everything that matters is looked at again once
 * the thread is stopped.
 */
#include "process/remote/borrow.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>

/* Numbers of linux/ptrace.h and linux/rseq.h that glibc's headers do not all have. */
#define GET_RSEQ_CONFIGURATION		 0x420f
#define GET_SYSCALL_USER_DISPATCH_CONFIG 0x4211

struct rseq_configuration {
	uint64_t address;
	uint32_t size, signature, flags, pad;
};

struct rseq_critical_section {
	uint32_t version, flags;
	uint64_t start_ip, post_commit_offset, abort_ip;
};

struct dispatch_configuration {
	uint64_t mode, selector, offset, len;
};

#define RSEQ_CS_OFFSET 8 /* of rseq_cs in struct rseq */

struct candidate {
	pid_t tid;
	int rank; /* less is better */
};

/* The text of a small file in /proc, terminated; "" when it cannot be read. */
static void read_text(const struct target *target, char *buf, size_t size, const char *what, pid_t tid)
{
	buf[0] = '\0';
	_cleanup_close_ int fd = target_openat(target, O_RDONLY, "task/%d/%s", tid, what);
	if (fd < 0)
		return;
	size_t n = 0;
	for (ssize_t r; n < size - 1 && (r = read(fd, buf + n, size - 1 - n)) > 0;)
		n += (size_t)r;
	buf[n] = '\0';
}

/* 0: no seccomp; 1, 2: strict, filter; -1: cannot tell. */
static int seccomp_mode(const struct target *target, pid_t tid)
{
	char status[8192];
	read_text(target, status, sizeof(status), "status", tid);
	if (!status[0])
		return -1;
	const char *line = strstr(status, "\nSeccomp:");
	return line ? atoi(line + strlen("\nSeccomp:")) : 0;
}

static int rank_of_sleep(const char *text)
{
	if (!isdigit((unsigned char)text[0]))
		return 3; /* "running", "-1 …": asleep elsewhere (a page fault) */
	switch (strtol(text, NULL, 10)) {
	case SYS_futex:
	case SYS_read:
	case SYS_accept:
	case SYS_accept4:
		return 0;
	case SYS_poll:
	case SYS_ppoll:
	case SYS_select:
	case SYS_pselect6:
	case SYS_nanosleep:
	case SYS_clock_nanosleep:
		return 1;
	default:
		return 2;
	}
}

/* False: it is dead. */
static bool rank_thread(const struct target *target, pid_t tid, int *ret)
{
	char text[512];
	read_text(target, text, sizeof(text), "stat", tid);
	const char *end = strrchr(text, ')');
	char state = end && end[1] == ' ' ? end[2] : '?';
	switch (state) {
	case 'Z':
	case 'X':
	case '?':
		return false;
	case 'D':
		*ret = 8;
		break;
	case 'S':
		read_text(target, text, sizeof(text), "syscall", tid);
		*ret = rank_of_sleep(text);
		break;
	default:
		*ret = 4;
		break;
	}
	if (target->seccomp && seccomp_mode(target, tid) != 0)
		*ret += 16;
	return true;
}

static int by_rank(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;
	if (x->rank != y->rank)
		return x->rank < y->rank ? -1 : 1;
	return (x->tid > y->tid) - (x->tid < y->tid);
}

struct usp_error *remote_candidates(const struct target *target, pid_t **ret, size_t *ret_n)
{
	int fd = target_openat(target, O_RDONLY | O_DIRECTORY, "task/.");
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	if (!dir) {
		int e = fd < 0 ? -fd : errno;
		if (fd >= 0)
			close(fd);
		return usp_error_errno(e == ENOENT ? USP_GONE : USP_FAILED, e,
				       "cannot list the threads of %s (%d)", target->name, target->pid);
	}
	_cleanup_free_ struct candidate *v = NULL;
	size_t n = 0, capacity = 0;
	struct usp_error *error = NULL;
	for (struct dirent *entry; (entry = readdir(dir));) {
		struct candidate c = {.tid = atoi(entry->d_name)};
		if (c.tid <= 0 || !rank_thread(target, c.tid, &c.rank))
			continue;
		if (n == capacity) {
			capacity = capacity ? capacity * 2 : 64;
			void *p = reallocarray(v, capacity, sizeof(*v));
			if (!p) {
				error = &usp_error_no_memory;
				break;
			}
			v = p;
		}
		v[n++] = c;
	}
	closedir(dir);
	pid_t *tids = error ? NULL : malloc(n * sizeof(*tids) + 1);
	if (!error && !tids)
		error = &usp_error_no_memory;
	if (error)
		return error;
	if (n)
		qsort(v, n, sizeof(*v), by_rank);
	for (size_t i = 0; i < n; i++)
		tids[i] = v[i].tid;
	*ret = tids;
	*ret_n = n;
	return NULL;
}

/*
 * A thread stopped inside an rseq critical section must not go on in it: it was preempted, maybe moved to
 * another CPU. The kernel sends it to its abort handler on the way back to user space, after ptrace, and only
 * if the instruction pointer is then still inside; elsewhere (in the stub) it just forgets the section. So
 * once registers are set to the stub, the section would later be resumed as if nothing had happened.
 * Therefore what the kernel was about to do is done here: the thread goes back to the abort handler. A thread
 * inside a system call is in no critical section.
 */
static bool resolve_rseq(const struct target *target, pid_t tid, struct user_regs_struct *registers)
{
	if ((int64_t)registers->orig_rax >= 0)
		return true;
	struct rseq_configuration c = {0};
	if (ptrace(GET_RSEQ_CONFIGURATION, tid, sizeof(c), &c) < 0)
		return false; /* before Linux 5.13: no way to know */
	if (c.address == 0)
		return true;
	uint64_t address;
	struct rseq_critical_section cs;
	if (target_read(target, c.address + RSEQ_CS_OFFSET, &address, sizeof(address)) < 0)
		return false;
	if (address == 0)
		return true;
	if (target_read(target, address, &cs, sizeof(cs)) < 0)
		return false;
	if (registers->rip - cs.start_ip >= cs.post_commit_offset)
		return true;
	uint32_t signature;
	if (cs.version != 0 || cs.flags != 0 || cs.abort_ip - cs.start_ip < cs.post_commit_offset ||
	    target_read(target, cs.abort_ip - sizeof(signature), &signature, sizeof(signature)) < 0 ||
	    signature != c.signature)
		return false; /* the kernel would kill it for that: not our doing */
	registers->rip = cs.abort_ip;
	return true;
}

bool remote_suitable(struct threads *threads, struct thread *thread, struct user_regs_struct *registers,
		     const char **why, enum usp_code *code)
{
	const struct target *target = threads->target;
	*code = USP_NOT_QUIESCENT;
	*registers = thread->registers;
	struct dispatch_configuration dispatch = {0};
	if (ptrace(GET_SYSCALL_USER_DISPATCH_CONFIG, thread->tid, sizeof(dispatch), &dispatch) == 0 &&
	    dispatch.mode != 0) {
		*why = "it has its system calls dispatched to itself (PR_SET_SYSCALL_USER_DISPATCH)";
		*code = USP_UNSUPPORTED;
		return false;
	}
	if (!resolve_rseq(target, thread->tid, registers)) {
		*why = "it is in a restartable sequence (rseq), or it cannot be told whether it is";
		return false;
	}
	int mode = seccomp_mode(target, thread->tid);
	if (mode != 0) {
		int r = threads_suspend_seccomp(threads, thread);
		if (r < 0) {
			*why = mode == 1      ? "it is in seccomp strict mode, and suspending that takes "
						"CAP_SYS_ADMIN"
			       : r == -EINVAL ? "it has a seccomp filter, and this kernel cannot suspend one "
						"(CONFIG_CHECKPOINT_RESTORE)"
					      : "it has a seccomp filter, and suspending it takes "
						"CAP_SYS_ADMIN and a "
						"controller without a filter of its own";
			*code = USP_PERMISSION;
			return false;
		}
	}
	return true;
}
