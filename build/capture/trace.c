// SPDX-License-Identifier: MIT
/*
 * Every process of the build is seized, and the kernel seizes what it forks. What is stopped is let go on
 * at once, but for two moments:
 *
 *	exec	the command line is read, and where the process is: may it write an object, and which?
 *	end	it is gone but not reaped, so its parent does not know yet: what it wrote is whole, and
 *		nobody has removed it. If it ended with status 0, the file is copied.
 *
 * No system call is stopped at, no memory read, no register.
 */
#define _GNU_SOURCE
#include "build/capture/trace.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include "build/capture/file.h"
#include "build/capture/link.h"
#include "build/capture/log.h"
#include "build/capture/start.h"
#include "build/capture/tool.h"
#include "build/object/object.h"

#define GRACE_MS 3000 /* from SIGTERM to SIGKILL */

/* A thread of the build. */
struct tracee {
	pid_t tid;
	char *command;		   /* what it executes, since an exec that we saw */
	struct capture_tool *tool; /* if that may write something */
};

enum phase {
	RUNNING,
	ASKED,	/* everyone got SIGTERM */
	KILLED, /* everyone got SIGKILL */
};

struct tracer {
	const struct capture_trace *trace;
	struct tracee *v;
	size_t n, capacity;
	pid_t root; /* the build's command */
	bool executed, ended;
	int status; /* its end */
	enum phase phase;
	int64_t kill_at_ms;
};

static int64_t clock_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* ---- the list ---- */

static struct tracee *tracee_find(struct tracer *tracer, pid_t tid)
{
	for (size_t i = tracer->n; i-- > 0;) {
		if (tracer->v[i].tid == tid)
			return &tracer->v[i];
	}
	return NULL;
}

/* The signal that this phase has for it. */
static void tracee_end(const struct tracer *tracer, pid_t tid)
{
	/* Works for tracees of ours only, and such an id is nobody else's before we have reaped it. */
	if (tracer->phase == RUNNING || ptrace(PTRACE_INTERRUPT, tid, NULL, NULL) < 0)
		return;
	if (tracer->phase == KILLED) {
		kill(tid, SIGKILL);
	} else {
		/* Fails for threads that do not lead their process: one signal for each process. */
		syscall(SYS_tgkill, tid, tid, SIGTERM);
		syscall(SYS_tgkill, tid, tid, SIGCONT);
	}
}

static struct usp_error *tracee_add(struct tracer *tracer, pid_t tid, struct tracee **ret)
{
	*ret = tracee_find(tracer, tid);
	if (*ret)
		return NULL;
	if (!object_grow(&tracer->v, tracer->n, &tracer->capacity, sizeof(*tracer->v)))
		return &usp_error_no_memory;
	*ret = &tracer->v[tracer->n++];
	**ret = (struct tracee){.tid = tid};
	tracee_end(tracer, tid);
	return NULL;
}

static void tracee_clear(struct tracee *tracee)
{
	capture_tool_destroy(tracee->tool);
	free(tracee->command);
	tracee->tool = NULL;
	tracee->command = NULL;
}

static void tracee_remove(struct tracer *tracer, pid_t tid)
{
	struct tracee *tracee = tracee_find(tracer, tid);
	if (!tracee)
		return;
	tracee_clear(tracee);
	*tracee = tracer->v[--tracer->n];
}

static void end_all(struct tracer *tracer, enum phase phase)
{
	if (tracer->phase >= phase)
		return;
	tracer->phase = phase;
	tracer->kill_at_ms = clock_ms() + GRACE_MS;
	for (size_t i = 0; i < tracer->n; i++)
		tracee_end(tracer, tracer->v[i].tid);
}

/* ---- exec ---- */

