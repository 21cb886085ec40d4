// SPDX-License-Identifier: MIT
/* Stopping and releasing the threads of processes that do all sorts of things meanwhile. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "check.h"
#include "process/thread/thread.h"
#include "victim_run.h"

static struct victim_run victim;
static struct target *target;
static struct threads *threads;

static void begin(bool own_child, const char *form, const char *n, const char *m)
{
	victim_start(&victim, own_child, "pt_threads", form, n, m);
	assert_fine(target_open(victim.pid, &target));
}

static void end(void)
{
	target_close(target);
	victim_end(&victim);
}

static void stop(void)
{
	assert_fine(threads_seize(target, &threads));
	assert_fine(threads_stop(threads, test_deadline_ns()));
}

static void detach(void)
{
	threads_detach(threads);
	threads = NULL;
}

/* How many threads /proc shows, and how many of them are in that state. */
static size_t count_threads(char letter, size_t *all)
{
	char path[64];
	size_t n = 0;
	*all = 0;
	snprintf(path, sizeof(path), "/proc/%d/task", victim.pid);
	DIR *dir = opendir(path);
	assert_non_null(dir);
	for (struct dirent *entry; (entry = readdir(dir));) {
		char state = entry->d_name[0] == '.' ? 0 : victim_state(&victim, atoi(entry->d_name));
		if (!state)
			continue;
		++*all;
		n += state == letter;
	}
	closedir(dir);
	return n;
}

static void assert_all_stopped(void)
{
	size_t all, n = 0, stopped = count_threads('t', &all), dead = count_threads('Z', &all);
	assert_int_equal(stopped + dead, all);
	for (size_t i = 0; i < threads->n; i++) {
		const struct thread *thread = &threads->v[i];
		if (thread->state == THREAD_EXITED)
			continue;
		assert_true(thread->state == THREAD_STOPPED);
		assert_true(thread->has_registers);
		assert_true(thread->registers.rip && thread->registers.rsp);
		n++;
	}
	assert_int_equal(n, stopped);
}

static void assert_nobody_traced(void)
{
	size_t all;
	char path[64], line[256];
	assert_int_equal(count_threads('t', &all), 0);
	snprintf(path, sizeof(path), "/proc/%d/task", victim.pid);
	DIR *dir = opendir(path);
	assert_non_null(dir);
	for (struct dirent *entry; (entry = readdir(dir));) {
		int tracer = 0;
		snprintf(path, sizeof(path), "/proc/%d/task/%.20s/status", victim.pid, entry->d_name);
		FILE *f = entry->d_name[0] == '.' ? NULL : fopen(path, "re");
		while (f && fgets(line, sizeof(line), f))
			sscanf(line, "TracerPid: %d", &tracer);
		if (f)
			fclose(f);
		assert_int_equal(tracer, 0);
	}
	closedir(dir);
}

/* Whatever the form: all stop, the program gets on afterwards, nothing is bad, nobody stays traced, no one
 * hears of it. */
static void stop_often(const char *form, const char *n, const char *m, bool own_child, unsigned rounds,
		       bool progress)
{
	begin(own_child, form, n, m);
	for (unsigned i = 0; i < rounds; i++) {
		stop();
		assert_all_stopped();
		if (i % 3 == 1) {
			assert_fine(threads_release(threads));
			assert_true(threads->stop_end_ns > threads->stop_begin_ns);
			assert_fine(threads_poll(threads));
			assert_fine(threads_stop(threads, test_deadline_ns()));
			assert_all_stopped();
		}
		if (i % 3 == 2)
			assert_fine(threads_release(threads));
		detach();
	}
	if (progress)
		victim_gets_on(&victim);
	assert_int_equal(victim_number(&victim, "bad"), 0);
	assert_nobody_traced();
	assert_int_equal(victim_reports(&victim), 0);
	end();
}

static void asleep(void **state)
{
	(void)state;
	stop_often("sleep", "20", NULL, false, 60, false);
}

static void alone(void **state)
{
	(void)state;
	stop_often("sleep", NULL, NULL, false, 30, false);
}

static void spinning(void **state)
{
	(void)state;
	stop_often("sleep", "6", "2", false, 20, true);
}

static void own_child(void **state)
{
	(void)state;
	stop_often("sleep", "5", NULL, true, 20, false);
}

static void churning(void **state)
{
	(void)state;
	stop_often("churn", NULL, NULL, false, 60, true);
}

static void leader_gone(void **state)
{
	(void)state;
	stop_often("leader", "4", NULL, false, 30, false);
}

