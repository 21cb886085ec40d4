// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
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

/* How an option's value is read, and into what the member at `offset` is. */
enum option_value {
	VALUE_FLAG,    /* none: bool */
	VALUE_COUNT,   /* none, counted: unsigned */
	VALUE_WORD,    /* const char * */
	VALUE_PATCH,   /* one more in a list */
	VALUE_ALLOW,   /* the same */
	VALUE_PID,     /* pid_t */
	VALUE_SECONDS, /* uint32_t, milliseconds, up to max */
	VALUE_MS,      /* the same; without a unit it is milliseconds */
	VALUE_CHOICE,  /* an enum: the number that the word stands for */
};

struct choice {
	const char *word;
	unsigned value;
};
static const struct choice modes[] = {{"rendezvous", USP_MODE_RENDEZVOUS}, {"gate", USP_MODE_GATE}};
static const struct choice consistencies[] = {{"global", USP_CONSISTENCY_GLOBAL},
					      {"none", USP_CONSISTENCY_NONE}};
static const struct choice scans[] = {{"threads", USP_SCAN_THREADS}, {"all", USP_SCAN_ALL}};

struct option_row {
	const char *name;
	char letter;	      /* 0: none */
	const char *argument; /* NULL: takes none */
	unsigned group;
	const char *help;
	enum option_value value;
	size_t offset;
	uint32_t max_ms;	      /* of VALUE_SECONDS, VALUE_MS */
	const struct choice *choices; /* two of them */
};

#define AT(member) offsetof(struct options, member)

