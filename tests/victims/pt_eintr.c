/* SPDX-License-Identifier: MIT */
/*
 * One thread in each system call that a mere stop ends with EINTR, or might. None may ever return: "check"
 * says which did
 * ("-" for none). Signals: "poke" sends SIGUSR1 (with a handler) to a thread in epoll_pwait, which then must
 * see EINTR: "poked N" says how often it did.
 */
#define _GNU_SOURCE
#include "victim.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>

#define LONG 1000 /* seconds: longer than any test */

static int empty_pipe[2], epoll_fd, poked_epoll_fd, semaphores, messages, pair[2], timed_pair[2],
	full_pair[2], listener;
static aio_context_t aio;
static unsigned futex_word;
static atomic_int n_inside, n_poked;
static const char *_Atomic returned;
static sigset_t blocked;

#define WAIT(name, expression)                                                                      \
	static void *in_##name(void *unused)                                                        \
	{                                                                                           \
		static char text[80];                                                               \
		pthread_setname_np(pthread_self(), #name);                                          \
		atomic_fetch_add(&n_inside, 1);                                                     \
		long r = (long)(expression);                                                        \
		snprintf(text, sizeof(text), "%s=%ld(%s)", #name, r, r < 0 ? strerror(errno) : ""); \
		atomic_store(&returned, text);                                                      \
		return unused;                                                                      \
	}

static char byte;
static struct epoll_event event;
static struct pollfd pollfd;
static const struct timespec limit = {LONG, 0};
static struct iovec vector = {&byte, 1};
static struct mmsghdr message = {.msg_hdr = {.msg_iov = &vector, .msg_iovlen = 1}};
static struct {
	long type;
	char text[8];
} letter;
static struct sembuf down = {0, -1, 0};

WAIT(epoll_wait, epoll_wait(epoll_fd, &event, 1, LONG * 1000))
WAIT(epoll_pwait, epoll_pwait(epoll_fd, &event, 1, -1, &blocked))
WAIT(epoll_pwait2, syscall(SYS_epoll_pwait2, epoll_fd, &event, 1, &limit, NULL, 0))
WAIT(poll, poll(&pollfd, 1, LONG * 1000))
WAIT(ppoll, ppoll(&pollfd, 1, &limit, &blocked))
WAIT(select, select(0, NULL, NULL, NULL, &(struct timeval){LONG, 0}))
WAIT(pselect, pselect(0, NULL, NULL, NULL, &limit, &blocked))
WAIT(nanosleep, nanosleep(&limit, NULL))
WAIT(clock_nanosleep, clock_nanosleep(CLOCK_MONOTONIC, 0, &limit, NULL))
WAIT(clock_absolute,
     clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &(struct timespec){time(NULL) + LONG, 0}, NULL))
WAIT(futex, syscall(SYS_futex, &futex_word, FUTEX_WAIT, 0, NULL, NULL, 0))
WAIT(futex_timed, syscall(SYS_futex, &futex_word, FUTEX_WAIT, 0, &limit, NULL, 0))
WAIT(read, read(empty_pipe[0], &byte, 1))
WAIT(accept, accept(listener, NULL, NULL))
WAIT(accept4, accept4(listener, NULL, NULL, SOCK_CLOEXEC))
WAIT(sigtimedwait, sigtimedwait(&blocked, NULL, &limit))
WAIT(sigwaitinfo, sigwaitinfo(&blocked, NULL))
WAIT(sigsuspend, sigsuspend(&blocked))
WAIT(pause, pause())
WAIT(semop, semop(semaphores, &down, 1))
WAIT(semtimedop, semtimedop(semaphores, &down, 1, &limit))
WAIT(msgrcv, msgrcv(messages, &letter, sizeof(letter.text), 0, 0))
WAIT(recv, recv(pair[0], &byte, 1, 0))
WAIT(recv_timed, recv(timed_pair[0], &byte, 1, 0))
WAIT(read_timed, read(timed_pair[0], &byte, 1))
WAIT(readv_timed, readv(timed_pair[0], &vector, 1))
WAIT(recvmsg_timed, recvmsg(timed_pair[0], &message.msg_hdr, 0))
WAIT(recvmmsg_timed, recvmmsg(timed_pair[0], &message, 1, 0, NULL))
WAIT(send_timed, send(full_pair[0], &byte, 1, 0))
WAIT(write_timed, write(full_pair[0], &byte, 1))
WAIT(sendmsg_timed, sendmsg(full_pair[0], &message.msg_hdr, 0))
WAIT(io_getevents, syscall(SYS_io_getevents, aio, 1, 1, &(struct io_event){0}, NULL))
WAIT(io_getevents_timed, syscall(SYS_io_getevents, aio, 1, 1, &(struct io_event){0}, &limit))

static void on_usr1(int signal_number)
{
	(void)signal_number;
}

/* Its signals have a handler, and come only while it waits: each ends one wait, and nothing else does. */
static void *in_poked(void *unused)
{
	sigset_t usr1;
	sigemptyset(&usr1);
	sigaddset(&usr1, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &usr1, NULL);
	pthread_setname_np(pthread_self(), "poked");
	atomic_fetch_add(&n_inside, 1);
	for (;;) {
		int r = epoll_pwait(poked_epoll_fd, &event, 1, LONG * 1000, &blocked);
		if (r != -1 || errno != EINTR)
			atomic_store(&returned, "poked");
		atomic_fetch_add(&n_poked, 1);
	}
	return unused;
}

static void fill(int fd)
{
	static char block[4096];
	while (send(fd, block, sizeof(block), MSG_DONTWAIT) > 0)
		;
}

int main(void)
{
	static void *(*const bodies[])(void *) = {
		in_epoll_wait,	   in_epoll_pwait,  in_epoll_pwait2,
		in_poll,	   in_ppoll,	    in_select,
		in_pselect,	   in_nanosleep,    in_clock_nanosleep,
		in_clock_absolute, in_futex,	    in_futex_timed,
		in_read,	   in_accept,	    in_accept4,
		in_sigtimedwait,   in_sigwaitinfo,  in_sigsuspend,
		in_pause,	   in_semop,	    in_semtimedop,
		in_msgrcv,	   in_recv,	    in_recv_timed,
		in_read_timed,	   in_readv_timed,  in_recvmsg_timed,
		in_recvmmsg_timed, in_send_timed,   in_write_timed,
		in_sendmsg_timed,  in_io_getevents, in_io_getevents_timed,
	};
	enum {
		N = sizeof(bodies) / sizeof(bodies[0])
	};
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct timeval timed = {LONG, 0};
	struct sigaction sa = {.sa_handler = on_usr1};
	char line[VICTIM_LINE];
	pthread_t t, poked;

	sigemptyset(&blocked);
	sigaddset(&blocked, SIGUSR2);
	sigprocmask(SIG_BLOCK, &blocked, NULL);
	sigaction(SIGUSR1, &sa, NULL);
	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	semaphores = semget(IPC_PRIVATE, 1, 0600);
	messages = msgget(IPC_PRIVATE, 0600);
	if (pipe2(empty_pipe, O_CLOEXEC) || (epoll_fd = epoll_create1(EPOLL_CLOEXEC)) < 0 ||
	    (poked_epoll_fd = epoll_create1(EPOLL_CLOEXEC)) < 0 ||
	    socketpair(AF_UNIX, SOCK_STREAM, 0, pair) || socketpair(AF_UNIX, SOCK_STREAM, 0, timed_pair) ||
	    socketpair(AF_UNIX, SOCK_STREAM, 0, full_pair) ||
	    setsockopt(timed_pair[0], SOL_SOCKET, SO_RCVTIMEO, &timed, sizeof(timed)) ||
	    setsockopt(full_pair[0], SOL_SOCKET, SO_SNDTIMEO, &timed, sizeof(timed)) ||
	    setsockopt(listener, SOL_SOCKET, SO_RCVTIMEO, &timed, sizeof(timed)) ||
	    bind(listener, (struct sockaddr *)&address, sizeof(sa_family_t)) || listen(listener, 1) ||
	    semaphores < 0 || messages < 0) {
		victim_say("error: cannot set up: %s", strerror(errno));
		return 1;
	}
	fill(full_pair[0]);
	pollfd = (struct pollfd){.fd = empty_pipe[0], .events = POLLIN};
	bool have_aio = syscall(SYS_io_setup, 1, &aio) == 0;
	int n = 0;
	for (int i = 0; i < N; i++) {
		if (!have_aio && (bodies[i] == in_io_getevents || bodies[i] == in_io_getevents_timed))
			continue;
		if (pthread_create(&t, NULL, bodies[i], NULL))
			return 1;
		n++;
	}
	if (pthread_create(&poked, NULL, in_poked, NULL))
		return 1;
	while (atomic_load(&n_inside) < n + 1)
		usleep(1000);
	usleep(20000); /* into the calls; who is later is only tried a little less */
	victim_ready();
	while (victim_next(line)) {
		const char *what = atomic_load(&returned);
		if (!strcmp(line, "check")) {
			victim_say("%s", what ? what : "-");
		} else if (!strcmp(line, "waits")) {
			victim_say("%d", n);
		} else if (!strcmp(line, "poke")) {
			pthread_kill(poked, SIGUSR1);
			victim_say("poked");
		} else if (!strcmp(line, "poked")) {
			victim_say("%d", atomic_load(&n_poked));
		} else {
			victim_say("error: no command %s", line);
		}
	}
	semctl(semaphores, 0, IPC_RMID);
	msgctl(messages, IPC_RMID, NULL);
	return 0;
}
