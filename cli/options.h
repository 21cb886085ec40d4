/* SPDX-License-Identifier: MIT */
/*
 * The command line, taken apart: options anywhere, as "--name value" or "--name=value"; "--" ends them (for
 * `cc` the rest are compiler flags, for `build` the build command). Only looks at the words; no process and no file is touched.
 */
#ifndef CLI_OPTIONS_H
#define CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include <usplice/action.h>
#include <usplice/error.h>

/* Groups of options; each command takes some of them. */
#define OPTIONS_ALWAYS	1u   /* --help, --verbose, --quiet */
#define OPTIONS_PROCESS 2u   /* --pid, --process */
#define OPTIONS_ALL	4u   /* --all */
#define OPTIONS_ACTION	8u   /* --wait, --timeout, --try */
#define OPTIONS_NODEPS	16u  /* --nodeps */
#define OPTIONS_JSON	32u  /* --json */
#define OPTIONS_CC	64u  /* -o, --target, … */
#define OPTIONS_DRY_RUN 128u /* --dry-run */
#define OPTIONS_BUILD	512u /* --source, --patch, … and what follows "--" is a command */
#define OPTIONS_MODE	256u /* --mode, --consistency, --scan, --scan-limit, --timeline */

struct command;

struct options {
	const struct command *command;
	pid_t pid;	     /* 0: not given */
	const char *process; /* a name, or NULL */
	bool all, wait, nodeps, dry_run, quiet, json, help, keep;
	unsigned verbose;
	uint32_t timeout_ms, try_ms; /* 0: default */
	enum usp_mode mode;
	enum usp_consistency consistency;
	enum usp_scan scan;
	uint32_t scan_ms;     /* 0: default */
	const char *timeline; /* a path, or NULL */
	const char *output, *target, *module, *name, *compiler;
	const char *source, *built, *builds; /* of `build` */
	const char **patches, **allow;	     /* each as often as given; owned like the arguments */
	size_t n_patches, n_allow;
	const char **arguments; /* positional ones; owned (the strings are argv's) */
	size_t n_arguments;
	const char *const *flags; /* what follows "--", NULL-terminated; NULL: no "--" */
};

/*
 * Takes the arguments of one command apart (argv[0] is the first word after the command's name). On failure
 * says what is wrong on err and returns USP_USAGE (USP_FAILED: out of memory).
 */
enum usp_code options_parse(const struct command *command, int argc, char **argv, FILE *err,
			    struct options *ret);
void options_deinit(struct options *options);

/* Prints a line for each option of the groups. */
void options_print_help(unsigned groups, FILE *out);

/* The payload to write: --output, or the first input's name, .usp, in the current directory ("src/fix.c": "fix.usp"). The
 * caller frees. NULL: out of memory. */
char *options_output(const struct options *options, const char *input);

/* A process id in decimal, 1 to 2^31-1, nothing else around it. */
bool options_parse_pid(const char *word, pid_t *ret);

#endif
