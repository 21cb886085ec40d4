// SPDX-License-Identifier: MIT
#include "cli/cli.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/compiler.h"
#include "cli/report.h"
#include "cli/text.h"

#ifndef USPLICE_VERSION_STRING
#error "the build gives USPLICE_VERSION_STRING"
#endif

#define ON_PROCESS (OPTIONS_PROCESS | OPTIONS_ALL)
#define CHANGES	   (ON_PROCESS | OPTIONS_ACTION | OPTIONS_DRY_RUN)
#define SWITCHES   (CHANGES | OPTIONS_MODE)

static const struct command commands[] = {
	{"cc", cli_cc, "make a payload from C",
	 "FILE.c... -o FIX.usp --target BINARY|PID [-- compiler flags]", OPTIONS_CC, 1, -1, false},
	{"build", cli_build, "make a payload from a source patch",
	 "--target BINARY --patch FIX.patch [-o FIX.usp] -- BUILD COMMAND...", OPTIONS_BUILD | OPTIONS_JSON,
	 0, 0, false},
	{"diff", cli_diff, "compare two builds of one C file", "BEFORE.o AFTER.o", OPTIONS_JSON, 2, 2, false},
	{"load", cli_load, "upload a payload and apply it", "FIX.usp PROCESS", SWITCHES | OPTIONS_NODEPS, 1,
	 1, true},
	{"upload", cli_upload, "put a payload into a process; nothing calls it yet", "FIX.usp PROCESS",
	 CHANGES, 1, 1, true},
	{"check", cli_check, "would a payload fit? Changes nothing", "FIX.usp PROCESS",
	 ON_PROCESS | OPTIONS_JSON | OPTIONS_NODEPS, 1, 1, true},
	{"apply", cli_apply, "switch to an uploaded payload", "NAME PROCESS", SWITCHES | OPTIONS_NODEPS, 1, 1,
	 true},
	{"revert", cli_revert, "switch back to what was before it", "NAME PROCESS", SWITCHES | OPTIONS_NODEPS,
	 1, 1, true},
	{"replace", cli_replace, "every applied payload off and this one on, as one switch", "NAME PROCESS",
	 SWITCHES | OPTIONS_NODEPS, 1, 1, true},
	{"unload", cli_unload, "take a payload that is not applied out of the process", "NAME PROCESS",
	 SWITCHES, 1, 1, true},
	{"list", cli_list, "payloads in a process, or in all processes", "[PROCESS]",
	 ON_PROCESS | OPTIONS_JSON, 0, 0, true},
	{"info", cli_info, "everything about one payload", "NAME [PROCESS]", ON_PROCESS | OPTIONS_JSON, 1, 1,
	 true},
	{"recover", cli_recover, "finish or undo what a killed usplice left", "PROCESS",
	 ON_PROCESS | OPTIONS_ACTION, 0, 0, true},
	{"gdb", cli_gdb, "print gdb commands for backtraces through payloads", "PROCESS", OPTIONS_PROCESS, 0,
	 0, true},
	{"version", cli_version, "print the version", "", 0, 0, 0, false},
	{"help", cli_help, "print this, or what one command takes", "[COMMAND]", 0, 0, 1, false},
};
#define N_COMMANDS (sizeof(commands) / sizeof(*commands))

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < N_COMMANDS; i++) {
		if (!strcmp(commands[i].name, name))
			return &commands[i];
	}
	return NULL;
}

/* Edit distance of two short words; anything longer than a command can be is far. */
static size_t distance(const char *a, const char *b)
{
	size_t row[17], n = strlen(b);
	if (n > 16 || strlen(a) > 16)
		return 17;
	for (size_t j = 0; j <= n; j++)
		row[j] = j;
	for (size_t i = 1; a[i - 1]; i++) {
		size_t diagonal = row[0];
		row[0] = i;
		for (size_t j = 1; j <= n; j++) {
			size_t change = diagonal + (a[i - 1] != b[j - 1]);
			size_t step = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;
			diagonal = row[j];
			row[j] = change < step ? change : step;
		}
	}
	return row[n];
}

static enum usp_code unknown_command(FILE *err, const char *word)
{
	const struct command *nearest = NULL;
	size_t least = 3;
	for (size_t i = 0; i < N_COMMANDS; i++) {
		size_t d = distance(word, commands[i].name);
		if (d < least) {
			least = d;
			nearest = &commands[i];
		}
	}
	_cleanup_(text_freep) char *printable = text_printable(word, false);
	fprintf(err, "usplice: there is no command \"%s\"", printable);
	if (nearest)
		fprintf(err, "; did you mean \"%s\"?", nearest->name);
	fputs("\n`usplice help` lists the commands.\n", err);
	return USP_USAGE;
}

static void print_help(FILE *out)
{
	fputs("usplice replaces functions of a program while it runs.\n\n", out);
	for (size_t i = 0; i < N_COMMANDS; i++)
		fprintf(out, "  %-9s %s\n", commands[i].name, commands[i].help);
	fputs("\nPROCESS is a process id or an unambiguous process name (also --pid N, --process NAME).\n"
	      "`usplice help COMMAND` says what a command takes; man usplice says everything.\n",
	      out);
}

static void print_command_help(const struct command *command, FILE *out)
{
	fprintf(out, "usplice %s%s%s\n%s.\n\n", command->name, *command->arguments ? " " : "",
		command->arguments, command->help);
	options_print_help(command->options, out);
}

enum usp_code cli_help(struct cli *cli)
{
	if (!cli->options.n_arguments) {
		print_help(cli->out);
		return USP_OK;
	}
	const struct command *command = find_command(cli->options.arguments[0]);
	if (!command)
		return unknown_command(cli->err, cli->options.arguments[0]);
	print_command_help(command, cli->out);
	return USP_OK;
}

enum usp_code cli_version(struct cli *cli)
{
	fprintf(cli->out, "usplice %s\n", USPLICE_VERSION_STRING);
	return USP_OK;
}

static bool wants_colour(FILE *out)
{
	const char *no_color = getenv("NO_COLOR");
	int fd = fileno(out);
	return (!no_color || !*no_color) && fd >= 0 && isatty(fd);
}

static enum usp_code run(struct cli *cli, int argc, char **argv)
{
	if (argc < 2) {
		print_help(cli->err);
		return USP_USAGE;
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")) {
		print_help(cli->out);
		return USP_OK;
	}
	if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V"))
		return cli_version(cli);
	const struct command *command = find_command(argv[1]);
	if (!command)
		return unknown_command(cli->err, argv[1]);
	enum usp_code code = options_parse(command, argc - 2, argv + 2, cli->err, &cli->options);
	if (!code && cli->options.help)
		print_command_help(command, cli->out);
	else if (!code)
		code = command->run(cli);
	options_deinit(&cli->options);
	return code;
}

int cli_main(int argc, char **argv, FILE *out, FILE *err)
{
	struct cli cli = {.out = out, .err = err, .colour = wants_colour(out)};
	enum usp_code code = run(&cli, argc, argv);
	/* A result that nobody could read is not done. */
	if ((fflush(out) || ferror(out)) && !code) {
		fprintf(err, "usplice: the output could not be written\n");
		code = USP_FAILED;
	}
	return code;
}
