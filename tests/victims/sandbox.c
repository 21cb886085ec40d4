/* SPDX-License-Identifier: MIT */
/*
 * A process that has shut itself in. Arguments, any of: nnp (no new privileges), seccomp (a filter that kills
 * the process for anything but reading, writing, sleeping and ending), errno (a filter that answers EPERM to
 * mmap, mprotect, membarrier), mdwe (memory-deny-write-execute: the kernel's own where it has it, else
 * systemd's seccomp filter), dumpable (prctl(PR_SET_DUMPABLE, 0)), rlimit (no more address space than it
 * has).
 */
#define _GNU_SOURCE
#include "victim.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#ifndef PR_SET_MDWE
#define PR_SET_MDWE		 65
#define PR_MDWE_REFUSE_EXEC_GAIN 1
#endif

extern int value(void);
VICTIM int value(void)
{
	OPAQUE();
	return 1;
}

#define ALLOW(number) \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
#define DENY(number)                                       \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1), \
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM)

static int filter(const struct sock_filter *v, unsigned short n)
{
	struct sock_fprog program = {.len = n, .filter = (struct sock_filter *)v};
	return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program);
}

static int shut_in(void)
{
	static const struct sock_filter v[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		ALLOW(SYS_read),
		ALLOW(SYS_write),
		ALLOW(SYS_restart_syscall),
		ALLOW(SYS_nanosleep),
		ALLOW(SYS_clock_nanosleep),
		ALLOW(SYS_exit),
		ALLOW(SYS_exit_group),
		ALLOW(SYS_rt_sigreturn),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
	};
	return filter(v, sizeof(v) / sizeof(v[0]));
}

static int deny(void)
{
	static const struct sock_filter v[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		DENY(SYS_mmap),
		DENY(SYS_mprotect),
		DENY(SYS_membarrier),
		DENY(SYS_munmap),
		DENY(SYS_prctl),
		DENY(SYS_memfd_create),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	return filter(v, sizeof(v) / sizeof(v[0]));
}

/* What systemd's MemoryDenyWriteExecute= does without the kernel's help. */
static int deny_write_execute(void)
{
	static const struct sock_filter v[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mmap, 0, 4),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])),
		BPF_STMT(BPF_ALU | BPF_AND | BPF_K, PROT_WRITE | PROT_EXEC),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PROT_WRITE | PROT_EXEC, 0, 6),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mprotect, 0, 4),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])),
		BPF_STMT(BPF_ALU | BPF_AND | BPF_K, PROT_EXEC),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PROT_EXEC, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	return filter(v, sizeof(v) / sizeof(v[0]));
}

static atomic_int started;

static void *second(void *unused)
{
	(void)unused;
	for (;;) {
		value();
		atomic_store(&started, 1);
		struct timespec t = {0, 1000000};
		nanosleep(&t, NULL);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	char line[VICTIM_LINE];
	pthread_t t;
	const char *how = "";
	prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0);
	if (pthread_create(&t, NULL, second, NULL))
		return 1;
	/* A thread's birth takes system calls that the filter does not have. */
	while (!atomic_load(&started))
		usleep(100);
	for (int i = 1; i < argc; i++) {
		int r = -1;
		if (!strcmp(argv[i], "nnp"))
			r = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
		else if (!strcmp(argv[i], "seccomp"))
			r = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || shut_in() ? -1 : 0;
		else if (!strcmp(argv[i], "errno"))
			r = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || deny() ? -1 : 0;
		else if (!strcmp(argv[i], "mdwe")) {
			r = prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0);
			how = " kernel";
			if (r && errno == EINVAL) {
				prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
				r = deny_write_execute();
				how = " filter";
			}
			/* It must really hold, or the test shows nothing. */
			if (!r && mmap(NULL, 4096, PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1,
				       0) != MAP_FAILED)
				r = -1;
		} else if (!strcmp(argv[i], "dumpable"))
			r = prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
		if (r) {
			victim_say("error: cannot set %s: %s", argv[i], strerror(errno));
			return 1;
		}
	}
	victim_say("ready%s", how);
	while (victim_next(line)) {
		if (!strcmp(line, "value"))
			victim_say("%d", value());
		else
			victim_say("error: no command %s", line);
	}
	syscall(SYS_exit_group, 0);
}
