// SPDX-License-Identifier: MIT
/* Opening, locking, reading and text-writing of a process. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "check.h"
#include "process/target.h"
#include "process/text.h"
#include "victim_run.h"

static struct target *open_victim(const struct victim_run *victim)
{
	struct target *target = NULL;
	assert_fine(target_open(victim->pid, &target));
	return target;
}

static void opens(void **state)
{
	(void)state;
	struct victim_run victim;
	victim_start(&victim, false, "pt_threads", "sleep", "3", NULL);
	struct target *target = open_victim(&victim);
	assert_string_equal(target->name, "pt_threads");
	assert_int_equal(target->pid, victim.pid);
	assert_true(target->start_time > 0);
	assert_false(target->seccomp);
	assert_true(target_alive(target));
	int fd = target_openat(target, O_RDONLY, "task/%d/comm", victim.pid);
	assert_true(fd >= 0);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	close(fd);
	fd = target_openat(target, O_RDONLY | O_DIRECTORY, "task");
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(target_openat(target, O_RDONLY, "no-such-file"), -ENOENT);
	victim_end(&victim);
	assert_false(target_alive(target));
	uint8_t byte;
	assert_int_equal(target_read(target, 0x1000, &byte, 1), -ESRCH);
	target_close(target);
	target_close(NULL);
}

/* Nothing that is not a process to patch is opened, and each refusal says why. */
static void refuses(void **state)
{
	(void)state;
	struct target *target = NULL;
	char tids[64];
	assert_refused(target_open(0, &target), USP_NOT_FOUND, "no process 0");
	assert_refused(target_open(-5, &target), USP_NOT_FOUND, "no process -5");
	assert_refused(target_open(4194304 + 1, &target), USP_NOT_FOUND, "no process");
	assert_refused(target_open(getpid(), &target), USP_UNSUPPORTED, "itself");
	if (geteuid() == 0)
		assert_refused(target_open(2, &target), USP_UNSUPPORTED, "kernel");

	struct victim_run victim;
	victim_start(&victim, false, "pt_threads", "sleep", "1", NULL);
	pid_t thread = 0;
	for (pid_t tid = victim.pid + 1; tid < victim.pid + 1000 && !thread; tid++) {
		snprintf(tids, sizeof(tids), "/proc/%d/task/%d", victim.pid, tid);
		if (access(tids, F_OK) == 0)
			thread = tid;
	}
	assert_true(thread);
	snprintf(tids, sizeof(tids), "thread of process %d", victim.pid);
	assert_refused(target_open(thread, &target), USP_NOT_FOUND, tids);
	victim_end(&victim);

	pid_t zombie = fork();
	if (zombie == 0)
		_exit(0);
	siginfo_t info;
	assert_int_equal(waitid(P_PID, (id_t)zombie, &info, WEXITED | WNOWAIT), 0);
	assert_refused(target_open(zombie, &target), USP_NOT_FOUND, "exited");
	waitpid(zombie, NULL, 0);
	assert_null(target);
}

static void refuses_without_rights(void **state)
{
	(void)state;
	if (geteuid() != 0)
		skip();
	struct victim_run victim;
	victim_start(&victim, false, "pt_threads", "sleep", "1", NULL);
	pid_t child = fork();
	if (child == 0) {
		struct target *target;
		if (setgid(65534) || setuid(65534))
			_exit(2);
		struct usp_error *error = target_open(victim.pid, &target);
		_exit(error && error->code == USP_PERMISSION ? 0 : 1);
	}
	int status;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	victim_end(&victim);
}

/* The leader is a zombie, the process is not. */
static void leader_gone(void **state)
{
	(void)state;
	struct victim_run victim;
	victim_start(&victim, false, "pt_threads", "leader", "2", NULL);
	victim_await_state(&victim, victim.pid, 'Z', true);
	struct target *target = open_victim(&victim);
	char text[64] = "";
	int fd = target_openat(target, O_RDONLY, "maps");
	assert_true(fd >= 0 && read(fd, text, sizeof(text) - 1) > 0);
	close(fd);
	uint64_t start = strtoull(text, NULL, 16);
	uint8_t magic[4];
	assert_int_equal(target_read(target, start, magic, sizeof(magic)), 0);
	assert_memory_equal(magic, "\177ELF", 4);
	assert_true(target_alive(target));
	target_close(target);
	victim_end(&victim);
}

