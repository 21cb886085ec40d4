// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include "subject.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>

#include <cmocka.h>

static void pass(struct usp_error *error)
{
	if (error)
		fail_msg("%s", error->message);
}

static void read_line(int fd, uint64_t *a, uint64_t *b)
{
	char line[128];
	size_t n = 0;
	for (;;) {
		struct pollfd pollfd = {fd, POLLIN, 0};
		assert_int_equal(poll(&pollfd, 1, 30000), 1);
		assert_true(n < sizeof(line) - 1);
		assert_int_equal(read(fd, line + n, 1), 1);
		if (line[n++] == '\n')
			break;
	}
	line[n] = '\0';
	assert_int_equal(sscanf(line, "%" SCNx64 " %" SCNx64, a, b), 2);
}

/* Waits until the thread sleeps: it has said that it is in position and goes to pause() next. */
static void wait_asleep(pid_t pid, pid_t tid)
{
	char path[64], text[512];
	snprintf(path, sizeof(path), "/proc/%d/task/%d/stat", pid, tid);
	for (;;) {
		int fd = open(path, O_RDONLY | O_CLOEXEC);
		assert_true(fd >= 0);
		ssize_t n = read(fd, text, sizeof(text) - 1);
		close(fd);
		assert_true(n > 0);
		text[n] = '\0';
		const char *state = strrchr(text, ')');
		assert_non_null(state);
		if (state[2] == 'S')
			return;
		assert_true(state[2] == 'R' || state[2] == 'D');
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	}
}

static void stop_all(struct subject *subject)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d/task", subject->pid);
	DIR *dir = opendir(path);
	assert_non_null(dir);
	for (struct dirent *entry; (entry = readdir(dir));) {
		pid_t tid = atoi(entry->d_name);
		int status;
		if (tid <= 0)
			continue;
		wait_asleep(subject->pid, tid);
		subject->threads = reallocarray(subject->threads, subject->n + 1, sizeof(*subject->threads));
		assert_non_null(subject->threads);
		struct thread *thread = &subject->threads[subject->n++];
		*thread = (struct thread){
			.tid = tid, .state = THREAD_STOPPED, .has_registers = true, .name = "victim"};
		assert_int_equal(ptrace(PTRACE_ATTACH, tid, NULL, NULL), 0);
		assert_int_equal(waitpid(tid, &status, __WALL), tid);
		assert_true(WIFSTOPPED(status));
		assert_int_equal(ptrace(PTRACE_GETREGS, tid, NULL, &thread->registers), 0);
	}
	closedir(dir);
}

void subject_start(struct subject *subject, const char *program, const char *mode, const char *argument)
{
	int pipes[2];
	uint64_t start, end;
	*subject = (struct subject){0};
	assert_non_null(program);
	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	subject->pid = fork();
	assert_true(subject->pid >= 0);
	if (!subject->pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(pipes[1], 1);
		execl(program, program, mode, argument, NULL);
		_exit(127);
	}
	close(pipes[1]);
	subject->out = pipes[0];
	if (!strcmp(mode, "image"))
		read_line(subject->out, &subject->image_base, &subject->image_size);
	read_line(subject->out, &start, &end);
	stop_all(subject);
	assert_int_equal(range_set_add(&subject->ranges, start + 1, end), 0);
	range_set_seal(&subject->ranges);
	pass(target_open(subject->pid, &subject->target));
	pass(maps_read(subject->target, &subject->maps));
	pass(modules_open(subject->target, &subject->maps, &subject->modules));
}

void subject_end(struct subject *subject)
{
	kill(subject->pid, SIGKILL);
	/* A leader is not reaped before its tracer has reaped the other threads. */
	for (size_t i = 0; i < subject->n; i++)
		if (subject->threads[i].tid != subject->pid)
			waitpid(subject->threads[i].tid, NULL, __WALL);
	waitpid(subject->pid, NULL, __WALL);
	modules_close(subject->modules);
	maps_deinit(&subject->maps);
	target_close(subject->target);
	range_set_deinit(&subject->ranges);
	free(subject->threads);
	close(subject->out);
	*subject = (struct subject){0};
}

const struct thread *subject_thread(const struct subject *subject, bool other)
{
	for (size_t i = 0; i < subject->n; i++)
		if ((subject->threads[i].tid != subject->pid) == other)
			return &subject->threads[i];
	fail_msg("no such thread");
	return NULL;
}
