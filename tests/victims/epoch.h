/* SPDX-License-Identifier: MIT */
/*
 * The epoch protocol: was the code that just ran allowed to run just then?
 *
 * What a call returns names its version (0 the original, 1 and 2 the payloads'). The test
 * (tests/e2e/epoch.py) and the victim share a page, with two words in it:
 *
 *   window  n, from, to. The test writes it (n + 1, A, B) before it starts a command that may switch from
 *           version A to B, and (n, B, B), "settled", after the command has ended with success. After one that
 *           failed: (n + 1, A, A). n only grows, so two equal words mean that nothing happened in between.
 *   seen    the greatest n of which somebody saw the new version in its window. The victim writes it.
 *
 * A call:
 *   1. w = window, s = seen (before the call begins)
 *   2. r = the call
 *   3. w' = window
 *   4. r is a version's number, and that of the function that was called ("foreign" if not)
 *   5. r is one of w's or w' 's from and to ("outside"). Settled and no window since: there is one.
 *   6. n is the same in w and w', and r is B: seen := n. Then, whoever begins a call from now on reads it in
 *      1, and: s = n and r is A is an error ("stale"). This is what may be said of "old and new never run at
 *      one time" from outside: the new code has returned to somebody before this call began, so no old may
 *      begin. Calls that overlap may give A and B: the one may have been done before the switch and look late.
 *   n differs by more than one (a thread that slept for windows on end): only 4, and counted as "crossed".
 *
 * From inside, dwell() and climb() in sites.h say it without that gap: they count who is inside of which
 * version, and see other versions' frames under their own ("mixed", and "foreign").
 *
 * The test may write "lax": then 6 is left out, for what is known to mix (a controller killed in a
 * rendezvous).
 */
#ifndef VICTIM_EPOCH_H
#define VICTIM_EPOCH_H

#include "sites.h"

#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/mman.h>

struct epoch_page {
	_Atomic uint64_t window; /* n << 8 | from << 4 | to */
	_Atomic uint64_t seen;
	_Atomic uint64_t lax;
};

/* A thread that calls for as long as the victim lives. */
struct epoch_caller {
	_Alignas(64) _Atomic uint64_t calls;
	uint64_t mark;
	_Atomic uint64_t verified; /* the last request that it has answered (gate.c) */
};

#define EPOCH_CALLERS 512
static struct epoch_page *epoch_page;
static struct epoch_caller epoch_callers[EPOCH_CALLERS];
static _Atomic unsigned epoch_n_callers;
static _Atomic uint64_t epoch_errors, epoch_crossed, epoch_other_calls, epoch_events, epoch_failures;
static atomic_flag epoch_has_first = ATOMIC_FLAG_INIT;
static char epoch_first[256] = "-";
/* Which functions are called: the first of f, and the others or not. */
static unsigned epoch_sites = SITES;
static bool epoch_extras = true;

struct epoch_view {
	uint64_t window, seen;
};

static inline bool epoch_open(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	epoch_page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	return epoch_page != MAP_FAILED;
}

static inline struct epoch_view epoch_begin(void)
{
	struct epoch_view v;
	v.window = atomic_load(&epoch_page->window);
	v.seen = atomic_load(&epoch_page->seen);
	return v;
}

static inline void epoch_wrong(const char *what, const struct epoch_view *b, uint64_t after, int number,
			       int result)
{
	atomic_fetch_add(&epoch_errors, 1);
	if (!atomic_flag_test_and_set(&epoch_has_first))
		snprintf(epoch_first, sizeof(epoch_first),
			 "%s: function %d gave %d, window %#llx to %#llx, seen %llu before", what, number,
			 result, (unsigned long long)b->window, (unsigned long long)after,
			 (unsigned long long)b->seen);
}

