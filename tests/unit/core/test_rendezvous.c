/* SPDX-License-Identifier: MIT */
/* The rendezvous with pthreads as cores: meant for ThreadSanitizer too. */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "core/errno.h"
#include "core/rendezvous.h"

#define CORES	4
#define ROUNDS	100000
#define FOREVER UINT64_MAX

static uint64_t fake_now; /* atomic */

static uint64_t now(void *host)
{
	(void)host;
	return __atomic_load_n(&fake_now, __ATOMIC_RELAXED);
}

static void relax(void *host)
{
	(void)host;
	sched_yield();
}

static const struct host_ops ops = {.now_ns = now, .relax = relax};

static void first_is_master(void **state)
{
	(void)state;
	struct rendezvous r;
	uint32_t g, g2;
	rendezvous_init(&r);
	assert_int_equal(rendezvous_open(&r, 0, FOREVER, &g), -CORE_EINVAL);
	assert_int_equal(rendezvous_open(&r, RENDEZVOUS_CORES_MAX + 1, FOREVER, &g), -CORE_EINVAL);
	assert_int_equal(rendezvous_arrive(&r, 1), -CORE_ESTALE); /* nothing is open */
	assert_int_equal(rendezvous_open(&r, 3, FOREVER, &g), 0);
	assert_int_equal(rendezvous_open(&r, 3, FOREVER, &g2), -CORE_EBUSY);
	assert_int_equal(rendezvous_arrive(&r, g), RENDEZVOUS_MASTER);
	assert_int_equal(rendezvous_arrive(&r, g), RENDEZVOUS_WORKER);
	assert_false(rendezvous_complete(&r, g));
	assert_int_equal(rendezvous_release(&r, g), -CORE_EBUSY);
	assert_int_equal(rendezvous_arrive(&r, g), RENDEZVOUS_WORKER);
	assert_true(rendezvous_complete(&r, g));
	assert_int_equal(rendezvous_arrive(&r, g), -CORE_EALREADY);
	assert_int_equal(rendezvous_abort(&r, g), -CORE_EALREADY);
	assert_int_equal(rendezvous_gather(&r, g, &ops, NULL), 0);
	assert_int_equal(rendezvous_release(&r, g), 0);
	assert_int_equal(rendezvous_release(&r, g), -CORE_ESTALE);
	assert_false(rendezvous_complete(&r, g));
}

static void growth_and_loss(void **state)
{
	(void)state;
	struct rendezvous r;
	uint32_t g;
	rendezvous_init(&r);
	assert_int_equal(rendezvous_open(&r, 1, FOREVER, &g), 0);
	assert_int_equal(rendezvous_grow(&r, g, RENDEZVOUS_CORES_MAX), -CORE_EINVAL);
	assert_int_equal(rendezvous_grow(&r, g, 2), 0);
	assert_int_equal(rendezvous_arrive(&r, g), RENDEZVOUS_MASTER);
	assert_int_equal(rendezvous_arrive(&r, g), RENDEZVOUS_WORKER);
	assert_false(rendezvous_complete(&r, g));
	assert_int_equal(rendezvous_grow(&r, g, 1), 0);
	assert_int_equal(rendezvous_shrink(&r, g), 0);
	assert_false(rendezvous_complete(&r, g));
	assert_int_equal(rendezvous_shrink(&r, g), 0); /* the last missing one died */
	assert_true(rendezvous_complete(&r, g));
	assert_int_equal(rendezvous_grow(&r, g, 1), -CORE_EALREADY);
	assert_int_equal(rendezvous_shrink(&r, g), -CORE_EALREADY);
	assert_int_equal(rendezvous_release(&r, g), 0);
	assert_int_equal(rendezvous_grow(&r, g, 1), -CORE_ESTALE);
	assert_int_equal(rendezvous_shrink(&r, g), -CORE_ESTALE);
	/* All that were expected are gone before one arrived: over, not complete without a master. */
	assert_int_equal(rendezvous_open(&r, 1, FOREVER, &g), 0);
	assert_int_equal(rendezvous_shrink(&r, g), 0);
	assert_false(rendezvous_complete(&r, g));
	assert_int_equal(rendezvous_open(&r, 1, FOREVER, &g), 0);
	assert_int_equal(rendezvous_abort(&r, g), 0);
}

