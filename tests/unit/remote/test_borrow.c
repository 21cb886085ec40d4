/* SPDX-License-Identifier: MIT */
/* Borrowing threads of every kind, many times, from targets of every kind; what must be refused, and that
 * nothing ran. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "fixture.h"

#define PERMISSION  10 /* usp_code */
#define UNSUPPORTED 14
#ifndef PR_SET_MDWE
#define PR_SET_MDWE 65
#endif

static void must_work(const char *const argv[])
{
	char text[4096];
	int status = run(argv, text, sizeof(text));
	if (status)
		fail_msg("the controller: %d: %s", status, text);
}

static void clean(struct victim *victim)
{
	victim_free_of_tracers(victim);
	victim_no_descriptor(victim);
	assert_int_equal(victim_area_mappings(victim), 2);
	assert_true(victim_hole_is_zero(victim));
}

/* 500 times in all, over every kind of thread. */
static void test_many_times(void **state)
{
	struct victim victim;
	const char *const extra[] = {"times=84", NULL};
	(void)state;
	victim_start(&victim, NULL, NULL);
	for (int kind = 0; kind < KINDS; kind++) {
		must_work(controller(&victim, kind, extra));
		clean(&victim);
		victim_comes_round(&victim);
	}
	victim_end(&victim);
}

/* A thread of its choice. */
static void test_any(void **state)
{
	struct victim victim;
	const char *const extra[] = {"times=20", NULL};
	(void)state;
	victim_start(&victim, NULL, NULL);
	must_work(controller(&victim, -1, extra));
	clean(&victim);
	victim_comes_round(&victim);
	victim_end(&victim);
}

static void test_all_stopped(void **state)
{
	struct victim victim;
	const char *const extra[] = {"all", "times=5", NULL};
	(void)state;
	victim_start(&victim, NULL, NULL);
	for (int kind = 0; kind < KINDS; kind++)
		must_work(controller(&victim, kind, extra));
	clean(&victim);
	victim_comes_round(&victim);
	victim_end(&victim);
}

/* Functions that fault, that never return, that sleep: abandoned, and the thread is as it was. */
static void test_abandoned_functions(void **state)
{
	struct victim victim;
	char faults[32], never[32], sleeps[32];
	(void)state;
	victim_start(&victim, NULL, NULL);
	snprintf(faults, sizeof(faults), "faults=%lx", victim.faults);
	snprintf(never, sizeof(never), "never=%lx", victim.never);
	snprintf(sleeps, sizeof(sleeps), "sleeps=%lx", victim.sleeps);
	const char *const extra[] = {faults, never, sleeps, "times=5", NULL};
	for (int kind = 0; kind < KINDS; kind++) {
		must_work(controller(&victim, kind, extra));
		clean(&victim);
		victim_comes_round(&victim);
	}
	victim_end(&victim);
}

static void test_all_spin(void **state)
{
	struct victim victim;
	(void)state;
	victim_start(&victim, "spin", NULL);
	const char *const extra[] = {"times=20", NULL};
	must_work(controller(&victim, -1, extra));
	clean(&victim);
	int status;
	assert_int_equal(waitpid(victim.pid, &status, WNOHANG), 0); /* has not aborted */
	victim_end(&victim);
}

static void test_all_signals_blocked(void **state)
{
	struct victim victim;
	const char *const extra[] = {"times=10", NULL};
	(void)state;
	victim_start(&victim, "blocked", NULL);
	for (int kind = 0; kind < KINDS; kind++)
		must_work(controller(&victim, kind, extra));
	clean(&victim);
	victim_comes_round(&victim);
	victim_end(&victim);
}

/* A stopped process stays stopped, and goes on when told to. */
static void test_stopped(void **state)
{
	struct victim victim;
	char text[4096];
	int status;
	(void)state;
	victim_start(&victim, "stops", NULL);
	assert_int_equal(kill(victim.pid, SIGSTOP), 0);
	assert_int_equal(waitpid(victim.pid, &status, WUNTRACED), victim.pid);
	assert_true(WIFSTOPPED(status));
	must_work(controller(&victim, KIND_FUTEX, NULL));
	must_work(controller(&victim, KIND_HOLD, NULL));
	snprintf(text, sizeof(text), "/proc/%d/stat", victim.pid);
	FILE *f = fopen(text, "re");
	assert_non_null(f);
	assert_non_null(fgets(text, sizeof(text), f));
	fclose(f);
	assert_non_null(strstr(text, ") T "));
	assert_int_equal(kill(victim.pid, SIGCONT), 0);
	victim_comes_round(&victim);
	clean(&victim);
	victim_end(&victim);
}

/* Kills the process for what mapping the area takes. */
static void filter_mmap(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_memfd_create, 1, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_ftruncate, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {.len = sizeof(code) / sizeof(code[0]), .filter = code};
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
		_exit(126);
}