static void deaf(void **state)
{
	(void)state;
	stop_often("deaf", NULL, NULL, false, 30, true);
}

static void timer(void **state)
{
	(void)state;
	stop_often("timer", "4", NULL, false, 60, true);
}

static void forking(void **state)
{
	(void)state;
	/* In vfork a thread cannot be stopped before its child has executed: the deadline is long enough. */
	stop_often("fork", NULL, NULL, false, 60, true);
}

/* A worker of the kernel's runs no code of the program: it is left alone, and not waited for. */
static void kernel_worker(void **state)
{
	(void)state;
	begin(false, "uring", "2", NULL);
	if (victim_number(&victim, "count") < 0) {
		end();
		skip();
	}
	assert_int_equal(victim_number(&victim, "threads"), 4);
	for (int i = 0; i < 20; i++) {
		stop();
		assert_int_equal(threads->n, 3);
		for (size_t k = 0; k < threads->n; k++)
			assert_true(threads->v[k].state == THREAD_STOPPED);
		assert_int_equal(threads->n_workers, 1);
		assert_refused(threads_seize_one(target, threads->workers[0], &(struct threads *){NULL}),
			       USP_NOT_FOUND, "no thread");
		detach();
	}
	assert_nobody_traced();
	end();
}

static void nothing_to_detach(void **state)
{
	(void)state;
	threads_detach(NULL);
}

/* Queued signals arrive once each, in order, with their values. */
static void signals_once(void **state)
{
	enum {
		ROUNDS = 40
	};
	int enough[2], sent[2], total = 0, status;
	(void)state;
	begin(false, "queue", "2", NULL);
	assert_int_equal(pipe(enough), 0);
	assert_int_equal(pipe(sent), 0);
	pid_t sender = fork();
	if (sender == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		struct pollfd p = {.fd = enough[0], .events = POLLIN};
		for (; poll(&p, 1, 0) == 0; total++) {
			while (sigqueue(victim.pid, SIGRTMIN, (union sigval){.sival_int = total}) < 0)
				if (errno != EAGAIN)
					_exit(1);
			if (total % 16 == 0)
				usleep(200);
		}
		_exit(write(sent[1], &total, sizeof(total)) != sizeof(total));
	}
	victim_gets_on(&victim);
	for (int i = 0; i < ROUNDS; i++) {
		stop();
		assert_all_stopped();
		if (i % 2) {
			assert_fine(threads_release(threads));
			assert_fine(threads_poll(threads));
		}
		detach();
	}
	assert_int_equal(write(enough[1], "x", 1), 1);
	assert_int_equal(read(sent[0], &total, sizeof(total)), sizeof(total));
	assert_int_equal(waitpid(sender, &status, 0), sender);
	assert_int_equal(status, 0);
	assert_true(total > 0);
	uint64_t deadline_ns = test_deadline_ns();
	while (victim_number(&victim, "count") < total)
		assert_true(test_clock_ns() < deadline_ns);
	assert_int_equal(victim_number(&victim, "count"), total);
	assert_int_equal(victim_number(&victim, "bad"), 0);
	for (int i = 0; i < 2; i++) {
		close(enough[i]);
		close(sent[i]);
	}
	end();
}

static void await_all(char letter)
{
	size_t all;
	uint64_t deadline_ns = test_deadline_ns();
	while (count_threads(letter, &all) != all) {
		assert_true(test_clock_ns() < deadline_ns);
		usleep(1000);
	}
}

/* A stopped process stays stopped, its parent hears of the one stop and the one continuation that there were.
 */
static void group_stop(void **state)
{
	(void)state;
	begin(false, "sleep", "3", NULL);
	kill(victim.pid, SIGSTOP);
	await_all('T');
	for (int i = 0; i < 20; i++) {
		stop();
		for (size_t k = 0; k < threads->n; k++) {
			assert_true(threads->v[k].state == THREAD_GROUP_STOPPED);
			assert_true(threads->v[k].has_registers);
		}
		if (i % 2) {
			assert_fine(threads_release(threads));
			assert_fine(threads_poll(threads));
			assert_fine(threads_stop(threads, test_deadline_ns()));
			assert_true(threads->v[0].state == THREAD_GROUP_STOPPED);
		}
		detach();
		await_all('T');
	}
	uint64_t deadline_ns = test_deadline_ns();
	while (victim_reports(&victim) < 1)
		assert_true(test_clock_ns() < deadline_ns);
	kill(victim.pid, SIGCONT);
	assert_int_equal(victim_number(&victim, "bad"), 0);
	while (victim_reports(&victim) < 2)
		assert_true(test_clock_ns() < deadline_ns);
	stop();
	/* The stop comes while all are stopped by us. */
	kill(victim.pid, SIGSTOP);
	detach();
	await_all('T');
	while (victim_reports(&victim) < 3)
		assert_true(test_clock_ns() < deadline_ns);
	/* The continuation does. */
	stop();
	assert_true(threads->v[0].state == THREAD_GROUP_STOPPED);
	kill(victim.pid, SIGCONT);
	detach();
	assert_int_equal(victim_number(&victim, "bad"), 0);
	while (victim_reports(&victim) < 4)
		assert_true(test_clock_ns() < deadline_ns);
	assert_nobody_traced();
	assert_int_equal(victim_reports(&victim), 4);
	end();
}

