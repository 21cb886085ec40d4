/* SPDX-License-Identifier: MIT */
/*
 * The usplice command: reads its arguments, calls libusplice, says what came of it. Thin: whatever needs
 * thought about processes or payloads is behind the public headers, and nothing else of the library is used
 * here.
 */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <stdbool.h>
#include <stdio.h>

#include <usplice/list.h>

#include "cli/options.h"

struct cli {
	FILE *out, *err;
	bool colour; /* out is a terminal and NO_COLOR is not set */
	struct options options;
};

/* One subcommand. The result is the exit code. */
typedef enum usp_code command_fn(struct cli *cli);

struct command {
	const char *name;
	command_fn *run;
	const char *help;      /* one line */
	const char *arguments; /* as shown in its usage line */
	unsigned options;      /* OPTIONS_…: which groups of options it takes */
	int min_arguments;     /* positional ones, the process not counted */
	int max_arguments;     /* -1: any number */
	bool process_argument; /* one more positional argument may name the process */
};

/* The whole command; the result is the exit code (enum usp_code). argv is not changed. */
int cli_main(int argc, char **argv, FILE *out, FILE *err);

command_fn cli_build, cli_cc, cli_diff;
command_fn cli_load, cli_upload, cli_apply, cli_revert, cli_replace, cli_unload, cli_recover;
command_fn cli_list, cli_info, cli_check, cli_gdb;
command_fn cli_help, cli_version;

/* What a state of unwinding means, for people. */
const char *unwind_words(enum usp_unwind unwind);

#endif
