/* SPDX-License-Identifier: MIT */
/*
 * One thread asleep in each of the system calls that servers wait in, beside one that calls value() and
 * other() all the time. A sleeper that returns, for EINTR or for anything else, ends the program by abort():
 * nobody wakes them. They make the bare system calls, so that no C library tries again behind their back.
 * "ready" is said when each is asleep. sleepers -> "NAME:TID:NUMBER …", NUMBER of the system call    value,
 * other -> the result    calls -> how many
 */
#define _GNU_SOURCE
#include "victim.h"

#include <errno.h>
#include <linux/aio_abi.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/ipc.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>

extern int value(void), other(void);
VICTIM int value(void)
{
	OPAQUE();
	return 1;
}
VICTIM int other(void)
{
	OPAQUE();
	return 10;
}

#define DAY_S 86400 /* longer than any test */

static uint32_t futex_word;
static int never[2], epoll_fd, listener, semaphore_set; /* a pipe that nobody writes to */
static aio_context_t aio;
static _Atomic unsigned long calls;
static _Atomic bool ending;

struct sleeper {
	const char *name;
	long number;
	long (*sleep)(void);
	_Atomic pid_t tid;
};

static long sleep_epoll_wait(void)
{
	struct epoll_event e;
	return syscall(SYS_epoll_wait, epoll_fd, &e, 1, DAY_S * 1000);
}

static long sleep_epoll_pwait(void)
{
	struct epoll_event e;
	return syscall(SYS_epoll_pwait, epoll_fd, &e, 1, -1, NULL, 8);
}

static long sleep_poll(void)
{
	struct pollfd p = {.fd = never[0], .events = POLLIN};
	return syscall(SYS_poll, &p, 1, DAY_S * 1000);
}

static long sleep_nanosleep(void)
{
	struct timespec t = {DAY_S, 0};
	return syscall(SYS_nanosleep, &t, NULL);
}

static long sleep_clock_nanosleep(void)
{
	struct timespec t = {DAY_S, 0};
	return syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &t, NULL);
}

static long sleep_futex(void)
{
	return syscall(SYS_futex, &futex_word, FUTEX_WAIT, 0, NULL, NULL, 0);
}

static long sleep_read(void)
{
	char c;
	return syscall(SYS_read, never[0], &c, 1);
}

static long sleep_accept(void)
{
	return syscall(SYS_accept, listener, NULL, NULL);
}

static long sleep_sigtimedwait(void)
{
	uint64_t set = 1ull << (SIGUSR2 - 1);
	struct timespec t = {DAY_S, 0};
	return syscall(SYS_rt_sigtimedwait, &set, NULL, &t, 8);
}

static long sleep_semop(void)
{
	struct sembuf take = {0, -1, 0};
	return syscall(SYS_semop, semaphore_set, &take, 1);
}

static long sleep_io_getevents(void)
{
	struct io_event e;
	return syscall(SYS_io_getevents, aio, 1, 1, &e, NULL);
}

static struct sleeper sleepers[] = {
	{.name = "epoll_wait", .number = SYS_epoll_wait, .sleep = sleep_epoll_wait},
	{.name = "epoll_pwait", .number = SYS_epoll_pwait, .sleep = sleep_epoll_pwait},
	{.name = "poll", .number = SYS_poll, .sleep = sleep_poll},
	{.name = "nanosleep", .number = SYS_nanosleep, .sleep = sleep_nanosleep},
	{.name = "clock_nanosleep", .number = SYS_clock_nanosleep, .sleep = sleep_clock_nanosleep},
	{.name = "futex", .number = SYS_futex, .sleep = sleep_futex},
	{.name = "read", .number = SYS_read, .sleep = sleep_read},
	{.name = "accept", .number = SYS_accept, .sleep = sleep_accept},
	{.name = "sigtimedwait", .number = SYS_rt_sigtimedwait, .sleep = sleep_sigtimedwait},
	{.name = "semop", .number = SYS_semop, .sleep = sleep_semop},
	{.name = "io_getevents", .number = SYS_io_getevents, .sleep = sleep_io_getevents},
};
#define SLEEPERS (sizeof(sleepers) / sizeof(sleepers[0]))

