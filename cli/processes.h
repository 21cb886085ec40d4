/* SPDX-License-Identifier: MIT */
/*
 * Which processes a command is about, and going through them: one, every one of a name (--all), or every one
 * that has payloads.
 */
#ifndef CLI_PROCESSES_H
#define CLI_PROCESSES_H

#include <stddef.h>
#include <sys/types.h>

#include <usplice/process.h>

#include "cli/cli.h"

struct processes {
	pid_t *v;
	size_t n;
	bool several; /* --all, or every patched one: one that vanishes meanwhile is no failure */
};

/*
 * What the options say. A name that several processes have is refused (listing them) unless --all. No option
 * at all: every process with payloads if or_patched, else refused. Failures are reported; the result is the
 * exit code.
 */
enum usp_code processes_choose(struct cli *cli, bool or_patched, struct processes *ret);
void processes_deinit(struct processes *processes);

enum verdict {
	VERDICT_DONE,
	VERDICT_SKIPPED,
	VERDICT_FAILED
};

/* Sums up over processes: what becomes of the exit code. */
struct tally {
	size_t done, skipped, failed;
	enum usp_code worst;	     /* of the failed */
	enum usp_code first_skipped; /* of the skipped */
};

void tally_add(struct tally *tally, enum verdict verdict, enum usp_code code);
/* A failure's; else 0 when anything was done; else that of the first skipped one. */
enum usp_code tally_code(const struct tally *tally);

/*
 * Opens a process of the set. One that is gone meanwhile is counted as skipped when there are several, and
 * said; any other failure is reported. NULL: nothing to go on with.
 */
struct usp_process *processes_open(struct cli *cli, const struct processes *processes, size_t i,
				   const char *subject, struct tally *tally);

/*
 * Reports what a process was refused (frees the error) and counts it: one that is gone meanwhile is skipped
 * when there are several, anything else has failed.
 */
void processes_error(struct cli *cli, const struct processes *processes, const char *subject, const char *who,
		     struct usp_error *error, struct tally *tally);

#endif