static struct usp_error *read_command_line(pid_t pid, char **ret, size_t *size)
{
	char path[64], buffer[4096];
	snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)pid);
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	FILE *f = open_memstream(ret, size);
	if (!f)
		return &usp_error_no_memory;
	ssize_t n = fd < 0 ? -1 : 0;
	while (fd >= 0 && (n = read(fd, buffer, sizeof(buffer))) > 0)
		fwrite(buffer, (size_t)n, 1, f);
	int r = n < 0 ? errno : 0;
	bool failed = ferror(f);
	failed = fclose(f) || failed;
	if (failed)
		return &usp_error_no_memory;
	/* ESRCH, ENOENT: it was killed meanwhile. */
	return !r || r == ESRCH || r == ENOENT
		       ? NULL
		       : usp_error_errno(USP_FAILED, r,
					 "cannot read the command line of process %d of the build", (int)pid);
}

static pid_t parent_of(pid_t pid)
{
	char path[64], line[512];
	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, line, sizeof(line) - 1);
	if (n < 0)
		return -1;
	line[n] = '\0';
	/* "PID (any name) STATE PARENT" */
	const char *end = strrchr(line, ')');
	int parent;
	return end && sscanf(end + 1, " %*c %d", &parent) == 1 ? parent : -1;
}

static struct usp_error *take_exec(struct tracer *tracer, pid_t pid)
{
	struct tracee *tracee;
	unsigned long former = (unsigned long)pid;
	/* Of several threads the one that executes takes over the id of the process. */
	if (!ptrace(PTRACE_GETEVENTMSG, pid, NULL, &former) && (pid_t)former != pid)
		tracee_remove(tracer, (pid_t)former);
	struct usp_error *error = tracee_add(tracer, pid, &tracee);
	if (error)
		return error;
	tracee_clear(tracee);
	if (pid == tracer->root)
		tracer->executed = true;

	_cleanup_free_ char *line = NULL;
	size_t size = 0;
	error = read_command_line(pid, &line, &size);
	if (error || !size)
		return error;
	size_t n = 0;
	for (size_t i = 0; i < size; i++)
		n += !line[i];
	_cleanup_free_ const char **words = calloc(n + 1, sizeof(char *));
	if (!words)
		return &usp_error_no_memory;
	n = 0;
	for (size_t i = 0; i < size;
	     i += strlen(line + i) + 1) /* ends with a NUL, or by open_memstream()'s */
		words[n++] = line + i;
	error = capture_tool_create(pid, words, n, &tracee->tool);
	if (error)
		return error;
	struct tracee *parent =
		tracee->tool && capture_is_inner(words, n) ? tracee_find(tracer, parent_of(pid)) : NULL;
	if (parent && parent->command) {
		tracee->command = strdup(parent->command);
	} else {
		for (size_t i = 0; i + 1 < size; i++) {
			if (!line[i])
				line[i] = ' ';
		}
		tracee->command = strdup(line);
	}
	return tracee->command ? NULL : &usp_error_no_memory;
}

/* ---- the end of a tool ---- */

static struct usp_error *send_object(const struct tracer *tracer, const struct tracee *tracee,
				     const char *name, const uint8_t *hash)
{
	struct capture_record record;
	if (!capture_record_begin(&record, CAPTURE_RECORD_OBJECT))
		return &usp_error_no_memory;
	capture_record_hash(&record, hash);
	capture_record_string(&record, name);
	capture_record_string(&record, tracee->tool->place.name);
	capture_record_string(&record, tracee->command);
	capture_record_string(&record, basename(tracee->tool->words[0]));
	return capture_record_send(&record, tracer->trace->log);
}