static void late_cores_are_turned_away(void **state)
{
	(void)state;
	struct rendezvous r;
	uint32_t g1, g2;
	rendezvous_init(&r);
	__atomic_store_n(&fake_now, 0, __ATOMIC_RELAXED);
	assert_int_equal(rendezvous_open(&r, 2, 100, &g1), 0);
	assert_int_equal(rendezvous_arrive(&r, g1), RENDEZVOUS_MASTER);
	__atomic_store_n(&fake_now, 100, __ATOMIC_RELAXED);
	assert_int_equal(rendezvous_gather(&r, g1, &ops, NULL), -CORE_ETIMEDOUT);
	/* The other one comes now, and again in the middle of the next round: it neither wedges nor counts.
	 */
	assert_int_equal(rendezvous_arrive(&r, g1), -CORE_ESTALE);
	assert_int_equal(rendezvous_open(&r, 2, 200, &g2), 0);
	assert_int_not_equal(g1, g2);
	assert_int_equal(rendezvous_arrive(&r, g1), -CORE_ESTALE);
	rendezvous_hold(&r, g1, &ops, NULL); /* returns */
	assert_int_equal(rendezvous_abort(&r, g1), -CORE_ESTALE);
	assert_int_equal(rendezvous_release(&r, g1), -CORE_ESTALE);
	assert_int_equal(rendezvous_arrive(&r, g2), RENDEZVOUS_MASTER);
	assert_int_equal(rendezvous_arrive(&r, g2), RENDEZVOUS_WORKER);
	/* Complete before the deadline, so the deadline no longer counts. */
	__atomic_store_n(&fake_now, 1000, __ATOMIC_RELAXED);
	assert_int_equal(rendezvous_gather(&r, g2, &ops, NULL), 0);
	assert_int_equal(rendezvous_release(&r, g2), 0);
	__atomic_store_n(&fake_now, 0, __ATOMIC_RELAXED);
}

static void generations_wrap(void **state)
{
	(void)state;
	struct rendezvous r;
	uint32_t g;
	rendezvous_init(&r);
	r.word = (uint64_t)UINT32_MAX << 32;
	assert_int_equal(rendezvous_open(&r, 1, FOREVER, &g), 0);
	assert_int_equal(g, UINT32_MAX);
	assert_int_equal(rendezvous_arrive(&r, g), RENDEZVOUS_MASTER);
	assert_int_equal(rendezvous_release(&r, g), 0);
	assert_int_equal(rendezvous_open(&r, 1, FOREVER, &g), 0);
	assert_int_equal(g, 0);
	assert_int_equal(rendezvous_abort(&r, g), 0);
}

/* Cores that arrive by themselves. */
struct crowd {
	struct rendezvous r;
	uint32_t asked; /* atomic: the generation asked for, 0: none; what an IPI would carry */
	bool stop;	/* atomic */
	long plain;	/* written by masters only, no atomic: TSan sees whether they are alone */
	long in_act;	/* atomic */
	long acted, late, aborted, held; /* atomic */
};

static int act(void *context)
{
	struct crowd *crowd = context;
	crowd->plain++;
	if (__atomic_add_fetch(&crowd->in_act, 1, __ATOMIC_RELAXED) != 1)
		return -1;
	__atomic_sub_fetch(&crowd->in_act, 1, __ATOMIC_RELAXED);
	__atomic_add_fetch(&crowd->acted, 1, __ATOMIC_RELAXED);
	return 0;
}

struct one_core {
	struct crowd *crowd;
	unsigned laziness; /* now and then it answers a request long after it was made */
	long seen;
};

static void *core(void *context)
{
	struct one_core *one = context;
	struct crowd *crowd = one->crowd;
	uint32_t answered = 0;
	unsigned n = 0;
	while (!__atomic_load_n(&crowd->stop, __ATOMIC_ACQUIRE)) {
		uint32_t g = __atomic_load_n(&crowd->asked, __ATOMIC_ACQUIRE);
		if (g == answered) {
			sched_yield();
			continue;
		}
		answered = g;
		if (one->laziness && ++n % one->laziness == 0)
			for (int i = 0; i < 20; i++)
				sched_yield();
		int r = rendezvous_enter(&crowd->r, g, &ops, NULL, act, crowd);
		if (r == -CORE_ESTALE)
			__atomic_add_fetch(&crowd->late, 1, __ATOMIC_RELAXED);
		else if (r == -CORE_ETIMEDOUT)
			__atomic_add_fetch(&crowd->aborted, 1, __ATOMIC_RELAXED);
		else if (r == 0)
			__atomic_add_fetch(&crowd->held, 1, __ATOMIC_RELAXED);
		else
			abort();
	}
	return NULL;
}

/* lazy 0: every round completes. Else cores come late now and then, and rounds are aborted at the deadline.
 */