static const struct option_row option_table[] = {
	{"pid", 'p', "N", OPTIONS_PROCESS, "the process, by its id", VALUE_PID, AT(pid)},
	{"process", 0, "NAME", OPTIONS_PROCESS, "the process, by its name", VALUE_WORD, AT(process)},
	{"all", 'a', NULL, OPTIONS_ALL, "every process of that name", VALUE_FLAG, AT(all)},
	{"wait", 'w', NULL, OPTIONS_ACTION, "wait for another usplice that acts on the process", VALUE_FLAG,
	 AT(wait)},
	{"timeout", 't', "SECONDS", OPTIONS_ACTION, "give up after this long (5; also 250ms)", VALUE_SECONDS,
	 AT(timeout_ms), USP_TIMEOUT_MAX_MS},
	{"try", 0, "MS", OPTIONS_ACTION, "how long one try may hold the threads (30; 1 to 10000)", VALUE_MS,
	 AT(try_ms), USP_TRY_MAX_MS},
	{"mode", 0, "MODE", OPTIONS_MODE,
	 "gate: hold only who calls a patched function (default); rendezvous: stop all threads", VALUE_CHOICE,
	 AT(mode), 0, modes},
	{"consistency", 0, "WHICH", OPTIONS_MODE,
	 "global: old and new code never run at one time (default); none", VALUE_CHOICE, AT(consistency), 0,
	 consistencies},
	{"scan", 0, "WHAT", OPTIONS_MODE,
	 "threads: look at their stacks (default); all: for suspended coroutines in all memory, too",
	 VALUE_CHOICE, AT(scan), 0, scans},
	{"scan-limit", 0, "MS", OPTIONS_MODE, "how long --scan all may hold the threads (1000; up to 60000)",
	 VALUE_MS, AT(scan_ms), USP_SCAN_MAX_MS},
	{"timeline", 0, "FILE", OPTIONS_MODE,
	 "write what happened, and when, for ui.perfetto.dev or chrome://tracing", VALUE_WORD, AT(timeline)},
	{"dry-run", 'n', NULL, OPTIONS_DRY_RUN, "make all checks, change nothing", VALUE_FLAG, AT(dry_run)},
	{"nodeps", 0, NULL, OPTIONS_NODEPS, "do not check the order of payloads", VALUE_FLAG, AT(nodeps)},
	{"json", 'j', NULL, OPTIONS_JSON, "print JSON; usplice(1) has the schema", VALUE_FLAG, AT(json)},
	{"output", 'o', "FILE", OPTIONS_CC | OPTIONS_BUILD,
	 "the payload to write (the first source's or patch's name, .usp)", VALUE_WORD, AT(output)},
	{"target", 0, "BINARY|PID", OPTIONS_CC, "what it patches: an ELF file or a running process",
	 VALUE_WORD, AT(target)},
	{"target", 0, "BINARY", OPTIONS_BUILD, "what it patches: the ELF file that runs", VALUE_WORD,
	 AT(target)},
	{"source", 0, "DIR", OPTIONS_BUILD, "where the patch fits and the build is run (here)", VALUE_WORD,
	 AT(source)},
	{"patch", 0, "FILE", OPTIONS_BUILD, "a source patch; several in their order", VALUE_PATCH,
	 AT(patches)},
	{"built", 0, "FILE", OPTIONS_BUILD, "the file of the build that is the target (the one of its name)",
	 VALUE_WORD, AT(built)},
	{"allow", 0, "KIND=REASON", OPTIONS_BUILD,
	 "go on in spite of findings of this kind; the reason goes into the report", VALUE_ALLOW, AT(allow)},
	{"keep", 0, "DIR", OPTIONS_BUILD,
	 "keep the objects of both builds there; if they are there, do not build again", VALUE_WORD,
	 AT(builds)},
	{"module", 0, "LIB", OPTIONS_CC, "with a process: the library of it that is patched", VALUE_WORD,
	 AT(module)},
	{"name", 0, "NAME", OPTIONS_CC | OPTIONS_BUILD, "the payload's name (the output's, without .usp)",
	 VALUE_WORD, AT(name)},
	{"cc", 0, "COMPILER", OPTIONS_CC, "the compiler ($CC, else gcc, else clang)", VALUE_WORD,
	 AT(compiler)},
	{"keep", 0, NULL, OPTIONS_CC, "keep the intermediate files and say where", VALUE_FLAG, AT(keep)},
	{"verbose", 'v', NULL, OPTIONS_ALWAYS, "say what is done; twice: everything", VALUE_COUNT,
	 AT(verbose)},
	{"quiet", 'q', NULL, OPTIONS_ALWAYS, "errors only", VALUE_FLAG, AT(quiet)},
	{"help", 'h', NULL, OPTIONS_ALWAYS, "this", VALUE_FLAG, AT(help)},
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

char *options_output(const struct options *options, const char *input)
{
	if (options->output)
		return strdup(options->output);
	const char *name = basename(input), *dot = strrchr(name, '.');
	size_t length = dot && dot != name ? (size_t)(dot - name) : strlen(name);
	char *ret = malloc(length + sizeof(".usp"));
	if (ret) {
		memcpy(ret, name, length);
		strcpy(ret + length, ".usp");
	}
	return ret;
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

static enum usp_code set_duration(const struct option_row *row, const char *value, FILE *err,
				  struct options *o, uint32_t *ret)
{
	uint32_t unit_ms = row->value == VALUE_MS ? 1 : 1000;
	if (!duration_parse(value, unit_ms, ret) || *ret > row->max_ms)
		return usage_error(o->command, err,
				   "--%s wants a time in %s up to %u ms (0: the default), not \"%s\"",
				   row->name, unit_ms == 1 ? "milliseconds" : "seconds", row->max_ms, value);
	return USP_OK;
}

static enum usp_code set_choice(const struct option_row *row, const char *value, FILE *err, struct options *o,
				unsigned *ret)
{
	for (size_t i = 0; i < 2; i++)
		if (!strcmp(value, row->choices[i].word)) {
			*ret = row->choices[i].value;
			return USP_OK;
		}
	return usage_error(o->command, err, "--%s is %s or %s, not \"%s\"", row->name, row->choices[0].word,
			   row->choices[1].word, value);
}

_Static_assert(sizeof(enum usp_mode) == sizeof(unsigned) && sizeof(enum usp_scan) == sizeof(unsigned) &&
		       sizeof(enum usp_consistency) == sizeof(unsigned),
	       "set_choice() writes them");

static enum usp_code set_option(const struct option_row *row, const char *value, FILE *err, struct options *o)
{
	void *member = (char *)o + row->offset;
	switch (row->value) {
	case VALUE_FLAG:
		*(bool *)member = true;
		break;
	case VALUE_COUNT:
		++*(unsigned *)member;
		break;
	case VALUE_WORD:
		if (!*value)
			return usage_error(o->command, err, "--%s wants %s, and not nothing", row->name,
					   row->argument);
		*(const char **)member = value;
		break;
	case VALUE_PATCH:
		o->patches[o->n_patches++] = value;
		break;
	case VALUE_ALLOW:
		if (!strchr(value, '=') || !strchr(value, '=')[1])
			return usage_error(o->command, err, "--allow wants KIND=REASON, not \"%s\"", value);
		o->allow[o->n_allow++] = value;
		break;
	case VALUE_PID:
		if (!options_parse_pid(value, &o->pid))
			return usage_error(o->command, err, "--pid wants a process id, not \"%s\"", value);
		break;
	case VALUE_SECONDS:
	case VALUE_MS:
		return set_duration(row, value, err, o, member);
	case VALUE_CHOICE:
		return set_choice(row, value, err, o, member);
	}
	return USP_OK;
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
