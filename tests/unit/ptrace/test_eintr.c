// SPDX-License-Identifier: MIT
/* A mere stop ends no system call. */
#define _GNU_SOURCE
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "check.h"
#include "process/thread/internal.h"
#include "victim_run.h"

/* 200 times stopped and let go, with and without detaching: nobody's wait has ended. */
static void nobody_notices(void **state)
{
	(void)state;
	struct victim_run victim;
	struct target *target;
	struct threads *threads;
	victim_start(&victim, false, "pt_eintr", NULL, NULL, NULL);
	assert_true(victim_number(&victim, "waits") >= 30);
	assert_fine(target_open(victim.pid, &target));
	for (int i = 0; i < 50; i++) {
		assert_fine(threads_seize(target, &threads));
		for (int k = 0; k < 4; k++) {
			assert_fine(threads_stop(threads, test_deadline_ns()));
			if (k < 3) /* the last time it is detached while stopped or, every other time, while
				      running */
				assert_fine(threads_release(threads));
		}
		if (i % 2)
			assert_fine(threads_release(threads));
		threads_detach(threads);
		assert_string_equal(victim_ask(&victim, "check"), "-");
	}
	assert_int_equal(victim_number(&victim, "poked"), 0);
	target_close(target);
	victim_end(&victim);
}

/* A handler that runs does end epoll_wait, stopped or not: once for each signal. */
static void handlers_do(void **state)
{
	(void)state;
	struct victim_run victim;
	struct target *target;
	struct threads *threads;
	victim_start(&victim, false, "pt_eintr", NULL, NULL, NULL);
	assert_fine(target_open(victim.pid, &target));
	for (int i = 0; i < 20; i++) {
		assert_fine(threads_seize(target, &threads));
		assert_fine(threads_stop(threads, test_deadline_ns()));
		victim_tell(&victim, "poke");
		if (i % 2)
			assert_fine(threads_release(threads));
		threads_detach(threads);
		assert_string_equal(victim_ask(&victim, NULL), "poked");
		uint64_t deadline_ns = test_deadline_ns();
		while (victim_number(&victim, "poked") < i + 1)
			assert_true(test_clock_ns() < deadline_ns);
		assert_int_equal(victim_number(&victim, "poked"), i + 1);
	}
	assert_string_equal(victim_ask(&victim, "check"), "-");
	target_close(target);
	victim_end(&victim);
}

/* Only the result of one of those calls is touched. */
static void only_those(void **state)
{
	(void)state;
	const unsigned long long eintr = (unsigned long long)-EINTR;
	struct user_regs_struct registers = {.rax = eintr, .orig_rax = SYS_epoll_wait, .rip = 1};
	assert_true(thread_restart_call(&registers));
	assert_int_equal(registers.rax, (unsigned long long)-514);
	assert_int_equal(registers.orig_rax, SYS_epoll_wait);
	assert_int_equal(registers.rip, 1);
	const struct user_regs_struct not [] = {
		{.rax = eintr, .orig_rax = (unsigned long long)-1}, /* not in a system call */
		{.rax = eintr, .orig_rax = SYS_close},
		{.rax = eintr, .orig_rax = SYS_ioctl},
		{.rax = (unsigned long long)-EAGAIN, .orig_rax = SYS_epoll_wait},
		{.rax = 0, .orig_rax = SYS_epoll_wait},
		{.rax = (unsigned long long)-512, .orig_rax = SYS_read}, /* the kernel's own code */
	};
	for (size_t i = 0; i < sizeof(not ) / sizeof(not [0]); i++) {
		registers = not [i];
		assert_false(thread_restart_call(&registers));
		assert_memory_equal(&registers, &not [i], sizeof(registers));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_those),
		cmocka_unit_test(nobody_notices),
		cmocka_unit_test(handlers_do),
	};
	return cmocka_run_group_tests_name("eintr", tests, NULL, NULL);
}