/* Runs in another process: 0 if it got the lock, USP_BUSY if not. With hold it waits to be killed. */
static pid_t other_controller(pid_t pid, bool hold, int ready)
{
	pid_t child = fork();
	if (child != 0)
		return child;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	struct target *target;
	struct usp_error *error = target_open(pid, &target);
	if (!error)
		error = target_lock(target, false);
	if (error || !hold)
		_exit(error ? (int)error->code : 0);
	if (write(ready, "x", 1) == 1)
		pause();
	_exit(1);
}

static int result_of(pid_t child)
{
	int status;
	assert_int_equal(waitpid(child, &status, 0), child);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void locks(void **state)
{
	(void)state;
	struct victim_run victim;
	int ready[2];
	char c;
	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	victim_start(&victim, false, "pt_threads", "sleep", "1", NULL);
	struct target *target = open_victim(&victim), *second = open_victim(&victim);
	assert_fine(target_lock(target, false));
	assert_fine(target_lock(target, true)); /* has it */
	assert_refused(target_lock(second, false), USP_BUSY, "acting on process");
	assert_int_equal(result_of(other_controller(victim.pid, false, -1)), USP_BUSY);
	target_unlock(target);
	target_unlock(target);
	target_unlock(NULL);
	assert_int_equal(result_of(other_controller(victim.pid, false, -1)), 0);
	assert_fine(target_lock(second, false));
	target_close(second);
	/* Another one has it, and is killed. */
	pid_t other = other_controller(victim.pid, true, ready[1]);
	assert_int_equal(read(ready[0], &c, 1), 1);
	assert_refused(target_lock(target, false), USP_BUSY, "acting on process");
	kill(other, SIGKILL);
	assert_fine(target_lock(target, true));
	assert_int_equal(result_of(other), -1);
	target_unlock(target);
	victim_end(&victim);
	assert_refused(target_lock(target, false), USP_GONE, "cannot lock");
	target_close(target);
	close(ready[0]);
	close(ready[1]);
}

static int write_one(const struct target *target, uint64_t address, const void *expected, const void *bytes,
		     size_t n)
{
	const struct host_write write = {address, expected, bytes, n};
	size_t done;
	int r = text_write(target, &write, 1, &done);
	assert_int_equal(done, r == 0);
	return r;
}

#define MANY 100 /* more than are read at once */

/* In page: nops. end: not mapped; shared: the page from there on can be read, not written. */
static void write_many(const struct target *target, uint64_t page, uint64_t shared, uint64_t end)
{
	static const uint8_t nops[8] = {0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90}, ones[8] = {1, 1},
			     half[8] = {0x90, 0x90, 0x90, 0x90};
	struct host_write many[MANY];
	uint8_t is[8];
	size_t done;
	for (size_t i = 0; i < MANY; i++)
		many[i] = (struct host_write){page + 100 + 2 * i, nops, ones, 1 + i % 2};
	assert_int_equal(text_write(target, many, MANY, &done), 0);
	assert_int_equal(done, MANY);
	for (size_t i = 0; i < MANY; i++) {
		assert_int_equal(target_read(target, many[i].address, is, 2), 0);
		assert_memory_equal(is, i % 2 ? "\1\1" : "\1\x90", 2);
		many[i].expected = ones;
		many[i].bytes = nops;
	}
	/* One of them is not as expected: those before it are written, it is not. */
	assert_int_equal(write_one(target, many[70].address, ones, "x", 1), 0);
	assert_int_equal(text_write(target, many, MANY, &done), -EBADMSG);
	assert_int_equal(done, 70);
	assert_int_equal(target_read(target, many[70].address, is, 1), 0);
	assert_int_equal(is[0], 'x');
	/* One cannot be read at all, or has no sound length. */
	many[0].expected = nops;
	many[1] = (struct host_write){end, nops, ones, 1};
	assert_int_equal(text_write(target, many, MANY, &done), -EFAULT);
	assert_int_equal(done, 1);
	many[1].n = 32;
	assert_int_equal(text_write(target, many, MANY, &done), -EINVAL);
	assert_int_equal(done, 1);
	/* One cannot be written: it stays whole, what is behind it is as it was. */
	const struct host_write three[] = {
		{page, nops, ones, 8}, {shared - 4, half, ones, 8}, {page + 8, nops, ones, 8}};
	assert_true(text_write(target, three, 3, &done) < 0);
	assert_int_equal(done, 1);
	assert_int_equal(target_read(target, shared - 4, is, 8), 0);
	assert_memory_equal(is, half, 8);
	assert_int_equal(target_read(target, page + 8, is, 8), 0);
	assert_memory_equal(is, nops, 8);
	assert_int_equal(text_write(target, many, 0, &done), 0);
	assert_int_equal(done, 0);
}

/* A child of the test: the same addresses as here. */
static void writes_text(void **state)
{
	(void)state;
	static const uint8_t code[8] = {1, 2, 3, 4, 5, 6, 7, 8};
	uint8_t *page = mmap(NULL, 5 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_true(page != MAP_FAILED);
	memset(page, 0x90, 4 * 4096);
	assert_int_equal(munmap(page + 4 * 4096, 4096), 0);
	memcpy(page + 4092, code, sizeof(code)); /* across a page */
	assert_int_equal(mprotect(page, 3 * 4096, PROT_READ | PROT_EXEC), 0);
	/* The last page belongs to others, too: it can be read, not written. */
	int file = memfd_create("shared", MFD_CLOEXEC);
	assert_true(file >= 0 && ftruncate(file, 4096) == 0);
	assert_true(mmap(page + 3 * 4096, 4096, PROT_READ, MAP_SHARED | MAP_FIXED, file, 0) != MAP_FAILED);
	close(file);
	pid_t child = fork();
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		pause();
		_exit(0);
	}
	struct target *target;
	assert_fine(target_open(child, &target));
	uint64_t at = (uintptr_t)page + 4092, shared = (uintptr_t)page + 3 * 4096,
		 end = (uintptr_t)page + 4 * 4096;
	uint8_t is[8];
	assert_int_equal(text_prepare(target, (uintptr_t)page, 3 * 4096), 0);
	assert_true(text_prepare(target, shared - 1, 2) < 0);
	assert_int_equal(text_prepare(target, at, 0), 0);
	assert_int_equal(text_prepare(target, end - 1, 2), -EFAULT);
	assert_int_equal(text_prepare(target, UINT64_MAX - 3, 8), -EFAULT);
	assert_int_equal(text_prepare(target, 16, SIZE_MAX), -EFAULT);
	assert_int_equal(write_one(target, at, code, "abcdefgh", 8), 0);
	assert_int_equal(target_read(target, at, is, 8), 0);
	assert_memory_equal(is, "abcdefgh", 8);
	assert_memory_equal(page + 4092, code, 8); /* the copy is the target's own */
	/* Other bytes than expected: nothing is written. */
	assert_int_equal(write_one(target, at, code, "ABCDEFGH", 8), -EBADMSG);
	assert_int_equal(target_read(target, at, is, 8), 0);
	assert_memory_equal(is, "abcdefgh", 8);
	assert_int_equal(write_one(target, at, is, "A", 0), -EINVAL);
	assert_int_equal(write_one(target, at, is, "A", 32), -EINVAL);
	/* The second half cannot be written: the first is put back. */
	assert_true(write_one(target, shared - 4, "\x90\x90\x90\x90\0\0\0\0", "ABCDEFGH", 8) < 0);
	assert_int_equal(target_read(target, shared - 4, is, 8), 0);
	assert_memory_equal(is, "\x90\x90\x90\x90\0\0\0\0", 8);
	/* It is not mapped. */
	assert_int_equal(write_one(target, end - 4, "\0\0\0\0\0\0\0", "ABCDEFGH", 8), -EFAULT);
	assert_int_equal(target_read(target, end - 4, is, 8), -EFAULT);
	assert_int_equal(target_read(target, UINT64_MAX - 3, is, 8), -EFAULT);
	assert_int_equal(target_read(target, UINT64_C(1) << 63, is, 8), -EFAULT);
	write_many(target, (uintptr_t)page, shared, end);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	assert_int_equal(write_one(target, at, "abcdefgh", code, 8), -ESRCH);
	assert_int_equal(text_prepare(target, at, 1), -ESRCH);
	target_close(target);
	munmap(page, 4 * 4096);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(opens),
		cmocka_unit_test(refuses),
		cmocka_unit_test(refuses_without_rights),
		cmocka_unit_test(leader_gone),
		cmocka_unit_test(locks),
		cmocka_unit_test(writes_text),
	};
	return cmocka_run_group_tests_name("target", tests, NULL, NULL);
}
