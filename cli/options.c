// SPDX-License-Identifier: MIT
#include "cli/options.h"

#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <usplice/action.h>

#include "base/compiler.h"
#include "cli/cli.h"
#include "cli/duration.h"
#include "cli/text.h"

enum option_id {
	OPTION_PID,
	OPTION_PROCESS,
	OPTION_ALL,
	OPTION_WAIT,
	OPTION_TIMEOUT,
	OPTION_TRY,
	OPTION_MODE,
	OPTION_CONSISTENCY,
	OPTION_SCAN,
	OPTION_SCAN_LIMIT,
	OPTION_TIMELINE,
	OPTION_DRY_RUN,
	OPTION_NODEPS,
	OPTION_JSON,
	OPTION_OUTPUT,
	OPTION_TARGET,
	OPTION_MODULE,
	OPTION_NAME,
	OPTION_CC,
	OPTION_KEEP,
	OPTION_SOURCE,
	OPTION_PATCH,
	OPTION_BUILT,
	OPTION_ALLOW,
	OPTION_BUILDS,
	OPTION_VERBOSE,
	OPTION_QUIET,
	OPTION_HELP,
};

struct option_row {
	enum option_id id;
	const char *name;
	char letter;	      /* 0: none */
	const char *argument; /* NULL: takes none */
	unsigned group;
	const char *help;
};

static const struct option_row option_table[] = {
	{OPTION_PID, "pid", 'p', "N", OPTIONS_PROCESS, "the process, by its id"},
	{OPTION_PROCESS, "process", 0, "NAME", OPTIONS_PROCESS, "the process, by its name"},
	{OPTION_ALL, "all", 'a', NULL, OPTIONS_ALL, "every process of that name"},
	{OPTION_WAIT, "wait", 'w', NULL, OPTIONS_ACTION, "wait for another usplice that acts on the process"},
	{OPTION_TIMEOUT, "timeout", 't', "SECONDS", OPTIONS_ACTION,
	 "give up after this long (5; also 250ms)"},
	{OPTION_TRY, "try", 0, "MS", OPTIONS_ACTION,
	 "how long one try may hold the threads (30; 1 to 10000)"},
	{OPTION_MODE, "mode", 0, "MODE", OPTIONS_MODE,
	 "gate: hold only who calls a patched function (default); rendezvous: stop all threads"},
	{OPTION_CONSISTENCY, "consistency", 0, "WHICH", OPTIONS_MODE,
	 "global: old and new code never run at one time (default); none"},
	{OPTION_SCAN, "scan", 0, "WHAT", OPTIONS_MODE,
	 "threads: look at their stacks (default); all: for suspended coroutines in all memory, too"},
	{OPTION_SCAN_LIMIT, "scan-limit", 0, "MS", OPTIONS_MODE,
	 "how long --scan all may hold the threads (1000; up to 60000)"},
	{OPTION_TIMELINE, "timeline", 0, "FILE", OPTIONS_MODE,
	 "write what happened, and when, for ui.perfetto.dev or chrome://tracing"},
	{OPTION_DRY_RUN, "dry-run", 'n', NULL, OPTIONS_DRY_RUN, "make all checks, change nothing"},
	{OPTION_NODEPS, "nodeps", 0, NULL, OPTIONS_NODEPS, "do not check the order of payloads"},
	{OPTION_JSON, "json", 'j', NULL, OPTIONS_JSON, "print JSON; usplice(1) has the schema"},
	{OPTION_OUTPUT, "output", 'o', "FILE", OPTIONS_CC | OPTIONS_BUILD,
	 "the payload to write (the first source's or patch's name, .usp)"},
	{OPTION_TARGET, "target", 0, "BINARY|PID", OPTIONS_CC,
	 "what it patches: an ELF file or a running process"},
	{OPTION_TARGET, "target", 0, "BINARY", OPTIONS_BUILD, "what it patches: the ELF file that runs"},
	{OPTION_SOURCE, "source", 0, "DIR", OPTIONS_BUILD,
	 "where the patch fits and the build is run (here)"},
	{OPTION_PATCH, "patch", 0, "FILE", OPTIONS_BUILD, "a source patch; several in their order"},
	{OPTION_BUILT, "built", 0, "FILE", OPTIONS_BUILD,
	 "the file of the build that is the target (the one of its name)"},
	{OPTION_ALLOW, "allow", 0, "KIND=REASON", OPTIONS_BUILD,
	 "go on in spite of findings of this kind; the reason goes into the report"},
	{OPTION_BUILDS, "keep", 0, "DIR", OPTIONS_BUILD,
	 "keep the objects of both builds there; if they are there, do not build again"},
	{OPTION_MODULE, "module", 0, "LIB", OPTIONS_CC, "with a process: the library of it that is patched"},
	{OPTION_NAME, "name", 0, "NAME", OPTIONS_CC | OPTIONS_BUILD,
	 "the payload's name (the output's, without .usp)"},
	{OPTION_CC, "cc", 0, "COMPILER", OPTIONS_CC, "the compiler ($CC, else gcc, else clang)"},
	{OPTION_KEEP, "keep", 0, NULL, OPTIONS_CC, "keep the intermediate files and say where"},
	{OPTION_VERBOSE, "verbose", 'v', NULL, OPTIONS_ALWAYS, "say what is done; twice: everything"},
	{OPTION_QUIET, "quiet", 'q', NULL, OPTIONS_ALWAYS, "errors only"},
	{OPTION_HELP, "help", 'h', NULL, OPTIONS_ALWAYS, "this"},
};
#define N_OPTIONS (sizeof(option_table) / sizeof(*option_table))

