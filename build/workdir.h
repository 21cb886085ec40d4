/* SPDX-License-Identifier: MIT */
/*
 * The directory of intermediate files, under $TMPDIR or /tmp, and running tools in it. While it exists,
 * SIGINT, SIGTERM, SIGHUP and SIGPIPE are blocked in this thread: one that comes is noticed (the tool is ended, the
 * build fails), the directory is removed, and only then does the signal do what it would have done. No
 * handler is installed.
 */
#ifndef BUILD_WORKDIR_H
#define BUILD_WORKDIR_H

#include <signal.h>
#include <stdbool.h>

#include "base/error.h"

struct workdir {
	char *path;
	bool keep;
	int signals;	    /* a signalfd that is never read: readable while one is pending */
	sigset_t previous;  /* this thread's mask before, and the tools' */
	char **environment; /* the tools': TMPDIR is the directory, so that what they leave goes with it */
	char *tmpdir;
};

_must_check_ struct usp_error *workdir_create(bool keep, struct workdir *ret);
/* Removes it (unless it is kept) and unblocks the signals. Also right after a failed create. */
void workdir_destroy(struct workdir *workdir);

/* The path of a file in it; the caller frees. NULL: out of memory. */
char *workdir_path(const struct workdir *workdir, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/*
 * Runs argv (NULL-terminated; argv[0] is looked for in PATH) and waits for its end. No shell; standard input
 * is empty, standard output goes to standard error. -ENOENT in *start_error: there is no such program (no
 * error then). *status as waitpid().
 */
_must_check_ struct usp_error *workdir_run(const struct workdir *workdir, const char *const argv[],
					   int *start_error, int *status);
/* The same, in a directory (or NULL), and what it says goes to a file. */
_must_check_ struct usp_error *workdir_run_in(const struct workdir *workdir, const char *directory,
					      const char *output, const char *const argv[], int *start_error,
					      int *status);

/* USP_FAILED when one of the signals is pending: stop here. */
_must_check_ struct usp_error *workdir_interrupted(const struct workdir *workdir);

#endif
