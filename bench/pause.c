/* SPDX-License-Identifier: MIT */
/*
 * The target of bench/run: pause THREADS SPINNING. A hundred functions f00 … f99; the spinning threads call
 * f00 again and again and each keeps its longest gap between two calls, the others sleep in the kernel.
 * Commands, a line each: reset   forgets the gaps                       -> "reset" settle  waits until each
 * spinner has called twice from now on: gaps that are open now are closed -> "settled" gap     the longest
 * gap of any, nanoseconds    -> NUMBER call    nanoseconds for a call of f00 (its best of ten rounds), from
 * the main thread -> NUMBER
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#if defined(__clang__)
#define TARGET __attribute__((noinline, visibility("default")))
#else
#define TARGET __attribute__((noipa, visibility("default")))
#endif

#define ONE(n)                                                                              \
	extern int f##n(void);                                                              \
	TARGET int f##n(void)                                                               \
	{                                                                                   \
		__asm__ volatile("nop; nop; nop"); /* f00 must be long enough for a jump */ \
		return 1##n;                                                                \
	}
/* Ends in a declaration, so that it takes a semicolon. */
#define TEN(d)    \
	ONE(d##0) \
	ONE(d##1) \
	ONE(d##2) \
	ONE(d##3) ONE(d##4) ONE(d##5) ONE(d##6) ONE(d##7) ONE(d##8) ONE(d##9) extern int f##d##0(void)
TEN(0);
TEN(1);
TEN(2);
TEN(3);
TEN(4);
TEN(5);
TEN(6);
TEN(7);
TEN(8);
TEN(9);

/* One a spinner, on cache lines of its own. */
struct spinner {
	_Alignas(128) _Atomic uint64_t longest_ns;
	_Atomic uint64_t calls;
	_Atomic int reset;
};

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
	for (;;) {
		f00();
		uint64_t now = now_ns();
		if (atomic_load_explicit(&self->reset, memory_order_relaxed)) {
			atomic_store(&self->reset, 0);
			longest = 0;
			atomic_store(&self->longest_ns, 0);
		} else if (now - last > longest) {
			longest = now - last;
			atomic_store_explicit(&self->longest_ns, longest, memory_order_relaxed);
		}
		last = now;
		atomic_fetch_add_explicit(&self->calls, 1, memory_order_release);
	}
	return NULL;
}

static int never[2];
static void *asleep(void *unused)
{
	char c;
	(void)unused;
	return read(never[0], &c, 1) == 1 ? NULL : (void *)1;
}

static void settle(struct spinner *spinners, int n)
{
	uint64_t *start = calloc((size_t)n + 1, sizeof(*start));
	if (!start)
		exit(1);
	for (int i = 0; i < n; i++)
		start[i] = atomic_load(&spinners[i].calls);
	for (int i = 0; i < n; i++)
		while (atomic_load(&spinners[i].calls) < start[i] + 2)
			usleep(500);
	free(start);
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
			f00();
		double each = (double)(now_ns() - start) / CALLS;
		if (each < best)
			best = each;
	}
	return best;
}

int main(int argc, char **argv)
{
	int threads = argc > 1 ? atoi(argv[1]) : 1, spinning = argc > 2 ? atoi(argv[2]) : 1;
	char line[64];
	struct spinner *spinners = aligned_alloc(128, ((size_t)spinning + 1) * sizeof(*spinners));
	pthread_attr_t attributes;
	if (!spinners || threads < spinning || spinning < 0 || pipe(never))
		return 2;
	memset(spinners, 0, ((size_t)spinning + 1) * sizeof(*spinners));
	prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0);
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, 128 * 1024);
	for (int i = 0; i < threads; i++) {
		pthread_t t;
		if (pthread_create(&t, &attributes, i < spinning ? spin : asleep,
				   i < spinning ? &spinners[i] : NULL))
			return 1;
	}
	settle(spinners, spinning);
	puts("ready");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		if (!strcmp(line, "reset\n")) {
			for (int i = 0; i < spinning; i++)
				atomic_store(&spinners[i].reset, 1);
			for (int i = 0; i < spinning; i++)
				while (atomic_load(&spinners[i].reset))
					usleep(500);
			puts("reset");
		} else if (!strcmp(line, "settle\n")) {
			settle(spinners, spinning);
			puts("settled");
		} else if (!strcmp(line, "gap\n")) {
			uint64_t longest = 0;
			for (int i = 0; i < spinning; i++)
				if (atomic_load(&spinners[i].longest_ns) > longest)
					longest = atomic_load(&spinners[i].longest_ns);
			printf("%llu\n", (unsigned long long)longest);
		} else if (!strcmp(line, "call\n")) {
			printf("%.3f\n", call_ns());
		} else {
			puts("error");
		}
		fflush(stdout);
	}
	return 0;
}
