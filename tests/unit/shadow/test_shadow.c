/* SPDX-License-Identifier: MIT */
/*
 * Shadow data as a payload has it, compiled in here: the cases of the kernel's self-tests, growth, threads, signals, fork,
 * and no memory. The area is the test's own, as usplice maps it: zeroed, its first page zeroed again in a forked child.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include <usplice/shadow.h>

__attribute__((aligned(4096))) struct usplice_shadow usplice_shadow_1;

/* Fails once, the so-manyth time from now. */
static atomic_int fail_at;
void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size)
{
	return atomic_load(&fail_at) && atomic_fetch_sub(&fail_at, 1) == 1 ? NULL : __real_calloc(n, size);
}

struct value {
	const void *object;
	uint64_t id;
	long seed;
};

static atomic_int constructed, destroyed;

static int construct(const void *object, void *data, void *context)
{
	struct value *value = data;
	assert_int_equal(value->seed, 0); /* zeroed */
	value->object = object;
	value->seed = *(long *)context;
	atomic_fetch_add(&constructed, 1);
	return 0;
}

static int refuse(const void *object, void *data, void *context)
{
	(void)object, (void)data, (void)context;
	return -1;
}

static void destroy(const void *object, void *data)
{
	assert_ptr_equal(((struct value *)data)->object, object);
	atomic_fetch_add(&destroyed, 1);
}

static int clean(void **state)
{
	(void)state;
	for (uint64_t id = 0; id < 8; id++)
		usp_shadow_free_all(id, NULL);
	assert_int_equal(usplice_shadow_1.n, 0);
	assert_int_equal(usplice_shadow_1.lock, 0);
	constructed = destroyed = 0;
	return 0;
}

/* The kernel's: several objects, two ids. */
static void test_one_after_the_other(void **state)
{
	(void)state;
	char objects[3] = {0};
	void *values[3][2];
	long seed = 7, other = 8;
	for (int i = 0; i < 3; i++)
		for (uint64_t id = 1; id <= 2; id++) {
			assert_null(usp_shadow_get(&objects[i], id));
			values[i][id - 1] =
				i ? usp_shadow_get_or_alloc(&objects[i], id, sizeof(struct value), construct,
							    &seed)
				  : usp_shadow_alloc(&objects[i], id, sizeof(struct value), construct, &seed);
			assert_non_null(values[i][id - 1]);
		}
	assert_int_equal(constructed, 6);
	for (int i = 0; i < 3; i++)
		for (uint64_t id = 1; id <= 2; id++) {
			struct value *value = usp_shadow_get(&objects[i], id);
			assert_ptr_equal(value, values[i][id - 1]);
			assert_int_equal(value->seed, 7);
			assert_ptr_equal(
				usp_shadow_get_or_alloc(&objects[i], id, sizeof(*value), construct, &other),
				value);
			assert_null(usp_shadow_alloc(&objects[i], id, sizeof(*value), construct, &other));
		}
	assert_int_equal(constructed, 6);
	usp_shadow_free(&objects[1], 1, destroy);
	usp_shadow_free(&objects[1], 1, destroy); /* nothing there */
	assert_int_equal(destroyed, 1);
	assert_null(usp_shadow_get(&objects[1], 1));
	assert_ptr_equal(usp_shadow_get(&objects[1], 2), values[1][1]);
	usp_shadow_free_all(2, destroy);
	assert_int_equal(destroyed, 4);
	for (int i = 0; i < 3; i++) {
		assert_null(usp_shadow_get(&objects[i], 2));
		assert_ptr_equal(usp_shadow_get(&objects[i], 1), i == 1 ? NULL : values[i][0]);
	}
	usp_shadow_free_all(1, NULL);
	assert_int_equal(destroyed, 4);
	assert_int_equal(usplice_shadow_1.n, 0);
}

static void test_no_object_and_no_size(void **state)
{
	(void)state;
	long *process = usp_shadow_alloc(NULL, 3, sizeof(long), NULL, NULL);
	assert_non_null(process);
	assert_int_equal(*process, 0);
	assert_non_null(usp_shadow_alloc(process, 3, 0, NULL, NULL));
	assert_ptr_equal(usp_shadow_get(NULL, 3), process);
	assert_null(usp_shadow_get(NULL, 4));
}

