// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include "build/capture/capture.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "build/capture/log.h"
#include "build/capture/result.h"
#include "build/capture/trace.h"

#define TAIL_LINES 20
#define TAIL_BYTES 8192

struct helper {
	pid_t pid;
	int log, control; /* our ends */
	struct capture_reader reader;
	struct capture_result result;
	bool done; /* its last word was heard */
	int status, start_error;
};

/*
 * The build's environment: the workdir's, and
 *
 *	CCACHE_DISABLE=1  an object from a cache may have been compiled elsewhere, with other paths in it.
 *			  (sccache has no such switch; what it brings is seen all the same, as its client has
 *			  the compiler's -o.)
 *	PWD		  compilers write it into debug information: the build's directory, not ours
 */
static bool is_set(const char *const *words, const char *word)
{
	size_t n = strcspn(word, "=") + 1;
	for (size_t i = 0; words && words[i]; i++)
		if (!strncmp(words[i], word, n))
			return true;
	return false;
}

static char **make_environment(const struct workdir *workdir, const struct capture_options *options,
			       char **pwd)
{
	const char *directory = options->directory;
	size_t n = 0, more = 0, to = 0;
	while (workdir->environment[n])
		n++;
	while (options->environment && options->environment[more])
		more++;
	*pwd = NULL;
	char **ret = calloc(n + more + 3, sizeof(char *));
	bool set = directory && *directory == '/';
	if (!ret || (set && asprintf(pwd, "PWD=%s", directory) < 0)) {
		free(ret);
		*pwd = NULL;
		return NULL;
	}
	for (size_t i = 0; i < n; i++) {
		char *word = workdir->environment[i];
		if (strncmp(word, "CCACHE_DISABLE=", 15) != 0 && !(directory && !strncmp(word, "PWD=", 4)) &&
		    !is_set(options->environment, word))
			ret[to++] = word;
	}
	for (size_t i = 0; i < more; i++)
		ret[to++] = (char *)options->environment[i];
	static char no_cache[] = "CCACHE_DISABLE=1";
	ret[to++] = no_cache;
	ret[to] = *pwd;
	return ret;
}

static struct usp_error *helper_start(const struct workdir *workdir, const struct capture_options *options,
				      char *const *environment, struct helper *helper)
{
	int log[2], control[2];
	if (pipe2(log, O_CLOEXEC) < 0)
		return usp_error_errno(USP_FAILED, errno, "cannot make a pipe");
	/* Sockets, as one can be written to with nobody at its other end and no SIGPIPE. */
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, control) < 0) {
		struct usp_error *error = usp_error_errno(USP_FAILED, errno, "cannot make a pair of sockets");
		close(log[0]);
		close(log[1]);
		return error;
	}
	helper->pid = fork();
	if (!helper->pid) {
		close(log[0]);
		close(control[1]);
		struct capture_trace trace = {.options = options,
					      .environment = environment,
					      .mask = &workdir->previous,
					      .log = log[1],
					      .control = control[0]};
		capture_trace(&trace);
	}
	struct usp_error *error =
		helper->pid < 0 ? usp_error_errno(USP_FAILED, errno, "cannot start a process") : NULL;
	helper->log = log[0];
	helper->control = control[1];
	close(log[1]);
	close(control[0]);
	return error;
}

static struct usp_error *take_record(struct helper *helper, const struct capture_options *options,
				     struct capture_fields *fields)
{
	_cleanup_free_ char *text = NULL;
	struct usp_error *error = NULL;
	switch (fields->type) {
	case CAPTURE_RECORD_OBJECT:
	case CAPTURE_RECORD_LINK:
		error = capture_result_add(&helper->result, fields, &text);
		if (!error && text && options->progress)
			options->progress(options->context, text, helper->result.capture->n_objects);
		return error;
	case CAPTURE_RECORD_END:
		helper->status = (int)capture_fields_number(fields);
		break;
	case CAPTURE_RECORD_NO_START:
		helper->start_error = (int)capture_fields_number(fields);
		break;
	case CAPTURE_RECORD_ERROR: {
		enum usp_code code = capture_fields_number(fields);
		int errno_value = (int)capture_fields_number(fields);
		error = usp_errorf(code, "%s", capture_fields_string(fields));
		if (error != &usp_error_no_memory)
			error->errno_value = errno_value;
		break;
	}
	}
	helper->done = true;
	return error;
}

/* Whole records, as many as have come. */
static struct usp_error *take_records(struct helper *helper, const struct capture_options *options)
{
	struct capture_fields fields;
	struct usp_error *error = NULL;
	size_t taken;
	while (!error && capture_reader_next(&helper->reader, &fields, &taken)) {
		error = take_record(helper, options, &fields);
		capture_reader_drop(&helper->reader, taken);
	}
	return error;
}