static struct usp_error *send_link(const struct tracer *tracer, const struct tracee *tracee, const char *name,
				   const uint8_t *hash, bool relocatable)
{
	struct capture_input *inputs;
	size_t n;
	struct usp_error *error = capture_link_inputs(tracee->tool, &inputs, &n);
	struct capture_record record;
	if (!error && !capture_record_begin(&record, CAPTURE_RECORD_LINK))
		error = &usp_error_no_memory;
	if (!error) {
		capture_record_hash(&record, hash);
		capture_record_string(&record, name);
		capture_record_string(&record, basename(tracee->tool->words[0]));
		capture_record_number(&record, relocatable);
		capture_record_number(&record, (uint32_t)n);
		for (size_t i = 0; i < n; i++) {
			capture_record_hash(&record, inputs[i].hash);
			capture_record_string(&record, inputs[i].path);
		}
		error = capture_record_send(&record, tracer->trace->log);
	}
	capture_inputs_free(inputs, n);
	return error;
}

static struct usp_error *take_output(struct tracer *tracer, const struct tracee *tracee,
				     const struct capture_output *output)
{
	const struct capture_tool *tool = tracee->tool;
	_cleanup_free_ char *path = capture_place_reach(&tool->place, output->file);
	_cleanup_free_ char *name = capture_place_name(&tool->place, output->file);
	if (!path || !name)
		return &usp_error_no_memory;
	enum capture_format format;
	struct usp_error *error = capture_file_format(path, &format);
	bool counts = format == CAPTURE_RELOCATABLE || (format == CAPTURE_LINKED && tool->linker);
	uint8_t hash[PAYLOAD_HASH_SIZE];
	if (!error && counts && capture_file_written(path, &output->before)) {
		error = capture_file_store(path, tracer->trace->options->store, hash);
		if (!error && tool->linker)
			error = send_link(tracer, tracee, name, hash, format == CAPTURE_RELOCATABLE);
		else if (!error)
			error = send_object(tracer, tracee, name, hash);
	}
	return usp_error_prefix(error, "cannot keep what %s wrote, %s", basename(tracee->tool->words[0]),
				name);
}

/* The process has ended with status 0 and is not reaped yet. */
static struct usp_error *take_end(struct tracer *tracer, pid_t pid)
{
	const struct tracee *tracee = tracee_find(tracer, pid);
	struct usp_error *error = NULL;
	/* What is written while everything is being ended is not part of the build. */
	if (tracee && tracee->tool && tracer->phase == RUNNING) {
		for (size_t i = 0; !error && i < tracee->tool->n_outputs; i++)
			error = take_output(tracer, tracee, &tracee->tool->outputs[i]);
	}
	return error;
}

/* ---- what ptrace reports ---- */

static bool stops(int signal)
{
	return signal == SIGSTOP || signal == SIGTSTP || signal == SIGTTIN || signal == SIGTTOU;
}

static struct usp_error *take_stop(struct tracer *tracer, pid_t tid, int status)
{
	int signal = WSTOPSIG(status), event = status >> 16;
	struct usp_error *error = NULL;
	struct tracee *tracee;
	if (event == PTRACE_EVENT_EXEC)
		error = take_exec(tracer, tid);
	else
		error = tracee_add(tracer, tid, &tracee);
	/* All of these fail only if it has been killed, which is reported next. */
	if (event == PTRACE_EVENT_STOP && stops(signal))
		ptrace(PTRACE_LISTEN, tid, NULL, NULL); /* stays stopped, as without us, until SIGCONT */
	else
		ptrace(PTRACE_CONT, tid, NULL, (void *)(intptr_t)(event ? 0 : signal));
	return error;
}

/* One report. *more: there was one. *nobody: nobody is left. */
static struct usp_error *take_report(struct tracer *tracer, bool *more, bool *nobody)
{
	siginfo_t info = {0};
	int status;
	int r = waitid(P_ALL, 0, &info, WEXITED | WSTOPPED | WNOHANG | WNOWAIT | __WALL);
	*more = !r && info.si_pid;
	*nobody = r < 0 && errno == ECHILD;
	if (r < 0 && errno != ECHILD && errno != EINTR)
		return usp_error_errno(USP_FAILED, errno, "cannot wait for the build");
	if (!*more)
		return NULL;