static void test_constructor_that_says_no(void **state)
{
	(void)state;
	assert_null(usp_shadow_alloc(state, 1, 8, refuse, NULL));
	assert_null(usp_shadow_get_or_alloc(state, 1, 8, refuse, NULL));
	assert_null(usp_shadow_get(state, 1));
	assert_int_equal(usplice_shadow_1.n, 0);
	assert_non_null(usp_shadow_alloc(state, 1, 8, NULL, NULL));
}

#define MANY 100000

static void test_many(void **state)
{
	(void)state;
	static char objects[MANY];
	long seed = 1;
	for (size_t i = 0; i < MANY; i++)
		assert_non_null(usp_shadow_alloc(&objects[i], i % 3, sizeof(struct value), construct, &seed));
	for (size_t i = 0; i < MANY; i += 2)
		usp_shadow_free(&objects[i], i % 3, destroy);
	for (size_t i = 0; i < MANY; i++) {
		struct value *value = usp_shadow_get(&objects[i], i % 3);
		assert_ptr_equal(value ? value->object : NULL, i % 2 ? &objects[i] : NULL);
		assert_null(usp_shadow_get(&objects[i], i % 3 + 1));
	}
	assert_true(usplice_shadow_1.table->mask + 1 >= MANY / 4);
	for (uint64_t id = 0; id < 3; id++)
		usp_shadow_free_all(id, destroy);
	assert_int_equal(destroyed, MANY);
	assert_int_equal(usplice_shadow_1.n, 0);
}

static void test_no_memory(void **state)
{
	(void)state;
	char objects[600] = {0};
	size_t refused = 0;
	/* Also where the table would grow: then it stays as it is, and goes on. */
	for (size_t i = 0; i < sizeof(objects); i++)
		for (int at = 1;; at++) {
			atomic_store(&fail_at, at);
			void *value = usp_shadow_alloc(&objects[i], 1, 16, NULL, NULL);
			bool failed = atomic_exchange(&fail_at, 0) == 0;
			assert_ptr_equal(usp_shadow_get(&objects[i], 1), value);
			refused += !value;
			if (value && !failed)
				break;
			if (value)
				usp_shadow_free(&objects[i], 1, NULL);
		}
	assert_true(refused >= sizeof(objects));
	assert_int_equal(usplice_shadow_1.n, sizeof(objects));
}

/* ---- threads ---- */

#define OBJECTS 64
#define THREADS 4
#define ROUNDS	20000

static char fixed[OBJECTS], passing[THREADS][OBJECTS];
static atomic_int wrong;

/* All ask for the same; each has others that come and go, in the same chains. */
static void *worker(void *context)
{
	long number = (long)(intptr_t)context, seed = 5;
	unsigned random = (unsigned)number + 1;
	for (int i = 0; i < ROUNDS; i++) {
		random = random * 1103515245u + 12345u;
		const char *object = &fixed[random >> 16 & (OBJECTS - 1)];
		struct value *value = usp_shadow_get_or_alloc(object, 1, sizeof(*value), construct, &seed);
		if (!value || value->object != object || usp_shadow_get(object, 1) != value)
			atomic_fetch_add(&wrong, 1);
		object = &passing[number][random >> 8 & (OBJECTS - 1)];
		if (usp_shadow_get(object, 2))
			usp_shadow_free(object, 2, NULL);
		else if (!usp_shadow_alloc(object, 2, 24, NULL, NULL))
			atomic_fetch_add(&wrong, 1);
	}
	return NULL;
}

static void run_workers(void)
{
	pthread_t threads[THREADS];
	for (long i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, worker, (void *)(intptr_t)i), 0);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
}

static void test_threads(void **state)
{
	(void)state;
	wrong = 0;
	run_workers();
	assert_int_equal(wrong, 0);
	assert_int_equal(constructed, OBJECTS);
}

/* ---- signals ---- */

static atomic_ulong looked;