static void traced_already(void **state)
{
	int pipes[2];
	char c, who[64];
	(void)state;
	begin(false, "sleep", "2", NULL);
	assert_int_equal(pipe(pipes), 0);
	pid_t tracer = fork();
	if (tracer == 0) {
		if (ptrace(PTRACE_SEIZE, victim.pid, NULL, NULL) < 0 || write(pipes[1], "x", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	assert_int_equal(read(pipes[0], &c, 1), 1);
	snprintf(who, sizeof(who), "traced by process %d (test", tracer);
	assert_refused(threads_seize(target, &threads), USP_PERMISSION, who);
	assert_refused(threads_seize_one(target, victim.pid, &threads), USP_PERMISSION, who);
	kill(tracer, SIGKILL);
	assert_int_equal(waitpid(tracer, NULL, 0), tracer);
	stop();
	detach();
	assert_int_equal(victim_number(&victim, "bad"), 0);
	close(pipes[0]);
	close(pipes[1]);
	end();
}

/* Another program: the action is over, the new program runs. */
static void executed(void **state)
{
	(void)state;
	for (int i = 0; i < 10; i++) {
		begin(false, "exec", "5", NULL);
		assert_fine(threads_seize(target, &threads));
		if (i % 2) {
			assert_fine(threads_stop(threads, test_deadline_ns()));
			victim_tell(&victim, "exec");
			assert_fine(threads_release(threads));
		} else {
			victim_tell(&victim, "exec");
		}
		struct usp_error *error = NULL;
		uint64_t deadline_ns = test_deadline_ns();
		while (!error) {
			assert_true(test_clock_ns() < deadline_ns);
			error = i % 3 ? threads_poll(threads) : threads_stop(threads, test_deadline_ns());
			if (!error && i % 3 == 0)
				error = threads_release(threads);
		}
		assert_int_equal(error->code, USP_GONE);
		assert_non_null(strstr(error->message, "executed another program"));
		usp_error_destroy(error);
		detach();
		assert_string_equal(victim_ask(&victim, NULL), "ready");
		assert_int_equal(victim_number(&victim, "bad"), 0);
		assert_nobody_traced();
		/* The memory that was opened is gone; nobody mistakes the new one for it. */
		uint8_t byte;
		assert_int_equal(target_read(target, 0x400000, &byte, 1), -ESRCH);
		end();
	}
}

/* A thread in vfork cannot be stopped: said by name, in time, and it goes on afterwards. */
static void in_vfork(void **state)
{
	(void)state;
	begin(false, "vfork", "3", NULL);
	assert_string_equal(victim_ask(&victim, "hold"), "held");
	for (int i = 0; i < 3; i++) {
		assert_fine(threads_seize(target, &threads));
		uint64_t start_ns = test_clock_ns();
		assert_refused(threads_stop(threads, start_ns + 30000000), USP_NOT_QUIESCENT,
			       "did not stop in time");
		detach();
		assert_true(test_clock_ns() - start_ns < UINT64_C(10000000000));
		/* The others run on. */
		assert_int_equal(victim_number(&victim, "bad"), 0);
	}
	assert_string_equal(victim_ask(&victim, "let"), "let");
	stop();
	assert_all_stopped();
	detach();
	uint64_t deadline_ns = test_deadline_ns();
	while (victim_number(&victim, "count") < 1)
		assert_true(test_clock_ns() < deadline_ns);
	assert_nobody_traced();
	end();
}

static void too_late(void **state)
{
	(void)state;
	begin(false, "sleep", "4", "2");
	for (int i = 0; i < 20; i++) {
		assert_fine(threads_seize(target, &threads));
		struct usp_error *error = threads_stop(threads, 1);
		if (error) {
			assert_int_equal(error->code, USP_NOT_QUIESCENT);
			assert_non_null(strstr(error->message, "did not stop in time"));
			usp_error_destroy(error);
			assert_fine(threads_poll(threads));
		}
		if (i % 2)
			assert_fine(threads_stop(threads, test_deadline_ns()));
		detach();
	}
	victim_gets_on(&victim);
	assert_nobody_traced();
	end();
}

static void exits(void **state)
{
	(void)state;
	for (int i = 0; i < 8; i++) {
		begin(i % 2, "quit", "6", NULL);
		stop();
		if (i < 4) {
			victim_tell(&victim, "quit");
			struct usp_error *error = threads_release(threads);
			while (!error)
				error = threads_poll(threads);
			assert_int_equal(error->code, USP_GONE);
			usp_error_destroy(error);
		} else {
			kill(victim.pid, SIGKILL);
			if (i < 6)
				usp_error_destroy(threads_release(threads));
		}
		detach();
		uint64_t deadline_ns = test_deadline_ns();
		while (target_alive(target))
			assert_true(test_clock_ns() < deadline_ns);
		struct threads *none = NULL;
		assert_refused(threads_seize(target, &none), USP_GONE, "exited");
		end(); /* the parent, or we, can wait for it */
	}
}

/* One thread alone: the others do not even notice. */
static void one_alone(void **state)
{
	size_t all;
	(void)state;
	begin(false, "sleep", "3", "1");
	assert_fine(threads_seize(target, &threads));
	pid_t sleeper = threads->v[threads->n - 1].tid;
	detach();
	assert_fine(threads_seize_one(target, sleeper, &threads));
	assert_fine(threads_stop(threads, test_deadline_ns()));
	assert_int_equal(threads->n, 1);
	assert_int_equal(threads->v[0].tid, sleeper);
	assert_true(threads->v[0].state == THREAD_STOPPED && threads->v[0].has_registers);
	assert_int_equal(count_threads('t', &all), 1);
	assert_int_equal(all, 4);
	victim_gets_on(&victim);
	assert_fine(threads_release(threads));
	assert_fine(threads_stop(threads, test_deadline_ns()));
	if (geteuid() == 0)
		assert_int_equal(threads_suspend_seccomp(threads, &threads->v[0]), 0);
	detach();
	assert_nobody_traced();
	assert_int_equal(victim_number(&victim, "bad"), 0);
	assert_refused(threads_seize_one(target, getpid(), &threads), USP_NOT_FOUND, "no thread");
	assert_refused(threads_seize_one(target, 0, &threads), USP_NOT_FOUND, "no thread");
	end();
}

/* The controller is killed at any moment: the target lives on as if nothing had been. */
static void controller_killed(void **state)
{
	(void)state;
	begin(false, "timer", "16", NULL);
	for (int i = 0; i < 40; i++) {
		int go[2];
		char c;
		assert_int_equal(pipe(go), 0);
		pid_t controller = fork();
		if (controller == 0) {
			bool told = false;
			for (;;) {
				struct threads *mine;
				if (threads_seize(target, &mine) || threads_stop(mine, test_deadline_ns()))
					_exit(1);
				if (!told && write(go[1], "x", 1) != 1)
					_exit(1);
				told = true;
				threads_detach(mine);
			}
		}
		assert_int_equal(read(go[0], &c, 1), 1);
		usleep((useconds_t)(i * 97 % 2000));
		kill(controller, SIGKILL);
		int status;
		assert_int_equal(waitpid(controller, &status, 0), controller);
		assert_true(WIFSIGNALED(status));
		close(go[0]);
		close(go[1]);
		victim_gets_on(&victim);
	}
	assert_int_equal(victim_number(&victim, "bad"), 0);
	assert_nobody_traced();
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(alone),	 cmocka_unit_test(asleep),
		cmocka_unit_test(spinning),	 cmocka_unit_test(own_child),
		cmocka_unit_test(churning),	 cmocka_unit_test(leader_gone),
		cmocka_unit_test(deaf),		 cmocka_unit_test(timer),
		cmocka_unit_test(forking),	 cmocka_unit_test(signals_once),
		cmocka_unit_test(group_stop),	 cmocka_unit_test(traced_already),
		cmocka_unit_test(executed),	 cmocka_unit_test(in_vfork),
		cmocka_unit_test(too_late),	 cmocka_unit_test(exits),
		cmocka_unit_test(one_alone),	 cmocka_unit_test(controller_killed),
		cmocka_unit_test(kernel_worker), cmocka_unit_test(nothing_to_detach),
	};
	return cmocka_run_group_tests_name("thread", tests, NULL, NULL);
}