static void *fall_asleep(void *argument)
{
	struct sleeper *s = argument;
	pthread_setname_np(pthread_self(), s->name);
	atomic_store(&s->tid, (pid_t)syscall(SYS_gettid));
	long r = s->sleep();
	while (atomic_load(&ending)) /* the semaphore goes before the process does */
		pause();
	fprintf(stderr, "sleepers: %s returned %ld (%s)\n", s->name, r, r < 0 ? strerror(errno) : "early");
	semctl(semaphore_set, 0, IPC_RMID); /* nobody else will */
	abort();
}

static void *call(void *unused)
{
	(void)unused;
	pthread_setname_np(pthread_self(), "caller");
	for (;;) {
		int v = value(), o = other();
		if ((v != 1 && v != 2) || (o != 10 && o != 20)) {
			fprintf(stderr, "sleepers: value() gave %d, other() %d\n", v, o);
			abort();
		}
		atomic_fetch_add(&calls, 1);
	}
	return NULL;
}

/* Asleep in the right system call, by what the kernel says of it. */
static bool is_asleep(const struct sleeper *s)
{
	char path[64], text[256] = "";
	pid_t tid = atomic_load(&s->tid);
	if (!tid)
		return false;
	snprintf(path, sizeof(path), "/proc/self/task/%d/syscall", (int)tid);
	FILE *f = fopen(path, "re");
	if (!f)
		return false;
	char *got = fgets(text, sizeof(text), f), *end;
	fclose(f);
	long number = got ? strtol(text, &end, 10) : -1;
	return got && end != text && number == s->number;
}

int main(void)
{
	char line[VICTIM_LINE];
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	sigset_t blocked;
	pthread_t t;

	sigemptyset(&blocked);
	sigaddset(&blocked, SIGUSR2);
	sigprocmask(SIG_BLOCK, &blocked, NULL);
	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	semaphore_set = semget(IPC_PRIVATE, 1, 0600);
	if (pipe(never) || epoll_fd < 0 || semaphore_set < 0 ||
	    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, never[0], &(struct epoll_event){.events = EPOLLIN}) ||
	    bind(listener, (struct sockaddr *)&address, sizeof(sa_family_t)) || listen(listener, 1) ||
	    syscall(SYS_io_setup, 1, &aio)) {
		victim_say("error: cannot set up: %s", strerror(errno));
		return 1;
	}
	for (size_t i = 0; i < SLEEPERS; i++)
		if (pthread_create(&t, NULL, fall_asleep, &sleepers[i]))
			return 1;
	if (pthread_create(&t, NULL, call, NULL))
		return 1;
	for (size_t i = 0; i < SLEEPERS; i++)
		while (!is_asleep(&sleepers[i]))
			usleep(1000);
	victim_ready();
	while (victim_next(line)) {
		if (!strcmp(line, "value")) {
			victim_say("%d", value());
		} else if (!strcmp(line, "other")) {
			victim_say("%d", other());
		} else if (!strcmp(line, "calls")) {
			victim_say("%lu", atomic_load(&calls));
		} else if (!strcmp(line,
				   "wake")) { /* the test of the test: one sleeper is woken, and aborts */
			futex_word = 1;
			syscall(SYS_futex, &futex_word, FUTEX_WAKE, 1, NULL, NULL, 0);
		} else if (!strcmp(line, "sleepers")) {
			char text[VICTIM_LINE] = "";
			size_t n = 0;
			for (size_t i = 0; i < SLEEPERS; i++)
				n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s:%d:%ld", i ? " " : "",
						      sleepers[i].name, (int)atomic_load(&sleepers[i].tid),
						      sleepers[i].number);
			victim_say("%s", text);
		} else {
			victim_say("error: no command %s", line);
		}
	}
	atomic_store(&ending, true);
	semctl(semaphore_set, 0, IPC_RMID);
	fflush(NULL);
	_exit(0);
}
