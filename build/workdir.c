// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include "build/workdir.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "build/file.h"

extern char **environ;

static struct usp_error *make_environment(struct workdir *workdir)
{
	size_t n = 0;
	while (environ && environ[n])
		n++;
	workdir->environment = calloc(n + 2, sizeof(char *));
	if (!workdir->environment || asprintf(&workdir->tmpdir, "TMPDIR=%s", workdir->path) < 0) {
		workdir->tmpdir = NULL;
		return &usp_error_no_memory;
	}
	size_t to = 0;
	for (size_t i = 0; i < n; i++) {
		if (strncmp(environ[i], "TMPDIR=", 7) != 0)
			workdir->environment[to++] = environ[i];
	}
	workdir->environment[to] = workdir->tmpdir;
	return NULL;
}

struct usp_error *workdir_create(bool keep, struct workdir *ret)
{
	static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE};
	*ret = (struct workdir){.keep = keep, .signals = -1};
	sigset_t blocked;
	sigemptyset(&blocked);
	for (size_t i = 0; i < sizeof(signals) / sizeof(*signals); i++)
		sigaddset(&blocked, signals[i]);
	int r = pthread_sigmask(SIG_BLOCK, &blocked, &ret->previous);
	if (r)
		return usp_error_errno(USP_FAILED, r, "cannot block signals");
	/* Only those count that were not blocked before: the caller's own business stays its own. */
	sigset_t watched;
	sigemptyset(&watched);
	for (size_t i = 0; i < sizeof(signals) / sizeof(*signals); i++) {
		if (!sigismember(&ret->previous, signals[i]))
			sigaddset(&watched, signals[i]);
	}
	struct usp_error *error = NULL;
	ret->signals = signalfd(-1, &watched, SFD_CLOEXEC | SFD_NONBLOCK);
	if (ret->signals < 0) {
		error = usp_error_errno(USP_FAILED, errno, "cannot watch for signals");
	} else {
		const char *parent = getenv("TMPDIR");
		if (!parent || parent[0] != '/')
			parent = "/tmp";
		char *path;
		if (asprintf(&path, "%s/usplice-XXXXXX", parent) < 0) {
			error = &usp_error_no_memory;
		} else if (!mkdtemp(path)) {
			error = usp_error_errno(USP_FAILED, errno, "cannot make a directory in %s", parent);
			free(path);
		} else {
			ret->path = path;
			error = make_environment(ret);
		}
	}
	if (error)
		workdir_destroy(ret);
	return error;
}

void workdir_destroy(struct workdir *workdir)
{
	if (workdir->path && !workdir->keep)
		file_remove_tree(workdir->path);
	free(workdir->path);
	free(workdir->environment);
	free(workdir->tmpdir);
	if (workdir->signals >= 0)
		close(workdir->signals);
	pthread_sigmask(SIG_SETMASK, &workdir->previous, NULL);
	workdir->path = NULL;
	workdir->environment = NULL;
	workdir->tmpdir = NULL;
	workdir->signals = -1;
}

char *workdir_path(const struct workdir *workdir, const char *format, ...)
{
	_cleanup_free_ char *name = NULL;
	char *ret;
	va_list ap;
	va_start(ap, format);
	int n = vasprintf(&name, format, ap);
	va_end(ap);
	if (n < 0) {
		name = NULL;
		return NULL;
	}
	return asprintf(&ret, "%s/%s", workdir->path, name) < 0 ? NULL : ret;
}

struct usp_error *workdir_interrupted(const struct workdir *workdir)
{
	struct pollfd fd = {.fd = workdir->signals, .events = POLLIN};
	if (poll(&fd, 1, 0) > 0)
		return usp_errorf(USP_FAILED, "interrupted; nothing was written");
	return NULL;
}

static int start(const struct workdir *workdir, const char *directory, const char *output,
		 const char *const argv[], pid_t *pid)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	int r = posix_spawn_file_actions_init(&actions);
	if (r)
		return r;
	r = posix_spawnattr_init(&attributes);
	if (r) {
		posix_spawn_file_actions_destroy(&actions);
		return r;
	}
	r = posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	if (!r && output) {
		r = posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, output,
						     O_WRONLY | O_CREAT | O_TRUNC, 0644);
	}
	if (!r)
		r = posix_spawn_file_actions_adddup2(&actions, STDERR_FILENO, STDOUT_FILENO);
	if (!r && directory)
		r = posix_spawn_file_actions_addchdir_np(&actions, directory);
	if (!r)
		r = posix_spawnattr_setsigmask(&attributes, &workdir->previous);
	if (!r)
		r = posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
	if (!r)
		r = posix_spawnp(pid, argv[0], &actions, &attributes, (char *const *)argv,
				 workdir->environment);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	return r;
}

struct usp_error *workdir_run(const struct workdir *workdir, const char *const argv[], int *start_error,
			      int *status)
{
	return workdir_run_in(workdir, NULL, NULL, argv, start_error, status);
}

struct usp_error *workdir_run_in(const struct workdir *workdir, const char *directory, const char *output,
				 const char *const argv[], int *start_error, int *status)
{
	pid_t pid;
	*start_error = 0;
	int r = start(workdir, directory, output, argv, &pid);
	if (r == ENOENT || r == EACCES) {
		*start_error = -r;
		return NULL;
	}
	if (r)
		return usp_error_errno(USP_FAILED, r, "cannot run %s", argv[0]);

	/* Until the tool ends or somebody wants us to; without a pidfd only the tool's end is waited for. */
	_cleanup_close_ int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	struct pollfd fds[2] = {{.fd = pidfd, .events = POLLIN}, {.fd = workdir->signals, .events = POLLIN}};
	bool interrupted = false;
	while (pidfd >= 0 && !(fds[0].revents & POLLIN)) {
		if (poll(fds, interrupted ? 1 : 2, -1) < 0 && errno != EINTR)
			break;
		if (!interrupted && fds[1].revents & POLLIN) {
			interrupted = true;
			kill(pid, SIGTERM); /* not reaped yet, so the id is still its own */
		}
	}
	while ((r = waitpid(pid, status, 0)) < 0 && errno == EINTR)
		;
	if (r < 0)
		return usp_error_errno(USP_FAILED, errno, "cannot wait for %s (is SIGCHLD ignored?)",
				       argv[0]);
	return workdir_interrupted(workdir);
}
