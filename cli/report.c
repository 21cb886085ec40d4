// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include "cli/report.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
#include "cli/text.h"

/* One row a code. The rank: what trying again may cure comes low, what needs another payload comes high. */
static const struct {
	const char *name;
	int rank;
	const char *advice; /* or NULL: the message says it all */
} code_table[] = {
	[USP_OK] = {"done", 0, NULL},
	[USP_FAILED] = {"failed", 15, NULL},
	[USP_USAGE] = {"usage", 14, "`usplice help` lists the commands."},
	[USP_NOT_FOUND] = {"not-found", 9, NULL},
	[USP_EXISTS] = {"exists", 8, "`usplice list` shows what is there."},
	[USP_WRONG_STATE] = {"wrong-state", 7, "`usplice list` shows the state of each payload."},
	[USP_ORDER] = {"order", 6, "`usplice list` shows the stack; what lies on top comes off first."},
	[USP_MISMATCH] = {"mismatch", 12,
			  "Nothing was changed. Build the payload for what runs: usplice cc … --target PID"},
	[USP_NOT_QUIESCENT] =
		{"not-quiescent", 3,
		 "Nothing was changed. Try again, with a longer --timeout, or once the thread has left."},
	[USP_VETO] = {"veto", 4, "Nothing was changed. The payload's own hook decides when it may be."},
	[USP_PERMISSION] = {"permission", 5,
			    "Run it as root or as the process' user; if another tracer (gdb, strace) has it, "
			    "end that first."},
	[USP_BUSY] = {"busy", 2, "Try again with --wait: it waits for the other one."},
	[USP_BAD_PAYLOAD] = {"bad-payload", 13,
			     "Nothing was changed. Make the payload anew with `usplice cc`."},
	[USP_GONE] = {"gone", 1, "`usplice list` shows the processes that have payloads."},
	[USP_UNSUPPORTED] = {"unsupported", 11, "usplice(1), LIMITS, says what is not supported."},
	[USP_AMBIGUOUS] = {"ambiguous", 10, NULL},
	[USP_NO_CHANGE] = {"no-change", 1, NULL},
};
#define N_CODES (sizeof(code_table) / sizeof(*code_table))

const char *report_code_name(enum usp_code code)
{
	return (unsigned)code < N_CODES ? code_table[code].name : "failed";
}

int report_code_rank(enum usp_code code)
{
	return (unsigned)code < N_CODES ? code_table[code].rank : code_table[USP_FAILED].rank;
}

static const char *advice_for(const struct cli *cli, enum usp_code code)
{
	unsigned takes = cli->options.command ? cli->options.command->options : 0;
	if ((unsigned)code >= N_CODES)
		return NULL;
	/* `cc` touches no process: most of the advice is about one. Its messages say themselves what to do.
	 */
	if (takes & (OPTIONS_CC | OPTIONS_BUILD))
		return NULL;
	if (code == USP_BUSY && (!(takes & OPTIONS_ACTION) || cli->options.wait))
		return "Try again when the other one is done.";
	if ((code == USP_MISMATCH || code == USP_BAD_PAYLOAD || code == USP_NOT_QUIESCENT) &&
	    !(takes & OPTIONS_ACTION))
		return NULL;
	return code_table[code].advice;
}

/* "load fix", as failures of a payload begin. The caller frees; NULL: no subject, or no memory. */
static char *action_words(const struct cli *cli, const char *subject)
{
	char *ret = NULL;
	if (subject && cli->options.command &&
	    asprintf(&ret, "%s %s", cli->options.command->name, subject) < 0)
		ret = NULL;
	return ret;
}

/* The library begins some messages with the same words: once is enough. */
static const char *without_words(const char *message, const char *words)
{
	size_t n = words ? strlen(words) : 0;
	return n && !strncmp(message, words, n) && !strncmp(message + n, ": ", 2) ? message + n + 2 : message;
}

/* Everything but the advice. The message is the library's: its lines after the first are details. */
static void print_message(struct cli *cli, const char *subject, const char *who, const char *message)
{
	_cleanup_free_ char *words = action_words(cli, subject);
	_cleanup_(text_freep) char *printable = text_printable(without_words(message, words), true);
	fputs("usplice", cli->err);
	if (cli->options.command)
		fprintf(cli->err, ": %s", cli->options.command->name);
	if (subject) {
		_cleanup_(text_freep) char *safe = text_printable(subject, false);
		fprintf(cli->err, " %s", safe);
	}
	if (who)
		fprintf(cli->err, ": %s", who);
	fputs(": ", cli->err);

	char *line = printable;
	size_t length = strcspn(line, "\n");
	fprintf(cli->err, "%.*s\n", (int)length, line);
	while (line[length]) {
		line += length + 1;
		length = strcspn(line, "\n");
		if (length)
			fprintf(cli->err, "  %.*s\n", (int)length, line);
	}
}

static void print_advice(struct cli *cli, enum usp_code code)
{
	const char *advice = advice_for(cli, code);
	if (advice)
		fprintf(cli->err, "%s\n", advice);
}

enum usp_code report_error(struct cli *cli, const char *subject, const char *who, struct usp_error *error)
{
	enum usp_code code = error->code == USP_OK ? USP_FAILED : error->code;
	print_message(cli, subject, who, error->message);
	print_advice(cli, code);
	usp_error_destroy(error);
	return code;
}

static char *format_message(const char *format, va_list ap)
{
	char *message = NULL;
	size_t size;
	FILE *f = open_memstream(&message, &size);
	if (!f)
		return NULL;
	vfprintf(f, format, ap);
	if (fclose(f)) {
		free(message);
		return NULL;
	}
	return message;
}

enum usp_code report(struct cli *cli, enum usp_code code, const char *format, ...)
{
	va_list ap;
	va_start(ap, format);
	_cleanup_free_ char *message = format_message(format, ap);
	va_end(ap);
	print_message(cli, NULL, NULL, message ? message : "out of memory");
	print_advice(cli, code);
	return code;
}

void report_note(struct cli *cli, const char *format, ...)
{
	if (cli->options.quiet)
		return;
	va_list ap;
	va_start(ap, format);
	_cleanup_free_ char *message = format_message(format, ap);
	va_end(ap);
	_cleanup_(text_freep) char *printable = text_printable(message ? message : "out of memory", false);
	fprintf(cli->err, "usplice: %s\n", printable);
}

void report_log(void *context, enum usp_log_level level, const char *line)
{
	struct cli *cli = context;
	unsigned wanted = level == USP_LOG_WARNING ? 0 : level == USP_LOG_INFO ? 1 : 2;
	if (cli->options.verbose < wanted || (level == USP_LOG_WARNING && cli->options.quiet))
		return;
	_cleanup_(text_freep) char *printable = text_printable(line, false);
	fprintf(cli->err, "usplice: %s%s\n", level == USP_LOG_WARNING ? "warning: " : "", printable);
}
