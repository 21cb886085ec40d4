// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "victim_run.h"

#define PATIENCE_MS 60000

uint64_t test_clock_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t test_deadline_ns(void)
{
	return test_clock_ns() + UINT64_C(60000000000);
}

static void run(int in, int out, const char *name, const char *a, const char *b, const char *c)
{
	char path[512];
	const char *directory = getenv("VICTIMS");
	snprintf(path, sizeof(path), "%s/%s", directory ? directory : ".", name);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	dup2(in, 0);
	dup2(out, 1);
	execl(path, name, a, b, c, (char *)NULL);
	perror(path);
	_exit(127);
}

/* The process in between: starts the victim, tells its pid, then what it hears of it, until it ends. */
static void be_parent(int in, int out, int tell, const char *name, const char *a, const char *b,
		      const char *c)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	pid_t pid = fork();
	if (pid == 0)
		run(in, out, name, a, b, c);
	close(in);
	close(out);
	if (pid < 0 || write(tell, &pid, sizeof(pid)) != sizeof(pid))
		_exit(1);
	for (;;) {
		int status;
		if (waitpid(pid, &status, WUNTRACED | WCONTINUED) != pid) {
			if (errno == EINTR)
				continue;
			_exit(1);
		}
		if (WIFEXITED(status) || WIFSIGNALED(status))
			_exit(0);
		if (write(tell, WIFSTOPPED(status) ? "s" : "c", 1) != 1)
			_exit(1);
	}
}

void victim_start(struct victim_run *victim, bool own_child, const char *name, const char *a, const char *b,
		  const char *c)
{
	int in[2], out[2], tell[2];
	memset(victim, 0, sizeof(*victim));
	assert_int_equal(pipe2(in, O_CLOEXEC), 0);
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	assert_int_equal(pipe2(tell, O_CLOEXEC), 0);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		close(in[1]);
		close(out[0]);
		close(tell[0]);
		if (own_child)
			run(in[0], out[1], name, a, b, c);
		be_parent(in[0], out[1], tell[1], name, a, b, c);
	}
	close(in[0]);
	close(out[1]);
	close(tell[1]);
	victim->to = in[1];
	victim->from = out[0];
	victim->reports = tell[0];
	victim->pid = pid;
	if (!own_child) {
		victim->parent = pid;
		assert_int_equal(read(tell[0], &victim->pid, sizeof(victim->pid)), sizeof(victim->pid));
	}
	fcntl(victim->reports, F_SETFL, O_NONBLOCK);
	assert_string_equal(victim_ask(victim, NULL), "ready");
}

void victim_tell(struct victim_run *victim, const char *line)
{
	char text[VICTIM_RUN_LINE];
	int n = snprintf(text, sizeof(text), "%s\n", line);
	assert_int_equal(write(victim->to, text, (size_t)n), n);
}

const char *victim_ask(struct victim_run *victim, const char *line)
{
	size_t n = 0;
	if (line)
		victim_tell(victim, line);
	for (;;) {
		struct pollfd p = {.fd = victim->from, .events = POLLIN};
		int r = poll(&p, 1, PATIENCE_MS);
		if (r < 0 && errno == EINTR)
			continue;
		if (r != 1 || read(victim->from, &victim->line[n], 1) != 1)
			fail_msg("the victim does not answer \"%s\"", line ? line : "(start)");
		if (victim->line[n] == '\n')
			break;
		assert_true(++n < sizeof(victim->line) - 1);
	}
	victim->line[n] = '\0';
	return victim->line;
}

long victim_number(struct victim_run *victim, const char *line)
{
	char *end;
	long r = strtol(victim_ask(victim, line), &end, 10);
	if (*end || end == victim->line)
		fail_msg("the victim answers \"%s\" to \"%s\"", victim->line, line);
	return r;
}

void victim_gets_on(struct victim_run *victim)
{
	long before = victim_number(victim, "count");
	uint64_t deadline_ns = test_deadline_ns();
	while (victim_number(victim, "count") <= before) {
		assert_true(test_clock_ns() < deadline_ns);
		usleep(1000);
	}
}

int victim_reports(struct victim_run *victim)
{
	static int total;
	static pid_t of;
	char c;
	if (of != victim->pid)
		total = 0;
	of = victim->pid;
	while (read(victim->reports, &c, 1) == 1)
		total++;
	return total;
}

void victim_end(struct victim_run *victim)
{
	int status;
	close(victim->to);
	close(victim->from);
	kill(victim->pid, SIGKILL);
	pid_t child = victim->parent ? victim->parent : victim->pid;
	assert_int_equal(waitpid(child, &status, 0), child);
	/* The one in between ends only after it was given the victim's end. */
	if (victim->parent)
		assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	close(victim->reports);
}

char victim_state(const struct victim_run *victim, pid_t tid)
{
	char path[64], text[512];
	snprintf(path, sizeof(path), "/proc/%d/task/%d/stat", victim->pid, tid);
	FILE *f = fopen(path, "re");
	if (!f)
		return 0;
	size_t n = fread(text, 1, sizeof(text) - 1, f);
	fclose(f);
	text[n] = '\0';
	const char *close = strrchr(text, ')');
	return close && close[1] ? close[2] : 0;
}

void victim_await_state(const struct victim_run *victim, pid_t tid, char letter, bool wanted)
{
	uint64_t deadline_ns = test_deadline_ns();
	while ((victim_state(victim, tid) == letter) != wanted) {
		assert_true(test_clock_ns() < deadline_ns);
		usleep(1000);
	}
}