bool options_parse_pid(const char *word, pid_t *ret)
{
	long value = 0;
	if (!*word)
		return false;
	for (const char *p = word; *p; p++) {
		if (*p < '0' || *p > '9')
			return false;
		value = 10 * value + (*p - '0');
		if (value > INT_MAX)
			return false;
	}
	*ret = (pid_t)value;
	return value > 0;
}

__attribute__((format(printf, 3, 4))) static enum usp_code usage_error(const struct command *command,
								       FILE *err, const char *format, ...)
{
	va_list ap;
	char *message = NULL;
	size_t size;
	FILE *f = open_memstream(&message, &size);
	if (!f)
		return USP_FAILED;
	va_start(ap, format);
	vfprintf(f, format, ap);
	va_end(ap);
	if (fclose(f)) {
		free(message);
		return USP_FAILED;
	}
	_cleanup_(text_freep) char *printable = text_printable(message, false);
	free(message);
	fprintf(err, "usplice: %s: %s\n`usplice %s --help` says what it takes.\n", command->name, printable,
		command->name);
	return USP_USAGE;
}

static enum usp_code set_duration(const struct command *command, const struct option_row *row,
				  const char *value, uint32_t unit_ms, uint32_t max_ms, FILE *err,
				  uint32_t *ret)
{
	if (!duration_parse(value, unit_ms, ret) || *ret > max_ms)
		return usage_error(command, err,
				   "--%s wants a time in %s up to %u ms (0: the default), not \"%s\"",
				   row->name, unit_ms == 1 ? "milliseconds" : "seconds", max_ms, value);
	return USP_OK;
}

/* One of two words. *second stays as it is when it is neither. */
static enum usp_code set_word(const struct command *command, const struct option_row *row, const char *value,
			      const char *one, const char *other, FILE *err, bool *second)
{
	if (strcmp(value, one) != 0 && strcmp(value, other) != 0)
		return usage_error(command, err, "--%s is %s or %s, not \"%s\"", row->name, one, other,
				   value);
	*second = strcmp(value, other) == 0;
	return USP_OK;
}

