/* SPDX-License-Identifier: MIT */
/*
 * What goes to stderr: failures, with what to do about them as the last line, and the library's log.
 */
#ifndef CLI_REPORT_H
#define CLI_REPORT_H

#include <usplice/action.h>

#include "cli/cli.h"

/*
 * "usplice: <command> <subject>: <the error's first line>", its further lines indented, then advice. subject
 * and who (the process, when there are several) may be NULL. Frees the error; the result is its code.
 */
enum usp_code report_error(struct cli *cli, const char *subject, const char *who, struct usp_error *error);

/* The same for what the command itself finds out. */
enum usp_code report(struct cli *cli, enum usp_code code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* A line that is neither result nor failure; not with --quiet. */
void report_note(struct cli *cli, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* For usp_options.log: context is the struct cli. */
void report_log(void *context, enum usp_log_level level, const char *line);

/* "not-found" and so on: stable, for JSON; and the same for people. */
const char *report_code_name(enum usp_code code);

/* How little trying again helps: of several failures the one with the highest rank gives the exit code. */
int report_code_rank(enum usp_code code);

#endif
