// SPDX-License-Identifier: MIT
/*
 * usplice build: the arguments, as usp_build() wants them, and its report for people: a line for each function and each
 * finding. The exit code is 0 with a payload, that of USP_NO_CHANGE when there is nothing to patch.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <usplice/build.h>

#include "base/compiler.h"
#include "cli/build_json.h"
#include "cli/cli.h"
#include "cli/report.h"
#include "cli/text.h"

#define TELL_AFTER_S 5 /* between two lines on what is running, if nobody can see one line change */

struct telling {
	struct cli *cli;
	time_t last, start;
	bool on_terminal, told;
};

static void tell(void *context, const char *line)
{
	struct telling *t = context;
	time_t now = time(NULL);
	if (t->cli->options.quiet || (!t->on_terminal && now - t->last < TELL_AFTER_S))
		return;
	t->last = now;
	t->told = true;
	_cleanup_(text_freep) char *printable = text_printable(line, false);
	fprintf(t->cli->err, t->on_terminal ? "\r\033[K%.100s (%ld s)" : "%s (%ld s)\n", printable,
		(long)(now - t->start));
	fflush(t->cli->err);
}

static void log_line(void *context, enum usp_log_level level, const char *line)
{
	struct telling *t = context;
	report_log(t->cli, level, line);
}

static void print_function(struct cli *cli, const struct usp_build_function *f)
{
	_cleanup_(text_freep) char *name = text_printable(f->name, false),
				   *object = text_printable(f->object, false),
				   *why = text_printable(f->why ? f->why : "", false);
	char size[64];
	if (f->role == USP_BUILD_LINE_ONLY && !cli->options.verbose)
		return;
	if (!f->size_before || !f->size_after || f->size_before == f->size_after)
		snprintf(size, sizeof(size), "%" PRIu64, f->size_after ? f->size_after : f->size_before);
	else
		snprintf(size, sizeof(size), "%" PRIu64 " -> %" PRIu64, f->size_before, f->size_after);
	fprintf(cli->out, "  %-9s  %s (%s, %s bytes)%s%s\n", build_role_name(f->role), name, object, size,
		f->why ? ": " : "", why);
}

static void print_finding(struct cli *cli, const struct usp_build_finding *f)
{
	_cleanup_(text_freep) char *name = text_printable(f->name, false),
				   *object = text_printable(f->object, false),
				   *text = text_printable(f->text, false),
				   *reason = text_printable(f->allowed ? f->allowed : "", false);
	fprintf(cli->out, "  %-9s  %s: %s%s%s: %s%s%s%s\n",
		f->is_note   ? "note"
		: f->allowed ? "allowed"
			     : "refused",
		f->kind, object, *object ? ": " : "", name, text, f->allowed ? " (" : "", reason,
		f->allowed ? ")" : "");
}

static void print_report(struct cli *cli, const struct usp_build_report *report)
{
	size_t lines = 0;
	char buf[3][48];
	for (size_t i = 0; i < report->n_functions; i++) {
		print_function(cli, &report->functions[i]);
		lines += report->functions[i].role == USP_BUILD_LINE_ONLY;
	}
	for (size_t i = 0; i < report->n_findings; i++)
		print_finding(cli, &report->findings[i]);
	fprintf(cli->out,
		"%s rebuilt: %zu as before, %zu not in the target; %s proven to be the target's own",
		text_count(report->n_rebuilt, "object", buf[0]), report->n_identical, report->n_elsewhere,
		text_count(report->n_proven, "function", buf[1]));
	if (lines)
		fprintf(cli->out, "; %s differ by line numbers only", text_count(lines, "function", buf[2]));
	fprintf(cli->out, "\nbuilds %.1f s, comparing %.1f s\n", report->seconds_builds,
		report->seconds_comparing);
	if (report->verdict == USP_BUILD_READY)
		fputs("not checked: whether data means another thing than before (who frees what, who locks "
		      "what)\n",
		      cli->out);
}

static enum usp_code run(struct cli *cli, struct usp_build_options *options)
{
	struct telling telling = {
		.cli = cli, .start = time(NULL), .on_terminal = isatty(fileno(cli->err)) == 1};
	telling.last = telling.start;
	options->log = log_line;
	options->progress = tell;
	options->context = &telling;
	struct usp_build_report *report_ = NULL;
	struct usp_error *error = usp_build(options, &report_);
	if (telling.on_terminal && telling.told)
		fputs("\r\033[K", cli->err);
	enum usp_code code = USP_OK;
	if (report_ && cli->options.json &&
	    !build_json_print(report_, error ? NULL : options->output, cli->out))
		code = report(cli, USP_FAILED, "out of memory");
	else if (report_ && !cli->options.json)
		print_report(cli, report_);
	usp_build_report_destroy(report_);
	if (error)
		return report_error(cli, NULL, NULL, error);
	if (!code && !cli->options.quiet && !cli->options.json) {
		_cleanup_(text_freep) char *printable = text_printable(options->output, false);
		fprintf(cli->out, "%s is ready\n", printable);
	}
	return code;
}

enum usp_code cli_build(struct cli *cli)
{
	const struct options *o = &cli->options;
	if (!o->target)
		return report(cli, USP_USAGE, "what is patched? Say --target BINARY");
	if (!o->n_patches)
		return report(cli, USP_USAGE, "what changes? Say --patch FILE");
	if (!o->flags || !o->flags[0])
		return report(cli, USP_USAGE, "how is it built? Say so after \"--\": -- make -j2");
	_cleanup_free_ char *output = options_output(o, o->patches[0]);
	_cleanup_free_ struct usp_build_allow *allow = calloc(o->n_allow + 1, sizeof(*allow));
	_cleanup_free_ char *words = NULL;
	size_t size = 1;
	for (size_t i = 0; i < o->n_allow; i++)
		size += strlen(o->allow[i]) + 1;
	words = calloc(size, 1);
	if (!output || !allow || !words)
		return report(cli, USP_FAILED, "out of memory");
	char *at = words;
	for (size_t i = 0; i < o->n_allow; i++) {
		strcpy(at, o->allow[i]);
		char *reason = strchr(at, '=');
		allow[i] = (struct usp_build_allow){.kind = at, .reason = reason + 1};
		at += strlen(at) + 1;
		*reason = '\0';
	}
	struct usp_build_options options = {.size = sizeof(options),
					    .target = o->target,
					    .source = o->source,
					    .patches = o->patches,
					    .n_patches = o->n_patches,
					    .command = o->flags,
					    .output = output,
					    .name = o->name,
					    .built = o->built,
					    .allow = allow,
					    .n_allow = o->n_allow,
					    .keep = o->builds};
	return run(cli, &options);
}
