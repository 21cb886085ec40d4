/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "fixture.h"

#include <dirent.h>
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
#include <unistd.h>

#include <cmocka.h>

#define ANSWER_MS 20000

const char *const kind_names[KINDS] = {"hold", "futex", "poll", "nanosleep", "epoll", "read"};

static const char *tool(const char *name)
{
	const char *path = getenv(name);
	assert_non_null(path);
	return path;
}

static void read_line(struct victim *victim, char *answer, size_t size)
{
	size_t n = 0;
	for (;;) {
		struct pollfd p = {.fd = victim->from, .events = POLLIN};
		char c = '\0';
		if (poll(&p, 1, ANSWER_MS) != 1 || read(victim->from, &c, 1) != 1) {
			answer[n] = '\0';
			fail_msg("the victim (%d) does not answer; so far: \"%s\"", victim->pid, answer);
		}
		if (c == '\n')
			break;
		if (n + 1 < size)
			answer[n++] = c;
	}
	answer[n] = '\0';
	if (strstr(answer, "WRONG"))
		fail_msg("the victim says: %s", answer);
}

void victim_ask(struct victim *victim, const char *command, char *answer, size_t size)
{
	if (dprintf(victim->to, "%s\n", command) < 0)
		fail_msg("the victim (%d) is gone", victim->pid);
	read_line(victim, answer, size);
}

void victim_start(struct victim *victim, const char *mode, void (*prepare)(void))
{
	int to[2], from[2];
	char line[1024];
	*victim = (struct victim){0};
	signal(SIGPIPE, SIG_IGN);
	assert_int_equal(pipe2(to, O_CLOEXEC), 0);
	assert_int_equal(pipe2(from, O_CLOEXEC), 0);
	const char *path = tool("PT_REGISTERS");
	victim->pid = fork();
	assert_true(victim->pid >= 0);
	if (victim->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		signal(SIGPIPE, SIG_DFL);
		dup2(to[0], 0);
		dup2(from[1], 1);
		if (prepare)
			prepare();
		execl(path, path, mode, NULL);
		_exit(127);
	}
	close(to[0]);
	close(from[1]);
	victim->to = to[1];
	victim->from = from[0];
	read_line(victim, line, sizeof(line));
	assert_int_equal(sscanf(line, "ready called=%lx faults=%lx never=%lx sleeps=%lx", &victim->called,
				&victim->faults, &victim->never, &victim->sleeps),
			 4);
	if (mode && !strcmp(mode, "spin"))
		return;
	victim_ask(victim, "threads", line, sizeof(line));
	char *save, *word = strtok_r(line, " ", &save);
	for (int i = 0; i < KINDS; i++, word = strtok_r(NULL, " ", &save)) {
		assert_non_null(word);
		assert_int_equal(sscanf(strchr(word, ':'), ":%d:%lx", &victim->tids[i], &victim->errnos[i]),
				 2);
	}
}

void victim_end(struct victim *victim)
{
	int status;
	close(victim->to);
	kill(victim->pid, SIGKILL);
	assert_int_equal(waitpid(victim->pid, &status, 0), victim->pid);
	close(victim->from);
	if (WIFSIGNALED(status))
		assert_int_equal(WTERMSIG(status), SIGKILL); /* not an abort */
}

static void report(struct victim *victim, unsigned long rounds[KINDS])
{
	char line[256];
	victim_ask(victim, "report", line, sizeof(line));
	assert_int_equal(sscanf(line, "%lu %lu %lu %lu %lu %lu", &rounds[0], &rounds[1], &rounds[2],
				&rounds[3], &rounds[4], &rounds[5]),
			 6);
}

void victim_comes_round(struct victim *victim)
{
	unsigned long before[KINDS], now[KINDS];
	char line[64];
	report(victim, before);
	victim_ask(victim, "wake", line, sizeof(line));
	for (int tries = 0;; tries++) {
		bool all = true;
		report(victim, now);
		for (int i = 0; i < KINDS; i++) {
			all &= now[i] > before[i];
			if (tries > 10000 && now[i] <= before[i])
				fail_msg("the %s thread (%d) does not come round", kind_names[i],
					 victim->tids[i]);
		}
		if (all)
			return;
		poll(NULL, 0, 2);
	}
}