static enum usp_code set_option(const struct option_row *row, const char *value, FILE *err, struct options *o)
{
	enum usp_code code;
	bool second = false;
	switch (row->id) {
	case OPTION_PID:
		if (!options_parse_pid(value, &o->pid))
			return usage_error(o->command, err, "--pid wants a process id, not \"%s\"", value);
		return USP_OK;
	case OPTION_PROCESS:
		if (!*value)
			return usage_error(o->command, err, "--process wants a name");
		o->process = value;
		return USP_OK;
	case OPTION_TIMEOUT:
		return set_duration(o->command, row, value, 1000, USP_TIMEOUT_MAX_MS, err, &o->timeout_ms);
	case OPTION_TRY:
		return set_duration(o->command, row, value, 1, USP_TRY_MAX_MS, err, &o->try_ms);
	case OPTION_MODE:
		code = set_word(o->command, row, value, "rendezvous", "gate", err, &second);
		o->mode = second ? USP_MODE_GATE : USP_MODE_RENDEZVOUS;
		return code;
	case OPTION_CONSISTENCY:
		code = set_word(o->command, row, value, "global", "none", err, &second);
		o->consistency = second ? USP_CONSISTENCY_NONE : USP_CONSISTENCY_GLOBAL;
		return code;
	case OPTION_SCAN:
		code = set_word(o->command, row, value, "threads", "all", err, &second);
		o->scan = second ? USP_SCAN_ALL : USP_SCAN_THREADS;
		return code;
	case OPTION_SCAN_LIMIT:
		return set_duration(o->command, row, value, 1, USP_SCAN_MAX_MS, err, &o->scan_ms);
	case OPTION_TIMELINE:
		if (!*value)
			return usage_error(o->command, err, "--timeline wants a file");
		o->timeline = value;
		return USP_OK;
	case OPTION_ALL:
		o->all = true;
		return USP_OK;
	case OPTION_WAIT:
		o->wait = true;
		return USP_OK;
	case OPTION_DRY_RUN:
		o->dry_run = true;
		return USP_OK;
	case OPTION_NODEPS:
		o->nodeps = true;
		return USP_OK;
	case OPTION_JSON:
		o->json = true;
		return USP_OK;
	case OPTION_OUTPUT:
		o->output = value;
		return USP_OK;
	case OPTION_TARGET:
		o->target = value;
		return USP_OK;
	case OPTION_MODULE:
		o->module = value;
		return USP_OK;
	case OPTION_NAME:
		o->name = value;
		return USP_OK;
	case OPTION_CC:
		o->compiler = value;
		return USP_OK;
	case OPTION_KEEP:
		o->keep = true;
		return USP_OK;
	case OPTION_SOURCE:
		o->source = value;
		return USP_OK;
	case OPTION_PATCH:
		o->patches[o->n_patches++] = value;
		return USP_OK;
	case OPTION_BUILT:
		o->built = value;
		return USP_OK;
	case OPTION_ALLOW:
		if (!strchr(value, '=') || !strchr(value, '=')[1])
			return usage_error(o->command, err, "--allow wants KIND=REASON, not \"%s\"", value);
		o->allow[o->n_allow++] = value;
		return USP_OK;
	case OPTION_BUILDS:
		o->builds = value;
		return USP_OK;
	case OPTION_VERBOSE:
		o->verbose++;
		return USP_OK;
	case OPTION_QUIET:
		o->quiet = true;
		return USP_OK;
	case OPTION_HELP:
		o->help = true;
		return USP_OK;
	}
	return USP_FAILED;
}

/*
 * The row of "--name", "--name=value" or "-x"; *value is what follows '=' (or the letter), else NULL. Of several of one
 * name that of the groups, if there is one.
 */
static const struct option_row *find_option(const char *word, unsigned groups, const char **value)
{
	const struct option_row *found = NULL;
	bool is_long = word[1] == '-';
	const char *name = word + (is_long ? 2 : 1);
	const char *equals = is_long ? strchr(name, '=') : NULL;
	size_t length = equals ? (size_t)(equals - name) : strlen(name);
	*value = equals ? equals + 1 : NULL;
	for (size_t i = 0; i < N_OPTIONS; i++) {
		const struct option_row *row = &option_table[i];
		if (is_long && strlen(row->name) == length && !memcmp(row->name, name, length) &&
		    (!found || row->group & groups))
			found = row;
		if (!is_long && row->letter && row->letter == name[0]) {
			if (name[1])
				*value = name + 1;
			return row;
		}
	}
	return found;
}