static void test_seccomp(void **state)
{
	struct victim victim;
	const char *const extra[] = {"times=3", NULL};
	(void)state;
	victim_start(&victim, NULL, filter_mmap);
	for (int kind = 0; kind < KINDS; kind++)
		must_work(controller(&victim, kind, extra));
	clean(&victim);
	victim_comes_round(&victim);
	victim_end(&victim);
}

/* A controller that may not suspend the filter (it has one itself) refuses before anything is run. */
static void test_seccomp_refused(void **state)
{
	struct victim victim;
	char text[4096];
	(void)state;
	victim_start(&victim, NULL, filter_mmap);
	const char *const *argv = controller(&victim, KIND_FUTEX, NULL);
	int out[2], status;
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		dup2(out[1], 2);
		filter_mmap();
		execv(argv[0], (char *const *)argv);
		_exit(127);
	}
	close(out[1]);
	ssize_t n = read(out[0], text, sizeof(text) - 1);
	text[n < 0 ? 0 : n] = '\0';
	close(out[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) != PERMISSION || !strstr(text, "seccomp"))
		fail_msg("%d: %s", WEXITSTATUS(status), text);
	victim_free_of_tracers(&victim);
	assert_int_equal(victim_area_mappings(&victim), 0);
	assert_true(victim_hole_is_zero(&victim));
	victim_comes_round(&victim);
	victim_end(&victim);
}

static void deny_write_execute(void)
{
	if (prctl(PR_SET_MDWE, 1, 0, 0, 0))
		_exit(126);
}

static void test_memory_deny_write_execute(void **state)
{
	struct victim victim;
	(void)state;
	if (prctl(66 /* PR_GET_MDWE */, 0, 0, 0, 0) < 0)
		skip(); /* before Linux 6.3 */
	victim_start(&victim, NULL, deny_write_execute);
	must_work(controller(&victim, KIND_FUTEX, NULL));
	clean(&victim);
	victim_comes_round(&victim);
	victim_end(&victim);
}

static void small_files(void)
{
	if (setrlimit(RLIMIT_FSIZE, &(struct rlimit){4096, 4096}))
		_exit(126);
}

/* ftruncate would send it SIGXFSZ: refused before. */
static void test_file_size_limit(void **state)
{
	struct victim victim;
	char text[4096];
	(void)state;
	victim_start(&victim, NULL, small_files);
	int status = run(controller(&victim, KIND_FUTEX, NULL), text, sizeof(text));
	if (status != UNSUPPORTED || !strstr(text, "RLIMIT_FSIZE"))
		fail_msg("%d: %s", status, text);
	victim_free_of_tracers(&victim);
	assert_int_equal(victim_area_mappings(&victim), 0);
	assert_true(victim_hole_is_zero(&victim));
	victim_comes_round(&victim);
	victim_end(&victim);
}

static void few_files(void)
{
	if (setrlimit(RLIMIT_NOFILE, &(struct rlimit){7, 7}))
		_exit(126);
}

/* No descriptor to be had: said, and nothing is left. */
static void test_no_descriptors(void **state)
{
	struct victim victim;
	char text[4096];
	(void)state;
	victim_start(&victim, NULL, few_files);
	int status = run(controller(&victim, KIND_FUTEX, NULL), text, sizeof(text));
	if (status != 0 && (status != 1 || !strstr(text, "memfd_create")))
		fail_msg("%d: %s", status, text);
	victim_free_of_tracers(&victim);
	assert_true(victim_hole_is_zero(&victim));
	victim_comes_round(&victim);
	victim_end(&victim);
}

/* Killed in the middle of it: an error, no hang. */
static void test_target_killed(void **state)
{
	(void)state;
	for (int i = 0; i < 20; i++) {
		struct victim victim;
		char text[4096];
		victim_start(&victim, NULL, NULL);
		pid_t killer = fork();
		assert_true(killer >= 0);
		if (killer == 0) {
			poll(NULL, 0, i);
			kill(victim.pid, SIGKILL);
			_exit(0);
		}
		const char *const extra[] = {"times=1000000", NULL};
		int status = run(controller(&victim, i % KINDS, extra), text, sizeof(text));
		if (status == 0 || status >= 128 || strstr(text, "WRONG"))
			fail_msg("%d: %s", status, text);
		waitpid(killer, &status, 0);
		victim_end(&victim);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_many_times),	cmocka_unit_test(test_any),
		cmocka_unit_test(test_all_stopped),	cmocka_unit_test(test_abandoned_functions),
		cmocka_unit_test(test_all_spin),	cmocka_unit_test(test_all_signals_blocked),
		cmocka_unit_test(test_stopped),		cmocka_unit_test(test_seccomp),
		cmocka_unit_test(test_seccomp_refused), cmocka_unit_test(test_memory_deny_write_execute),
		cmocka_unit_test(test_file_size_limit), cmocka_unit_test(test_no_descriptors),
		cmocka_unit_test(test_target_killed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