static void helper_stop(struct helper *helper)
{
	if (helper->control >= 0) {
		send(helper->control, "", 1, MSG_NOSIGNAL); /* fails if it is gone */
		close(helper->control);
	}
	helper->control = -1;
}

/* Until the helper is gone, and with it all of the build; whatever goes wrong here, that is waited for. */
static struct usp_error *follow_helper(const struct workdir *workdir, const struct capture_options *options,
				       struct helper *helper)
{
	struct pollfd fds[] = {{.fd = helper->log, .events = POLLIN},
			       {.fd = workdir->signals, .events = POLLIN}};
	struct usp_error *first = NULL;
	for (bool ended = false; !ended;) {
		struct usp_error *error = NULL;
		if (poll(fds, helper->control >= 0 ? 2 : 1, -1) < 0) {
			if (errno == EINTR)
				continue;
			error = usp_error_errno(USP_FAILED, errno, "cannot wait for the build");
		} else if (helper->control >= 0 && fds[1].revents) {
			error = usp_errorf(USP_FAILED, "interrupted; the build was ended");
		} else {
			error = capture_reader_fill(&helper->reader, helper->log, &ended);
			if (!error && !first)
				error = take_records(helper, options);
			if (first)
				helper->reader.size = 0; /* nothing of it is looked at any more */
		}
		if (!error)
			continue;
		if (first)
			usp_error_destroy(error);
		else
			first = error;
		helper_stop(helper);
	}
	return first;
}

/* The last lines of what the build said; the caller frees, NULL: there are none. */
static char *output_tail(const char *path)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;
	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return NULL;
	char *text = malloc(TAIL_BYTES + 1);
	off_t from = st.st_size > TAIL_BYTES ? st.st_size - TAIL_BYTES : 0;
	ssize_t n = text ? pread(fd, text, TAIL_BYTES, from) : -1;
	while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == '\0'))
		n--;
	if (n <= 0) {
		free(text);
		return NULL;
	}
	text[n] = '\0';
	ssize_t begin = n;
	for (int lines = 0; begin > 0; begin--) {
		if (text[begin - 1] == '\n' && ++lines == TAIL_LINES)
			break;
	}
	memmove(text, text + begin, (size_t)(n - begin) + 1);
	return text;
}

static struct usp_error *judge(const struct helper *helper, const struct capture_options *options)
{
	const char *command = options->command[0];
	int status = helper->status;
	if (helper->start_error == ENOENT)
		return usp_errorf(USP_NOT_FOUND,
				  "the build command %s cannot be run: there is no such file, or not in PATH "
				  "(a script's "
				  "interpreter may be what is missing)",
				  command);
	if (helper->start_error)
		return usp_error_errno(USP_FAILED, helper->start_error, "the build command %s cannot be run",
				       command);
	if (WIFEXITED(status) && !WEXITSTATUS(status))
		return NULL;
	_cleanup_free_ char *tail = output_tail(options->output);
	const char *what = tail ? "; the end of what it said:\n" : "; it said nothing";
	if (WIFEXITED(status))
		return usp_errorf(USP_FAILED, "the build failed: %s ended with status %d%s%s", command,
				  WEXITSTATUS(status), what, tail ? tail : "");
	return usp_errorf(USP_FAILED, "the build failed: %s was killed by signal %d (%s)%s%s", command,
			  WTERMSIG(status), strsignal(WTERMSIG(status)), what, tail ? tail : "");
}

struct usp_error *capture_run(const struct workdir *workdir, const struct capture_options *options,
			      struct capture *ret)
{
	*ret = (struct capture){0};
	if (!options->command || !options->command[0])
		return usp_errorf(USP_USAGE, "there is no build command");
	_cleanup_free_ char *pwd = NULL;
	_cleanup_free_ char **environment = make_environment(workdir, options, &pwd);
	if (!environment)
		return &usp_error_no_memory;
	struct helper helper = {
		.log = -1, .control = -1, .result = {.capture = ret, .store = options->store}};
	struct usp_error *error = helper_start(workdir, options, environment, &helper);
	if (!error) {
		error = follow_helper(workdir, options, &helper);
		/* ECHILD: somebody waits for all children of this process, or ignores SIGCHLD. */
		while (waitpid(helper.pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	helper_stop(&helper);
	close(helper.log);
	free(helper.reader.bytes);
	if (!error && !helper.done)
		error = usp_errorf(USP_FAILED, "the process that watched the build ended before its time");
	if (!error)
		error = judge(&helper, options);
	if (!error)
		error = capture_result_finish(&helper.result);
	if (error)
		capture_deinit(ret);
	return error;
}
