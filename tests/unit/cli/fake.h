/* SPDX-License-Identifier: MIT */
/*
 * Doubles of libusplice's public functions, and a way to run the command and look at what it said. The
 * doubles answer what `fake` holds and write down how they were called.
 */
#ifndef TESTS_CLI_FAKE_H
#define TESTS_CLI_FAKE_H

#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdbool.h>
#include <sys/types.h>

#include <usplice/build.h>
#include <usplice/list.h>

/* No process has such an id: beyond the kernel's largest. */
#define PID_A 900000001
#define PID_B 900000002
#define PID_C 900000003

struct fake_process {
	pid_t pid;
	const char *name;
	bool patched;
	enum usp_code open_code, action_code, look_code;
	const char *message; /* of the errors */
	struct usp_outcome outcome;
	struct usp_payload_info *payloads;
	size_t n_payloads;
	bool unfinished, recovered;
	struct usp_check check;
};

struct fake {
	struct fake_process processes[4];
	size_t n;
	int open; /* processes opened and not closed */
	char calls[4096];
	enum usp_code cc_code, find_code;
	void (*record)(
		struct usp_timeline *timeline); /* what each action writes into its timeline, if it has one */
	bool recorded;
	const char *log_line; /* logged by each action, at each level */
};

extern struct fake fake;

/* Everything as at the start: one process PID_A, named "server", that does whatever is asked. */
int fake_reset(void **state);

/* Runs `usplice` with these words (NULL ends them); what it printed is in said_out and said_err until the
 * next run. */
int run(const char *word, ...) __attribute__((sentinel));
extern char *said_out, *said_err;

void assert_contains(const char *text, const char *part);
void assert_lacks(const char *text, const char *part);

#endif
