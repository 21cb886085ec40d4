/* SPDX-License-Identifier: MIT */
/*
 * The target of bench/run: pause ASLEEP CALLERS BYSTANDERS SITES. A thousand functions f000 … f999. Callers
 * call the first SITES of them in turn, again and again; bystanders call none; each keeps the longest gap
 * that it sees between two rounds of its loop. The others sleep in system calls of several kinds, and say
 * when one comes back: nothing ever wakes them here, so whatever does is the patcher's doing.
 *
 * It says "ready TID…" with the ids of those who never sleep. Commands, a line each:
 *   reset    forgets the gaps and the sleepers' counts                                          -> "reset"
 *   settle   waits until each caller and bystander has gone round twice from now on: gaps that
 *            are open now are closed                                                            -> "settled"
 *   report   longest gap of any caller, of any bystander, ns; how often a sleeper's system call
 *            came back with EINTR, and with anything else     -> "caller=N bystander=N eintr=N returned=N"
 *   call     nanoseconds for a call of f000 (its best of ten rounds), from the main thread       -> NUMBER
 */
#define _GNU_SOURCE /* ppoll */
#include <errno.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#if defined(__clang__)
#define TARGET __attribute__((noinline, visibility("default")))
#else
#define TARGET __attribute__((noipa, visibility("default")))
#endif

#define ONE(n)                                                                               \
	extern int f##n(void);                                                               \
	TARGET int f##n(void)                                                                \
	{                                                                                    \
		__asm__ volatile("nop; nop; nop"); /* f000 must be long enough for a jump */ \
		return 1##n;                                                                 \
	}
#define NAME(n) f##n,
/* clang-format off */
#define TEN(X, d) X(d##0) X(d##1) X(d##2) X(d##3) X(d##4) X(d##5) X(d##6) X(d##7) X(d##8) X(d##9)
#define HUNDRED(X, d) TEN(X, d##0) TEN(X, d##1) TEN(X, d##2) TEN(X, d##3) TEN(X, d##4) \
		      TEN(X, d##5) TEN(X, d##6) TEN(X, d##7) TEN(X, d##8) TEN(X, d##9)
#define THOUSAND(X) HUNDRED(X, 0) HUNDRED(X, 1) HUNDRED(X, 2) HUNDRED(X, 3) HUNDRED(X, 4) \
		    HUNDRED(X, 5) HUNDRED(X, 6) HUNDRED(X, 7) HUNDRED(X, 8) HUNDRED(X, 9)
THOUSAND(ONE)
static int (*const functions[])(void) = { THOUSAND(NAME) };
/* clang-format on */

#define SITES_MAX ((int)(sizeof(functions) / sizeof(functions[0])))

/* One that never sleeps, on cache lines of its own. */
struct spinner {
	_Alignas(128) _Atomic uint64_t longest_ns;
	_Atomic uint64_t rounds;
	_Atomic int reset;
	_Atomic int tid;
	bool calls;
};

static int sites;
static int never[2], never_socket[2], never_epoll;
static uint32_t never_futex;
static _Atomic uint64_t interrupted, returned;
static _Atomic int sleeping; /* how many sleepers have started */

static uint64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void *spin(void *argument)
{
	struct spinner *self = argument;
	uint64_t last = now_ns(), longest = 0;
	int next = 0;
	atomic_store(&self->tid, (int)syscall(SYS_gettid));
	for (;;) {
		if (self->calls) {
			functions[next]();
			next = next + 1 < sites ? next + 1 : 0;
		}
		uint64_t now = now_ns();
		if (atomic_load_explicit(&self->reset, memory_order_relaxed)) {
			longest = 0;
			atomic_store(&self->longest_ns, 0);
			atomic_store(&self->reset, 0);
		} else if (now - last > longest) {
			longest = now - last;
			atomic_store_explicit(&self->longest_ns, longest, memory_order_relaxed);
		}
		last = now;
		atomic_fetch_add_explicit(&self->rounds, 1, memory_order_release);
	}
	return NULL;
}

/* Sleeps in one system call of the kind asked for, for ever; its result when it does come back. */
static long sleep_by(long kind)
{
	static const struct timespec long_time = {.tv_sec = 1000000};
	struct pollfd poll_never = {.fd = never[0], .events = POLLIN};
	struct epoll_event event;
	char c;
	switch (kind % 8) {
	case 0:
		return read(never[0], &c, 1);
	case 1:
		return syscall(SYS_futex, &never_futex, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
	case 2:
		return epoll_wait(never_epoll, &event, 1, -1);
	case 3:
		return poll(&poll_never, 1, -1);
	case 4:
		return nanosleep(&long_time, NULL);
	case 5:
		return recv(never_socket[0], &c, 1, 0);
	case 6:
		return clock_nanosleep(CLOCK_MONOTONIC, 0, &long_time, NULL) ? -1 : 0;
	default:
		return ppoll(&poll_never, 1, &long_time, NULL);
	}
}

static void *asleep(void *argument)
{
	atomic_fetch_add(&sleeping, 1);
	for (;;) {
		/* clock_nanosleep() says its error by what it returns: there EINTR is all it can be. */
		errno = EINTR;
		if (sleep_by((long)(intptr_t)argument) < 0 && errno == EINTR)
			atomic_fetch_add(&interrupted, 1);
		else
			atomic_fetch_add(&returned, 1);
	}
	return NULL;
}

static void settle(struct spinner *spinners, int n)
{
	uint64_t *start = calloc((size_t)n + 1, sizeof(*start));
	if (!start)
		exit(1);
	for (int i = 0; i < n; i++)
		start[i] = atomic_load(&spinners[i].rounds);
	for (int i = 0; i < n; i++)
		while (atomic_load(&spinners[i].rounds) < start[i] + 2)
			usleep(500);
	free(start);
}

static void reset(struct spinner *spinners, int n)
{
	for (int i = 0; i < n; i++)
		atomic_store(&spinners[i].reset, 1);
	for (int i = 0; i < n; i++)
		while (atomic_load(&spinners[i].reset))
			usleep(500);
	atomic_store(&interrupted, 0);
	atomic_store(&returned, 0);
}

static void report(struct spinner *spinners, int n)
{
	uint64_t longest[2] = {0, 0};
	for (int i = 0; i < n; i++) {
		uint64_t ns = atomic_load(&spinners[i].longest_ns);
		if (ns > longest[spinners[i].calls])
			longest[spinners[i].calls] = ns;
	}
	printf("caller=%llu bystander=%llu eintr=%llu returned=%llu\n", (unsigned long long)longest[1],
	       (unsigned long long)longest[0], (unsigned long long)atomic_load(&interrupted),
	       (unsigned long long)atomic_load(&returned));
}

static double call_ns(void)
{
	enum {
		CALLS = 20000000
	};
	double best = 1e9;
	for (int round = 0; round < 10; round++) {
		uint64_t start = now_ns();
		for (int i = 0; i < CALLS; i++)
			f000();
		double each = (double)(now_ns() - start) / CALLS;
		if (each < best)
			best = each;
	}
	return best;
}

/* As many threads as the machine lets this user have. */
static void raise_limit(void)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NPROC, &limit))
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NPROC, &limit);
}