	struct usp_error *error = NULL;
	if (info.si_code == CLD_EXITED && !info.si_status)
		error = take_end(tracer, info.si_pid);
	pid_t pid = waitpid(info.si_pid, &status, WNOHANG | __WALL);
	if (pid <= 0)
		return error;
	if (WIFSTOPPED(status)) {
		struct usp_error *second = take_stop(tracer, pid, status);
		if (error)
			usp_error_destroy(second);
		return error ? error : second;
	}
	tracee_remove(tracer, pid);
	if (pid == tracer->root) {
		tracer->ended = true;
		tracer->status = status;
	}
	return error;
}

/* ---- the whole ---- */

static void wait_for_more(struct tracer *tracer, int signals)
{
	struct pollfd fds[] = {{.fd = signals, .events = POLLIN},
			       {.fd = tracer->trace->control, .events = POLLIN}};
	int timeout = -1;
	if (tracer->phase == ASKED) {
		int64_t left = tracer->kill_at_ms - clock_ms();
		timeout = left < 0 ? 0 : (int)left;
	}
	/* Once it has spoken there is nothing to hear from the caller any more. */
	int n = poll(fds, tracer->phase == RUNNING ? 2 : 1, timeout);
	struct signalfd_siginfo ignored;
	if (n > 0 && fds[0].revents)
		(void)!read(signals, &ignored, sizeof(ignored));
	if (n > 0 && fds[1].revents)
		end_all(tracer, ASKED);
}

/* Until nobody is left. The first error ends the build. */
static struct usp_error *follow_all(struct tracer *tracer, int signals)
{
	struct usp_error *first = NULL;
	for (bool nobody = false; !nobody;) {
		bool more;
		struct usp_error *error = take_report(tracer, &more, &nobody);
		if (error && first)
			usp_error_destroy(error);
		else
			first = error ? error : first;
		if (error)
			end_all(tracer, KILLED);
		if (tracer->ended)
			end_all(tracer, ASKED); /* what the build has left running */
		if (tracer->phase == ASKED && clock_ms() >= tracer->kill_at_ms)
			end_all(tracer, KILLED);
		if (!more && !nobody)
			wait_for_more(tracer, signals);
	}
	return first;
}

static struct usp_error *report(const struct tracer *tracer, const struct usp_error *failure, int start_error)
{
	struct capture_record record;
	enum capture_record_type type = failure	      ? CAPTURE_RECORD_ERROR
					: start_error ? CAPTURE_RECORD_NO_START
						      : CAPTURE_RECORD_END;
	if (!capture_record_begin(&record, type))
		return &usp_error_no_memory;
	if (failure) {
		capture_record_number(&record, failure->code);
		capture_record_number(&record, (uint32_t)failure->errno_value);
		capture_record_string(&record, failure->message);
	} else {
		capture_record_number(&record, (uint32_t)(start_error ? start_error : tracer->status));
	}
	return capture_record_send(&record, tracer->trace->log);
}

void capture_trace(const struct capture_trace *trace)
{
	struct tracer tracer = {.trace = trace};
	int start_error = 0, failed = -1;
	/* SIGCHLD ignored would be inherited by the build, which then could not wait for its children. */
	sigset_t all, ends;
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	signal(SIGCHLD, SIG_DFL);
	sigemptyset(&ends);
	sigaddset(&ends, SIGCHLD);
	int signals = signalfd(-1, &ends, SFD_CLOEXEC);
	struct usp_error *error = NULL;
	if (signals < 0)
		error = usp_error_errno(USP_FAILED, errno, "cannot watch for signals");
	if (!error)
		error = capture_start(trace, &tracer.root, &failed);
	if (!error)
		error = follow_all(&tracer, signals);
	if (!error && !tracer.executed)
		error = capture_start_failure(trace, failed, &start_error);
	struct usp_error *unsent = report(&tracer, error, start_error);
	_exit(unsent ? 1 : 0);
}