static void rounds(struct crowd *crowd, unsigned lazy, long n)
{
	struct one_core cores[CORES];
	pthread_t threads[CORES];
	rendezvous_init(&crowd->r);
	for (size_t i = 0; i < CORES; i++) {
		cores[i] = (struct one_core){.crowd = crowd, .laziness = lazy ? lazy + (unsigned)i : 0};
		assert_int_equal(pthread_create(&threads[i], NULL, core, &cores[i]), 0);
	}
	for (long i = 0; i < n; i++) {
		uint32_t g;
		/* The deadline is in units of looks at the clock: the opener moves it. */
		assert_int_equal(rendezvous_open(&crowd->r, CORES, lazy ? now(NULL) + 8 : FOREVER, &g), 0);
		__atomic_store_n(&crowd->asked, g, __ATOMIC_RELEASE);
		/* The opener is no core; it only waits for the end, as rendezvous_hold() lets anyone do. */
		for (;;) {
			uint64_t word = __atomic_load_n(&crowd->r.word, __ATOMIC_ACQUIRE);
			if ((uint32_t)(word >> 32) != g)
				break;
			if (lazy) {
				__atomic_add_fetch(&fake_now, 1, __ATOMIC_RELAXED);
				(void)(i % 16 == 0 && rendezvous_abort(&crowd->r, g));
			}
			sched_yield();
		}
	}
	__atomic_store_n(&crowd->stop, true, __ATOMIC_RELEASE);
	for (size_t i = 0; i < CORES; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
}

static void many_rounds(void **state)
{
	(void)state;
	struct crowd crowd = {.asked = 0};
	long n = getenv("RENDEZVOUS_ROUNDS") ? atol(getenv("RENDEZVOUS_ROUNDS")) : ROUNDS;
	rounds(&crowd, 0, n);
	assert_int_equal(crowd.acted, n);
	assert_int_equal(crowd.plain, n);
	assert_int_equal(crowd.late, 0);
	assert_int_equal(crowd.aborted, 0);
	assert_int_equal(crowd.held, n * CORES);
}

static void rounds_with_late_cores(void **state)
{
	(void)state;
	struct crowd crowd = {.asked = 0};
	long n = getenv("RENDEZVOUS_ROUNDS") ? atol(getenv("RENDEZVOUS_ROUNDS")) : ROUNDS;
	rounds(&crowd, 3, n);
	assert_int_equal(crowd.plain, crowd.acted);
	/* All of it has happened. */
	assert_true(crowd.acted > 0);
	assert_true(crowd.acted < n);
	assert_true(crowd.late > 0);
	assert_true(crowd.aborted > 0);
}

/* The last arrival against the abort: whoever wins, both sides agree. */
struct race {
	struct rendezvous r;
	uint32_t g;
	int go; /* atomic */
	int result;
};

static void *last_arrival(void *context)
{
	struct race *race = context;
	while (!__atomic_load_n(&race->go, __ATOMIC_ACQUIRE))
		;
	race->result = rendezvous_arrive(&race->r, race->g);
	return NULL;
}

static void abort_races_with_the_last(void **state)
{
	(void)state;
	for (int i = 0; i < 500; i++) {
		struct race race = {.go = 0};
		pthread_t thread;
		rendezvous_init(&race.r);
		assert_int_equal(rendezvous_open(&race.r, 2, FOREVER, &race.g), 0);
		assert_int_equal(rendezvous_arrive(&race.r, race.g), RENDEZVOUS_MASTER);
		assert_int_equal(pthread_create(&thread, NULL, last_arrival, &race), 0);
		__atomic_store_n(&race.go, 1, __ATOMIC_RELEASE);
		if (i % 2)
			sched_yield();
		int aborted = rendezvous_abort(&race.r, race.g);
		assert_int_equal(pthread_join(thread, NULL), 0);
		if (aborted == 0) {
			assert_int_equal(race.result, -CORE_ESTALE);
			assert_int_equal(rendezvous_release(&race.r, race.g), -CORE_ESTALE);
		} else {
			assert_int_equal(aborted, -CORE_EALREADY);
			assert_int_equal(race.result, RENDEZVOUS_WORKER);
			assert_int_equal(rendezvous_release(&race.r, race.g), 0);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(first_is_master),
		cmocka_unit_test(growth_and_loss),
		cmocka_unit_test(late_cores_are_turned_away),
		cmocka_unit_test(generations_wrap),
		cmocka_unit_test(many_rounds),
		cmocka_unit_test(rounds_with_late_cores),
		cmocka_unit_test(abort_races_with_the_last),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