static bool start(const pthread_attr_t *attributes, void *(*run)(void *), void *argument, int so_far)
{
	pthread_t t;
	int e = pthread_create(&t, attributes, run, argument);
	if (e)
		printf("refused: thread %d cannot be made: %s\n", so_far + 1, strerror(e));
	return !e;
}

int main(int argc, char **argv)
{
	int sleepers = argc > 1 ? atoi(argv[1]) : 0, callers = argc > 2 ? atoi(argv[2]) : 1;
	int bystanders = argc > 3 ? atoi(argv[3]) : 0, n = callers + bystanders;
	char line[64];
	sites = argc > 4 ? atoi(argv[4]) : 1;
	if (sleepers < 0 || callers < 0 || bystanders < 0 || sites < 1 || sites > SITES_MAX || pipe(never) ||
	    socketpair(AF_UNIX, SOCK_STREAM, 0, never_socket) || (never_epoll = epoll_create1(0)) < 0) {
		fprintf(stderr, "usage: pause ASLEEP CALLERS BYSTANDERS SITES (at most %d)\n", SITES_MAX);
		return 2;
	}
	struct spinner *spinners = aligned_alloc(128, ((size_t)n + 1) * sizeof(*spinners));
	if (!spinners)
		return 1;
	memset(spinners, 0, ((size_t)n + 1) * sizeof(*spinners));
	prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0);
	raise_limit();
	pthread_attr_t attributes;
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, 64 * 1024);
	for (int i = 0; i < sleepers; i++)
		if (!start(&attributes, asleep, (void *)(intptr_t)i, i))
			return 1;
	while (atomic_load(&sleeping) < sleepers)
		usleep(500);
	for (int i = 0; i < n; i++) {
		spinners[i].calls = i < callers;
		if (!start(&attributes, spin, &spinners[i], sleepers + i))
			return 1;
	}
	settle(spinners, n);
	printf("ready");
	for (int i = 0; i < n; i++)
		printf(" %d", atomic_load(&spinners[i].tid));
	putchar('\n');
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		if (!strcmp(line, "reset\n")) {
			reset(spinners, n);
			puts("reset");
		} else if (!strcmp(line, "settle\n")) {
			settle(spinners, n);
			puts("settled");
		} else if (!strcmp(line, "report\n")) {
			report(spinners, n);
		} else if (!strcmp(line, "call\n")) {
			printf("%.3f\n", call_ns());
		} else {
			puts("error");
		}
		fflush(stdout);
	}
	return 0;
}