/* One word that starts with '-', at argv[*at]; moves *at past a value that is the next word. */
static enum usp_code parse_option(int argc, char **argv, int *at, FILE *err, struct options *o)
{
	const char *word = argv[*at], *value;
	const unsigned groups = o->command->options | OPTIONS_ALWAYS;
	const struct option_row *row = find_option(word, groups, &value);
	if (!row)
		return usage_error(o->command, err, "there is no option \"%s\"%s", word,
				   o->command->options & OPTIONS_CC ? "; compiler flags go after \"--\""
								    : "");
	if (!(row->group & groups))
		return usage_error(o->command, err, "it takes no \"--%s\"", row->name);
	if (!row->argument) {
		if (value && word[1] == '-')
			return usage_error(o->command, err, "--%s takes no value", row->name);
		/* "-vv", "-vq": the further letters are options of their own. */
		enum usp_code code = set_option(row, NULL, err, o);
		if (code || !value)
			return code;
		for (; *value; value++) {
			const char one[] = {'-', *value, '\0'};
			const char *none;
			row = find_option(one, groups, &none);
			if (!row || row->argument || !(row->group & groups))
				return usage_error(o->command, err, "there is no option \"%s\" in \"%s\"",
						   one, word);
			code = set_option(row, NULL, err, o);
			if (code)
				return code;
		}
		return USP_OK;
	}
	if (!value) {
		if (*at + 1 >= argc)
			return usage_error(o->command, err, "--%s wants %s after it", row->name,
					   row->argument);
		value = argv[++*at];
	}
	return set_option(row, value, err, o);
}

/* A positional argument too many is the process, where the command takes one there. */
static enum usp_code take_process_argument(FILE *err, struct options *o)
{
	const struct command *command = o->command;
	if (command->max_arguments < 0 || o->n_arguments <= (size_t)command->max_arguments)
		return USP_OK;
	const char *extra = o->arguments[command->max_arguments];
	if (!command->process_argument || o->n_arguments > (size_t)command->max_arguments + 1)
		return usage_error(command, err, "\"%s\" is one argument too many",
				   o->arguments[o->n_arguments - 1]);
	if (o->pid || o->process)
		return usage_error(command, err,
				   "\"%s\" is one argument too many: the process is given by an option",
				   extra);
	if (!options_parse_pid(extra, &o->pid))
		o->process = extra;
	o->n_arguments--;
	return USP_OK;
}

static enum usp_code check_options(FILE *err, struct options *o)
{
	const struct command *command = o->command;
	if (o->n_arguments < (size_t)command->min_arguments)
		return usage_error(command, err, "something is missing: usplice %s %s", command->name,
				   command->arguments);
	enum usp_code code = take_process_argument(err, o);
	if (code)
		return code;
	if (o->process && !*o->process)
		return usage_error(command, err, "the process' name is empty");
	if (o->pid && o->process)
		return usage_error(command, err, "give --pid or --process, not both");
	if (o->all && !o->process)
		return usage_error(command, err, "--all wants a process name: --process NAME --all");
	return USP_OK;
}

enum usp_code options_parse(const struct command *command, int argc, char **argv, FILE *err,
			    struct options *ret)
{
	*ret = (struct options){.command = command};
	ret->arguments = calloc((size_t)argc + 1, sizeof(*ret->arguments));
	ret->patches = calloc((size_t)argc + 1, sizeof(*ret->patches));
	ret->allow = calloc((size_t)argc + 1, sizeof(*ret->allow));
	if (!ret->arguments || !ret->patches || !ret->allow) {
		fprintf(err, "usplice: out of memory\n");
		return USP_FAILED;
	}
	for (int at = 0; at < argc; at++) {
		if (!strcmp(argv[at], "--")) {
			if (command->options & (OPTIONS_CC | OPTIONS_BUILD)) {
				ret->flags = (const char *const *)argv + at + 1;
				break;
			}
			while (++at < argc)
				ret->arguments[ret->n_arguments++] = argv[at];
			break;
		}
		if (argv[at][0] == '-' && argv[at][1]) {
			enum usp_code code = parse_option(argc, argv, &at, err, ret);
			if (code)
				return code;
		} else {
			ret->arguments[ret->n_arguments++] = argv[at];
		}
	}
	return ret->help ? USP_OK : check_options(err, ret);
}

void options_deinit(struct options *options)
{
	free(options->arguments);
	free(options->patches);
	free(options->allow);
	options->arguments = options->patches = options->allow = NULL;
}

void options_print_help(unsigned groups, FILE *out)
{
	for (size_t i = 0; i < N_OPTIONS; i++) {
		const struct option_row *row = &option_table[i];
		if (!(row->group & (groups | OPTIONS_ALWAYS)))
			continue;
		char letter[] = {'-', row->letter, ',', '\0'};
		char word[40];
		snprintf(word, sizeof(word), "--%s%s%s", row->name, row->argument ? " " : "",
			 row->argument ? row->argument : "");
		fprintf(out, "  %-3s %-20s %s\n", row->letter ? letter : "", word, row->help);
	}
}
