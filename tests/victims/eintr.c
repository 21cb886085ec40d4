/* SPDX-License-Identifier: MIT */
/*
 * One thread in each blocking system call that Linux knows how to interrupt. None of them may ever see EINTR,
 * an early return or a changed time-out. check -> "waiting=… failures=… first=NAME"; release ends every wait
 * properly.
 */
#define _GNU_SOURCE
#include "victim.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <mqueue.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/sendfile.h>

extern int value(void);
VICTIM int value(void)
{
	OPAQUE();
	return 1;
}

static atomic_int waiting, done, failures;
static const char *_Atomic first_failure;
static atomic_int released;
static uint32_t futex_word;
static int release_fd[2]; /* closed for writing on release: every reader wakes */

static void fail(const char *name, const char *why)
{
	const char *nothing = NULL;
	atomic_fetch_add(&failures, 1);
	static _Thread_local char text[128];
	snprintf(text, sizeof(text), "%s: %s", name, why);
	atomic_compare_exchange_strong(&first_failure, &nothing, strdup(text));
}

/* A wait ended: right only after the release. */
static void ended(const char *name, long r)
{
	int e = errno;
	if (r < 0 && e == EINTR)
		fail(name, "EINTR");
	else if (!atomic_load(&released))
		fail(name, r < 0 ? strerror(e) : "ended early");
	atomic_fetch_add(&done, 1);
}