static void look(int signal)
{
	(void)signal;
	for (int i = 0; i < OBJECTS; i++) {
		struct value *value = usp_shadow_get(&fixed[i], 1);
		if (value && value->object != &fixed[i])
			atomic_fetch_add(&wrong, 1);
	}
	atomic_fetch_add(&looked, 1);
}

/* A handler looks while its own thread, and others, hold the lock and change things. */
static void test_signals(void **state)
{
	(void)state;
	wrong = 0;
	struct sigaction action = {.sa_handler = look, .sa_flags = SA_RESTART}, before;
	struct itimerval often = {{0, 100}, {0, 100}}, never = {{0, 0}, {0, 0}};
	assert_int_equal(sigaction(SIGALRM, &action, &before), 0);
	assert_int_equal(setitimer(ITIMER_REAL, &often, NULL), 0);
	while (atomic_load(&looked) < 50)
		run_workers();
	assert_int_equal(setitimer(ITIMER_REAL, &never, NULL), 0);
	assert_int_equal(sigaction(SIGALRM, &before, NULL), 0);
	assert_int_equal(wrong, 0);
	sigset_t mask;
	assert_int_equal(sigprocmask(SIG_SETMASK, NULL, &mask), 0);
	assert_int_equal(sigismember(&mask, SIGALRM), 0); /* as before */
}

/* ---- fork ---- */

static int inside[2], go[2];

static int stay(const void *object, void *data, void *context)
{
	char byte = 0;
	(void)object, (void)data, (void)context;
	return write(inside[1], &byte, 1) == 1 && read(go[0], &byte, 1) == 1 ? 0 : -1;
}

static void *hold_lock(void *context)
{
	return usp_shadow_alloc(context, 3, 8, stay, NULL);
}

static int child(const char *objects)
{
	alarm(20); /* a lock that nobody gives back */
	long *old = usp_shadow_get(&objects[0], 1);
	if (!old || *old != 11 || usp_shadow_get(&objects[1], 3))
		return 1;
	*old = 12;
	if (!usp_shadow_alloc(&objects[1], 3, 8, NULL, NULL) || !usp_shadow_get(&objects[1], 3))
		return 2;
	usp_shadow_free(&objects[0], 1, NULL);
	usp_shadow_free_all(3, NULL);
	return usp_shadow_get(&objects[0], 1) || usp_shadow_get(&objects[1], 3) ? 3 : 0;
}

/* Another thread holds the lock when the process forks: the child has everything, and no lock that is held for ever. */
static void test_fork(void **state)
{
	(void)state;
	char objects[2] = {0}, byte = 0;
	pthread_t thread;
	int status;
	void *made;
	long *value = usp_shadow_alloc(&objects[0], 1, sizeof(long), NULL, NULL);
	*value = 11;
	assert_int_equal(pipe(inside) | pipe(go), 0);
	assert_int_equal(pthread_create(&thread, NULL, hold_lock, &objects[1]), 0);
	assert_int_equal(read(inside[0], &byte, 1), 1);
	pid_t pid = fork();
	if (!pid)
		_exit(child(objects));
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(write(go[1], &byte, 1), 1);
	assert_int_equal(pthread_join(thread, &made), 0);
	assert_ptr_equal(usp_shadow_get(&objects[1], 3), made);
	assert_int_equal(*value, 11); /* the child's is its own */
	for (int i = 0; i < 2; i++) {
		close(inside[i]);
		close(go[i]);
	}
}

static int prepare(void **state)
{
	(void)state;
	return madvise(&usplice_shadow_1, 4096, MADV_WIPEONFORK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_one_after_the_other, clean),
		cmocka_unit_test_teardown(test_no_object_and_no_size, clean),
		cmocka_unit_test_teardown(test_constructor_that_says_no, clean),
		cmocka_unit_test_teardown(test_many, clean),
		cmocka_unit_test_teardown(test_no_memory, clean),
		cmocka_unit_test_teardown(test_threads, clean),
		cmocka_unit_test_teardown(test_signals, clean),
		cmocka_unit_test_teardown(test_fork, clean),
	};
	return cmocka_run_group_tests(tests, prepare, NULL);
}
