/* SPDX-License-Identifier: MIT */
/*
 * A small controller: borrows a thread of a victim, makes system calls and calls a function in it, gives it
 * back. What the tests run, kill at each system call, and run again. Exit status 0, or the code of the error,
 * which it prints.
 *
 * controller PID [tid=N] [called=HEX errno=HEX] [faults=HEX] [never=HEX] [sleeps=HEX] [times=N] [all]
 * tid: borrow that thread only. all: every thread is stopped (rendezvous) and one of them is used.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "process/remote/remote.h"
#include "process/remote/borrow.h"

struct request {
	pid_t tid;
	uint64_t called, errno_address, faults, never, sleeps, times;
	bool all;
};

static bool accept_tid(void *context, const struct thread *stopped)
{
	const struct request *request = context;
	return !request->tid || stopped->tid == request->tid;
}

static struct usp_error *wrong(const char *what, int64_t got)
{
	return usp_errorf(USP_MISMATCH, "WRONG: %s: %ld", what, (long)got);
}

/* A mapping made, written and read back, and taken away. */
static struct usp_error *try_mapping(const struct target *target, struct remote *remote)
{
	const char text[] = "written from outside";
	char back[sizeof(text)];
	int64_t address, result;
	struct usp_error *error = remote_syscall(
		remote, SYS_mmap,
		(const uint64_t[6]){0, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, (uint64_t)-1, 0},
		&address);
	if (error)
		return error;
	if (address < 0 || remote_write(target, (uint64_t)address, text, sizeof(text)) < 0 ||
	    target_read(target, (uint64_t)address, back, sizeof(back)) < 0 ||
	    memcmp(text, back, sizeof(back)))
		return wrong("mapping", address);
	error = remote_syscall(remote, SYS_munmap, (const uint64_t[6]){(uint64_t)address, 4096}, &result);
	return error || result == 0 ? error : wrong("munmap", result);
}

/* A call that must end in an error of code USP_FAILED that mentions text. */
static struct usp_error *must_fail(struct remote *remote, uint64_t function, uint64_t errno_address,
				   uint64_t patience_ns, const char *text)
{
	uint64_t result;
	struct usp_error *error = remote_call(remote, function, (const uint64_t[6]){0x10}, errno_address,
					      remote_now_ns() + patience_ns, &result);
	if (!error)
		return wrong(text, (int64_t)result);
	if (error->code != USP_FAILED || !strstr(error->message, text))
		return error;
	usp_error_destroy(error);
	return NULL;
}

static struct usp_error *work(const struct target *target, struct remote *remote,
			      const struct request *request)
{
	struct usp_error *error = try_mapping(target, remote);
	uint64_t result = 0;
	if (!error && request->called) {
		error = remote_call(remote, request->called, (const uint64_t[6]){1, 2, 3, 4, 5, 6},
				    request->errno_address, remote_now_ns() + REMOTE_PATIENCE_NS, &result);
		if (!error && result != 654321)
			error = wrong("called", (int64_t)result);
	}
	if (!error && request->faults)
		error = must_fail(remote, request->faults, request->errno_address, REMOTE_PATIENCE_NS,
				  "SIGSEGV");
	if (!error && request->never)
		error = must_fail(remote, request->never, request->errno_address, 2000000, "deadline");
	if (!error && request->sleeps)
		error = must_fail(remote, request->sleeps, request->errno_address, 2000000, "deadline");
	int64_t tid;
	if (!error)
		error = remote_syscall(remote, SYS_gettid, (const uint64_t[6]){0}, &tid);
	if (!error && tid != remote_tid(remote))
		error = wrong("gettid", tid);
	return error ? error : try_mapping(target, remote);
}

static struct usp_error *once(const struct target *target, const struct request *request,
			      struct remote_area *area)
{
	struct maps maps;
	struct threads *threads = NULL;
	struct remote *remote = NULL;
	struct usp_error *error = maps_read(target, &maps);
	if (error)
		return error;
	if (request->all) {
		error = threads_seize(target, &threads);
		if (!error)
			error = threads_stop(threads, remote_now_ns() + REMOTE_PATIENCE_NS);
	}
	if (!error)
		error = remote_open(target, &maps, threads, area, accept_tid, (void *)request, &remote);
	if (!error)
		error = work(target, remote, request);
	struct usp_error *close_error = remote_close(remote);
	if (!error)
		error = close_error;
	else
		usp_error_destroy(close_error);
	maps_deinit(&maps);
	if (request->all && !error) {
		struct usp_error *release_error = threads_release(threads);
		if (!error)
			error = release_error;
	}
	threads_detach(threads);
	return error;
}

int main(int argc, char **argv)
{
	struct request request = {.times = 1};
	struct remote_area area = {0};
	struct target *target = NULL;
	if (argc < 2)
		return USP_USAGE;
	for (int i = 2; i < argc; i++) {
		char *value = strchr(argv[i], '=');
		uint64_t number = value ? strtoull(value + 1, NULL, 16) : 0;
		if (!strncmp(argv[i], "tid=", 4))
			request.tid = atoi(value + 1);
		else if (!strncmp(argv[i], "called=", 7))
			request.called = number;
		else if (!strncmp(argv[i], "errno=", 6))
			request.errno_address = number;
		else if (!strncmp(argv[i], "faults=", 7))
			request.faults = number;
		else if (!strncmp(argv[i], "never=", 6))
			request.never = number;
		else if (!strncmp(argv[i], "sleeps=", 7))
			request.sleeps = number;
		else if (!strncmp(argv[i], "times=", 6))
			request.times = strtoull(value + 1, NULL, 10);
		else if (!strcmp(argv[i], "all"))
			request.all = true;
		else
			return USP_USAGE;
	}
	struct usp_error *error = target_open(atoi(argv[1]), &target);
	for (uint64_t i = 0; !error && i < request.times; i++)
		error = once(target, &request, &area);
	target_close(target);
	int code = error ? error->code : 0;
	if (error)
		fprintf(stderr, "controller: %s\n", error->message);
	usp_error_destroy(error);
	return code;
}