void victim_free_of_tracers(const struct victim *victim)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d/task", victim->pid);
	DIR *dir = opendir(path);
	assert_non_null(dir);
	int threads = 0;
	for (struct dirent *entry; (entry = readdir(dir));) {
		char text[4096];
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/proc/%d/task/%.20s/status", victim->pid, entry->d_name);
		int fd = open(path, O_RDONLY | O_CLOEXEC);
		ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
		assert_true(n > 0);
		close(fd);
		text[n] = '\0';
		if (!strstr(text, "\nTracerPid:\t0\n") || strstr(text, "State:\tt") ||
		    strstr(text, "State:\tT"))
			fail_msg("thread %s of %d is traced or stopped:\n%s", entry->d_name, victim->pid,
				 text);
		threads++;
	}
	closedir(dir);
	assert_true(threads >= 2);
}

void victim_no_descriptor(const struct victim *victim)
{
	char path[64], link[256];
	snprintf(path, sizeof(path), "/proc/%d/fd", victim->pid);
	DIR *dir = opendir(path);
	assert_non_null(dir);
	for (struct dirent *entry; (entry = readdir(dir));) {
		ssize_t n = readlinkat(dirfd(dir), entry->d_name, link, sizeof(link) - 1);
		link[n < 0 ? 0 : n] = '\0';
		if (strstr(link, "usplice"))
			fail_msg("descriptor %s -> %s is left in %d", entry->d_name, link, victim->pid);
	}
	closedir(dir);
}

int victim_area_mappings(const struct victim *victim)
{
	char path[64], line[512];
	int n = 0;
	snprintf(path, sizeof(path), "/proc/%d/maps", victim->pid);
	FILE *f = fopen(path, "re");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		n += strstr(line, "usplice-area") != NULL;
	fclose(f);
	return n;
}

bool victim_hole_is_zero(const struct victim *victim)
{
	char path[64], line[512];
	uint64_t start, end = 0;
	snprintf(path, sizeof(path), "/proc/%d/maps", victim->pid);
	FILE *f = fopen(path, "re");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		if (strstr(line, "[vdso]"))
			assert_int_equal(sscanf(line, "%lx-%lx", &start, &end), 2);
	fclose(f);
	assert_true(end != 0);
	snprintf(path, sizeof(path), "/proc/%d/mem", victim->pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	uint8_t bytes[1024], zero[1024] = {0};
	assert_int_equal(pread(fd, bytes, sizeof(bytes), (off_t)(end - sizeof(bytes))), sizeof(bytes));
	close(fd);
	return !memcmp(bytes, zero, sizeof(zero));
}

int run(const char *const argv[], char *text, size_t size)
{
	int out[2], status;
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		dup2(out[1], 1);
		dup2(out[1], 2);
		execv(argv[0], (char *const *)argv);
		_exit(127);
	}
	close(out[1]);
	size_t n = 0;
	for (ssize_t r; (r = read(out[0], text + n, size - 1 - n)) > 0;)
		n += (size_t)r;
	text[n] = '\0';
	close(out[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static char words[16][64];
static const char *arguments[32];

static int add_controller(int n, const struct victim *victim, int kind, const char *const extra[])
{
	int w = 0;
	arguments[n++] = tool("CONTROLLER");
	snprintf(words[w], sizeof(words[w]), "%d", victim->pid);
	arguments[n++] = words[w++];
	if (kind >= 0) { /* of another thread it is not known where its errno is */
		snprintf(words[w], sizeof(words[w]), "called=%lx", victim->called);
		arguments[n++] = words[w++];
		snprintf(words[w], sizeof(words[w]), "tid=%d", victim->tids[kind]);
		arguments[n++] = words[w++];
		snprintf(words[w], sizeof(words[w]), "errno=%lx", victim->errnos[kind]);
		arguments[n++] = words[w++];
	}
	for (int i = 0; extra && extra[i]; i++)
		arguments[n++] = extra[i];
	arguments[n] = NULL;
	return n;
}

const char *const *controller(const struct victim *victim, int kind, const char *const extra[])
{
	add_controller(0, victim, kind, extra);
	return arguments;
}

const char *const *killed_controller(const struct victim *victim, int kind, unsigned n, bool at_exit,
				     const char *const extra[])
{
	static char number[16];
	int i = 0;
	arguments[i++] = tool("KILLAT");
	if (at_exit)
		arguments[i++] = "--exit";
	snprintf(number, sizeof(number), "%u", n);
	arguments[i++] = number;
	arguments[i++] = "--";
	add_controller(i, victim, kind, extra);
	return arguments;
}