#define WAITER(name, expression)                           \
	static void *wait_##name(void *unused)             \
	{                                                  \
		(void)unused;                              \
		pthread_setname_np(pthread_self(), #name); \
		atomic_fetch_add(&waiting, 1);             \
		ended(#name, (long)(expression));          \
		return NULL;                               \
	}

#define LONG 1000 /* seconds: longer than any test */

static int epoll_fd, semaphore_set, message_queue, socket_pair[2], listener, stream_pair[2];
static char buffer[1 << 16];

static int add_epoll(void)
{
	struct epoll_event e = {.events = EPOLLIN};
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, release_fd[0], &e);
}

WAITER(read, read(release_fd[0], &(char){0}, 1))
WAITER(poll, poll(&(struct pollfd){.fd = release_fd[0], .events = POLLIN}, 1, LONG * 1000))
WAITER(ppoll,
       ppoll(&(struct pollfd){.fd = release_fd[0], .events = POLLIN}, 1, &(struct timespec){LONG, 0}, NULL))
WAITER(epoll, epoll_wait(epoll_fd, &(struct epoll_event){0}, 1, LONG * 1000))
WAITER(epoll_forever, epoll_wait(epoll_fd, &(struct epoll_event){0}, 1, -1))
WAITER(futex, syscall(SYS_futex, &futex_word, FUTEX_WAIT, 0, NULL, NULL, 0))
WAITER(futex_timed, syscall(SYS_futex, &futex_word, FUTEX_WAIT, 0, &(struct timespec){LONG, 0}, NULL, 0))
WAITER(semop, semop(semaphore_set, &(struct sembuf){0, -1, 0}, 1))
WAITER(semtimedop, semtimedop(semaphore_set, &(struct sembuf){0, -1, 0}, 1, &(struct timespec){LONG, 0}))
WAITER(msgrcv, msgrcv(message_queue, &(struct {
			      long t;
			      char c[8];
		      }){0},
		      8, 0, 0))
WAITER(recv, recv(socket_pair[0], &(char){0}, 1, 0))
WAITER(recv_timed, recv(stream_pair[0], &(char){0}, 1, 0))
WAITER(accept, accept(listener, NULL, NULL))
WAITER(flock, flock(open("/proc/self/exe", O_RDONLY | O_CLOEXEC), LOCK_SH))

static void *wait_select(void *unused)
{
	fd_set set;
	(void)unused;
	FD_ZERO(&set);
	FD_SET(release_fd[0], &set);
	pthread_setname_np(pthread_self(), "select");
	atomic_fetch_add(&waiting, 1);
	struct timeval limit = {LONG, 0};
	ended("select", select(release_fd[0] + 1, &set, NULL, NULL, &limit));
	return NULL;
}

/* Blocks all signals but for sigtimedwait's own: a mere stop must not end the wait. */
static void *wait_sigtimedwait(void *unused)
{
	sigset_t set;
	(void)unused;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	pthread_setname_np(pthread_self(), "sigtimedwait");
	atomic_fetch_add(&waiting, 1);
	ended("sigtimedwait", sigtimedwait(&set, NULL, &(struct timespec){LONG, 0}));
	return NULL;
}

/* Sleeps a given time: it must have slept at least that and not much more, however often it was stopped. */
static void *wait_nanosleep(void *unused)
{
	(void)unused;
	pthread_setname_np(pthread_self(), "nanosleep");
	atomic_fetch_add(&waiting, 1);
	while (!atomic_load(&released)) {
		unsigned long long start = victim_now_ns();
		struct timespec nap = {0, 300000000};
		if (nanosleep(&nap, NULL))
			fail("nanosleep", strerror(errno));
		if (victim_now_ns() - start < 300000000ull)
			fail("nanosleep", "returned early");
	}
	atomic_fetch_add(&done, 1);
	return NULL;
}

static void *wait_clock_nanosleep(void *unused)
{
	(void)unused;
	pthread_setname_np(pthread_self(), "clock_nanosleep");
	atomic_fetch_add(&waiting, 1);
	while (!atomic_load(&released)) {
		unsigned long long start = victim_now_ns();
		struct timespec nap = {0, 200000000};
		if (clock_nanosleep(CLOCK_MONOTONIC, 0, &nap, NULL))
			fail("clock_nanosleep", "error");
		if (victim_now_ns() - start < 200000000ull)
			fail("clock_nanosleep", "returned early");
	}
	atomic_fetch_add(&done, 1);
	return NULL;
}

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static sem_t semaphore;

static void *wait_condition(void *unused)
{
	(void)unused;
	pthread_mutex_lock(&mutex);
	atomic_fetch_add(&waiting, 1);
	while (!atomic_load(&released))
		if (pthread_cond_wait(&condition, &mutex))
			fail("pthread_cond_wait", "error");
	pthread_mutex_unlock(&mutex);
	atomic_fetch_add(&done, 1);
	return NULL;
}

WAITER(semaphore, sem_wait(&semaphore))

static void *wait_pause(void *unused)
{
	(void)unused;
	pthread_setname_np(pthread_self(), "pause");
	atomic_fetch_add(&waiting, 1);
	pause(); /* returns only after a handler ran */
	if (!atomic_load(&released))
		fail("pause", "returned");
	atomic_fetch_add(&done, 1);
	return NULL;
}

static void *wait_waitpid(void *child)
{
	pid_t pid = *(pid_t *)child;
	pthread_setname_np(pthread_self(), "waitpid");
	atomic_fetch_add(&waiting, 1);
	ended("waitpid", waitpid(pid, NULL, 0));
	return NULL;
}

static void on_release(int signal_number)
{
	(void)signal_number;
}

int main(void)
{
	static void *(*const bodies[])(void *) = {
		wait_read,
		wait_poll,
		wait_ppoll,
		wait_epoll,
		wait_epoll_forever,
		wait_futex,
		wait_futex_timed,
		wait_semop,
		wait_semtimedop,
		wait_msgrcv,
		wait_recv,
		wait_recv_timed,
		wait_accept,
		wait_select,
		wait_sigtimedwait,
		wait_nanosleep,
		wait_clock_nanosleep,
		wait_condition,
		wait_semaphore,
		wait_pause,
		wait_flock,
	};
	enum {
		N = sizeof(bodies) / sizeof(bodies[0])
	};
	pthread_t threads[N], waiter;
	sigset_t blocked;
	char line[VICTIM_LINE];
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	sigemptyset(&blocked);
	sigaddset(&blocked, SIGUSR2);
	sigprocmask(SIG_BLOCK, &blocked, NULL);
	struct sigaction sa = {.sa_handler = on_release};
	sigaction(SIGUSR1, &sa, NULL);
	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	semaphore_set = semget(IPC_PRIVATE, 1, 0600);
	message_queue = msgget(IPC_PRIVATE, 0600);
	struct timeval limit = {LONG, 0};
	int lock = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	if (pipe2(release_fd, O_CLOEXEC) || add_epoll() || socketpair(AF_UNIX, SOCK_DGRAM, 0, socket_pair) ||
	    socketpair(AF_UNIX, SOCK_STREAM, 0, stream_pair) ||
	    setsockopt(stream_pair[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) ||
	    bind(listener, (struct sockaddr *)&address, sizeof(sa_family_t)) || listen(listener, 1) ||
	    semaphore_set < 0 || message_queue < 0 || sem_init(&semaphore, 0, 0) || flock(lock, LOCK_EX)) {
		victim_say("error: cannot set up: %s", strerror(errno));
		return 1;
	}
	pid_t child = fork();
	if (child == 0) {
		/* The release pipe's end tells the child, too. */
		close(release_fd[1]);
		char c;
		_exit(read(release_fd[0], &c, 1) == 0 ? 0 : 1);
	}
	for (int i = 0; i < N; i++)
		if (pthread_create(&threads[i], NULL, bodies[i], NULL))
			return 1;
	if (pthread_create(&waiter, NULL, wait_waitpid, &child))
		return 1;
	while (atomic_load(&waiting) < N + 1)
		usleep(1000);
	usleep(20000); /* into the calls; who is later only waits a little less */
	victim_ready();
	while (victim_next(line)) {
		if (!strcmp(line, "value")) {
			victim_say("%d", value());
		} else if (!strcmp(line, "check")) {
			const char *first = atomic_load(&first_failure);
			victim_say("waiting=%d ended=%d failures=%d first=%s", N + 1, atomic_load(&done),
				   atomic_load(&failures), first ? first : "-");
		} else if (!strcmp(line, "release")) {
			struct sockaddr_un peer = {.sun_family = AF_UNIX};
			socklen_t size = sizeof(peer);
			atomic_store(&released, 1);
			close(release_fd[1]);
			while (atomic_load(&done) <
			       N + 1) { /* again and again: some wait for more than one thing */
				futex_word = 1;
				syscall(SYS_futex, &futex_word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
				semctl(semaphore_set, 0, SETVAL, 2);
				msgsnd(message_queue, &(struct {
					       long t;
					       char c[8];
				       }){.t = 1},
				       8, IPC_NOWAIT);
				send(socket_pair[1], "x", 1, MSG_DONTWAIT);
				send(stream_pair[1], "x", 1, MSG_DONTWAIT);
				getsockname(listener, (struct sockaddr *)&peer, &size);
				int s = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
				connect(s, (struct sockaddr *)&peer, size);
				pthread_mutex_lock(&mutex);
				pthread_cond_broadcast(&condition);
				pthread_mutex_unlock(&mutex);
				sem_post(&semaphore);
				flock(lock, LOCK_UN);
				pthread_kill(threads[14], SIGUSR2);
				for (int i = 0; i < N; i++)
					if (bodies[i] == wait_pause)
						pthread_kill(threads[i], SIGUSR1);
				usleep(5000);
				close(s);
			}
			victim_say("released failures=%d", atomic_load(&failures));
			break;
		} else {
			victim_say("error: no command %s", line);
		}
	}
	semctl(semaphore_set, 0, IPC_RMID);
	msgctl(message_queue, IPC_RMID, NULL);
	(void)buffer;
	return 0;
}