/* number's call, begun at b, returned result. publish: false for what ran in a forked child. */
static inline void epoch_judge(struct epoch_view b, int number, int result, bool publish)
{
	uint64_t after = atomic_load(&epoch_page->window);
	uint64_t n = b.window >> 8, n_after = after >> 8;
	unsigned from = b.window >> 4 & 15, to = b.window & 15;
	unsigned version = (unsigned)result / 1000;
	if (result < 0 || version > 2 || result % 1000 != number) {
		epoch_wrong("foreign", &b, after, number, result);
		return;
	}
	if (n_after - n > 1) {
		atomic_fetch_add_explicit(&epoch_crossed, 1, memory_order_relaxed);
		return;
	}
	if (version != from && version != to && version != (after >> 4 & 15) && version != (after & 15)) {
		epoch_wrong("outside", &b, after, number, result);
		return;
	}
	if (n != n_after || from == to || atomic_load_explicit(&epoch_page->lax, memory_order_relaxed))
		return;
	if (version == from && b.seen >= n) {
		epoch_wrong("stale", &b, after, number, result);
	} else if (version == to && publish) {
		uint64_t seen = atomic_load(&epoch_page->seen);
		while (seen < n && !atomic_compare_exchange_weak(&epoch_page->seen, &seen, n))
			;
	}
}

static int __attribute__((noinline)) epoch_leap(void)
{
	jmp_buf back;
	int r = setjmp(back);
	if (r)
		return r;
	leap(&back);
	return -1;
}

/* Some function, by some random number. */
static inline void epoch_call(unsigned *seed)
{
	*seed = *seed * 1664525u + 1013904223u;
	unsigned x = *seed >> 8;
	struct epoch_view b = epoch_begin();
	if (epoch_extras && x % 64 == 0) {
		static int (*const dwells[DWELLS])(void) = {dwell0, dwell1, dwell2, dwell3};
		x /= 64;
		if (x % 4 == 0)
			epoch_judge(b, SITE_CLIMB, climb((int)(x / 4 % 8)), true);
		else if (x % 4 == 1)
			epoch_judge(b, SITE_LEAP, epoch_leap(), true);
		else
			epoch_judge(b, (int)(SITE_DWELL + x / 4 % DWELLS), dwells[x / 4 % DWELLS](), true);
	} else {
		unsigned i = x / 64 % epoch_sites;
		epoch_judge(b, (int)i, sites[i](), true);
	}
}

static inline struct epoch_caller *epoch_enlist(void)
{
	unsigned i = atomic_fetch_add(&epoch_n_callers, 1);
	if (i >= EPOCH_CALLERS)
		abort();
	return &epoch_callers[i];
}

/* Only its own thread writes it. */
static inline void epoch_count(struct epoch_caller *caller)
{
	uint64_t calls = atomic_load_explicit(&caller->calls, memory_order_relaxed);
	atomic_store_explicit(&caller->calls, calls + 1, memory_order_relaxed);
}

/* Answers the commands that both victims have. false: not one of them. */
static inline bool epoch_command(const char *line)
{
	unsigned n = atomic_load(&epoch_n_callers);
	uint64_t calls = atomic_load(&epoch_other_calls), least = UINT64_MAX;
	for (unsigned i = 0; i < n; i++) {
		uint64_t c = atomic_load(&epoch_callers[i].calls);
		calls += c;
		if (c - epoch_callers[i].mark < least)
			least = c - epoch_callers[i].mark;
	}
	if (!strcmp(line, "report")) {
		/* least: calls since "mark" of the caller that made the fewest */
		victim_say("callers=%u calls=%llu least=%llu errors=%llu mixed=%ld crossed=%llu events=%llu "
			   "failures=%llu",
			   n, (unsigned long long)calls, (unsigned long long)(n ? least : 0),
			   (unsigned long long)atomic_load(&epoch_errors),
			   __atomic_load_n(&epoch_mixed, __ATOMIC_SEQ_CST),
			   (unsigned long long)atomic_load(&epoch_crossed),
			   (unsigned long long)atomic_load(&epoch_events),
			   (unsigned long long)atomic_load(&epoch_failures));
	} else if (!strcmp(line, "mark")) {
		for (unsigned i = 0; i < n; i++)
			epoch_callers[i].mark = atomic_load(&epoch_callers[i].calls);
		victim_say("marked");
	} else if (!strcmp(line, "first")) {
		victim_say("%s", epoch_first);
	} else {
		return false;
	}
	return true;
}

#endif
