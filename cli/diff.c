// SPDX-License-Identifier: MIT
/*
 * usplice diff: what a patch has made of one object. The answer gives the exit code: 0 when they are the same or differ
 * in what can be patched, MISMATCH's with a problem.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <usplice/build.h>

#include "base/compiler.h"
#include "cli/cli.h"
#include "cli/diff_json.h"
#include "cli/report.h"
#include "cli/text.h"

static const char *const verdict_words[] = {[USP_DIFF_SAME] = "same",
					    [USP_DIFF_LINE_ONLY] = "line-only",
					    [USP_DIFF_CHANGED] = "changed",
					    [USP_DIFF_ADDED] = "added",
					    [USP_DIFF_REMOVED] = "removed"};

const char *diff_verdict_name(enum usp_diff_verdict verdict)
{
	return verdict_words[verdict];
}

static void print_line(struct cli *cli, const char *word, const char *name, const char *rest, const char *why)
{
	_cleanup_(text_freep) char *printable = text_printable(name, false);
	_cleanup_(text_freep) char *reason = text_printable(why ? why : "", false);
	fprintf(cli->out, "  %-9s  %s%s%s%s\n", word, printable, rest, why ? ": " : "", reason);
}

/* " (362 -> 389 bytes)" */
static const char *sizes(enum usp_diff_verdict verdict, uint64_t before, uint64_t after, char buf[64])
{
	if (verdict == USP_DIFF_ADDED || verdict == USP_DIFF_REMOVED)
		snprintf(buf, 64, " (%" PRIu64 " bytes)", verdict == USP_DIFF_ADDED ? after : before);
	else if (before != after)
		snprintf(buf, 64, " (%" PRIu64 " -> %" PRIu64 " bytes)", before, after);
	else
		*buf = '\0';
	return buf;
}

static void print_diff(struct cli *cli, const struct usp_diff *diff)
{
	size_t same = 0, lines = 0;
	char buf[64], count[48];
	for (size_t i = 0; i < diff->n_functions; i++) {
		const struct usp_diff_function *f = &diff->functions[i];
		same += f->verdict == USP_DIFF_SAME;
		lines += f->verdict == USP_DIFF_LINE_ONLY;
		if (f->verdict == USP_DIFF_SAME ||
		    (f->verdict == USP_DIFF_LINE_ONLY && !cli->options.verbose))
			continue;
		print_line(cli, diff_verdict_name(f->verdict), f->name,
			   sizes(f->verdict, f->size_before, f->size_after, buf), f->why);
	}
	for (size_t i = 0; i < diff->n_data; i++) {
		const struct usp_diff_data *d = &diff->data[i];
		fprintf(cli->out, "%s", d->target == USP_DIFF_VARIABLE ? "  variable" : "  constant");
		print_line(cli, diff_verdict_name(d->verdict), d->name,
			   sizes(d->verdict, d->size_before, d->size_after, buf), d->why);
	}
	for (size_t i = 0; i < diff->n_problems; i++)
		print_line(cli, "problem", diff->problems[i].name, "", diff->problems[i].text);
	for (size_t i = 0; cli->options.verbose && i < diff->n_ignored; i++)
		print_line(cli, "ignored", diff->ignored[i].section, "", diff->ignored[i].why);
	fprintf(cli->out, "%s the same", text_count(same, "function", count));
	if (lines)
		fprintf(cli->out, ", %zu but for line numbers", lines);
	fprintf(cli->out, "%s\n", diff->is_same ? "; nothing differs" : "");
}

enum usp_code cli_diff(struct cli *cli)
{
	const struct options *o = &cli->options;
	struct usp_diff *diff = NULL;
	struct usp_error *error = usp_diff_objects(o->arguments[0], o->arguments[1], NULL, &diff);
	if (error)
		return report_error(cli, NULL, NULL, error);
	enum usp_code code = USP_OK;
	char count[48];
	if (!o->json)
		print_diff(cli, diff);
	else if (!diff_json_print(diff, cli->out))
		code = report(cli, USP_FAILED, "out of memory");
	if (!code && diff->n_problems)
		code = report(cli, USP_MISMATCH,
			      "%s of %s cannot be patched live without a person's word: %s: %s",
			      text_count(diff->n_problems, "difference", count), o->arguments[1],
			      diff->problems[0].name, diff->problems[0].text);
	usp_diff_destroy(diff);
	return code;
}
