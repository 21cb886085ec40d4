// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include "build/capture/start.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

enum step {
	STEP_OUTPUT,
	STEP_INPUT,
	STEP_DIRECTORY,
	STEP_EXEC,
};

struct failure {
	enum step step;
	int errno_value;
};

static enum step become(const struct capture_trace *trace)
{
	const struct capture_options *options = trace->options;
	int out = open(options->output, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (out < 0 || dup2(out, STDOUT_FILENO) < 0 || dup2(out, STDERR_FILENO) < 0)
		return STEP_OUTPUT;
	int in = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (in < 0 || dup2(in, STDIN_FILENO) < 0)
		return STEP_INPUT;
	if (options->directory && chdir(options->directory) < 0)
		return STEP_DIRECTORY;
	sigprocmask(SIG_SETMASK, trace->mask, NULL);
	execvpe(options->command[0], (char *const *)options->command, trace->environment);
	return STEP_EXEC;
}

/* The child's life until exec. Waits until it is traced. */
static _Noreturn void child(const struct capture_trace *trace, int go, int failed)
{
	char traced;
	if (read(go, &traced, 1) == 1) {
		enum step step = become(trace);
		struct failure failure = {.step = step, .errno_value = errno};
		(void)!write(failed, &failure, sizeof(failure));
	}
	_exit(127);
}

/* Why PTRACE_SEIZE was refused, by what can be seen of it. */
static struct usp_error *refused(int errno_value, pid_t pid)
{
	char path[64], line[256];
	int tracer = 0, scope = 0;
	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	FILE *f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		sscanf(line, "TracerPid: %d", &tracer);
	if (f)
		fclose(f);
	f = fopen("/proc/sys/kernel/yama/ptrace_scope", "re");
	if (f) {
		if (fscanf(f, "%d", &scope) != 1)
			scope = 0;
		fclose(f);
	}
	if (tracer)
		return usp_errorf(
			USP_PERMISSION,
			"the build cannot be watched: process %d traces usplice and all that it starts "
			"(strace -f, a debugger); run usplice without it",
			tracer);
	if (scope > 1)
		return usp_errorf(
			USP_PERMISSION,
			"the build cannot be watched: kernel.yama.ptrace_scope=%d lets %s trace their own "
			"children; set it to 1 or 0",
			scope, scope > 2 ? "no process" : "only processes with CAP_SYS_PTRACE");
	return usp_error_errno(
		USP_PERMISSION, errno_value,
		"the build cannot be watched: usplice must be allowed to trace its own children "
		"(ptrace); in a container, allow it with --cap-add=SYS_PTRACE or another seccomp profile");
}

struct usp_error *capture_start(const struct capture_trace *trace, pid_t *pid, int *failed)
{
	int go[2], fails[2];
	if (pipe2(go, O_CLOEXEC) < 0 || pipe2(fails, O_CLOEXEC) < 0)
		return usp_error_errno(USP_FAILED, errno, "cannot make a pipe");
	*pid = fork();
	if (*pid < 0)
		return usp_error_errno(USP_FAILED, errno, "cannot start the build");
	if (!*pid) {
		close(go[1]);
		child(trace, go[0], fails[1]);
	}
	close(fails[1]);
	long options = PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC |
		       PTRACE_O_EXITKILL;
	if (ptrace(PTRACE_SEIZE, *pid, NULL, (void *)options) < 0) {
		struct usp_error *error = refused(errno, *pid);
		kill(*pid, SIGKILL);
		waitpid(*pid, NULL, 0);
		return error;
	}
	*failed = fails[0];
	(void)!write(go[1], "", 1);
	close(go[0]);
	close(go[1]);
	return NULL;
}

struct usp_error *capture_start_failure(const struct capture_trace *trace, int failed, int *start_error)
{
	const struct capture_options *options = trace->options;
	struct failure failure;
	if (read(failed, &failure, sizeof(failure)) != (ssize_t)sizeof(failure))
		return usp_errorf(USP_FAILED, "the build was ended before it began");
	switch (failure.step) {
	case STEP_OUTPUT:
		return usp_error_errno(USP_FAILED, failure.errno_value, "cannot write %s", options->output);
	case STEP_INPUT:
		return usp_error_errno(USP_FAILED, failure.errno_value, "cannot open /dev/null");
	case STEP_DIRECTORY:
		return usp_error_errno(USP_FAILED, failure.errno_value, "cannot build in %s",
				       options->directory);
	case STEP_EXEC:
		break;
	}
	*start_error = failure.errno_value;
	return NULL;
}
