// SPDX-License-Identifier: MIT
/*
 * Would a payload fit? The answer, not the question, gives the exit code: what upload would return.
 */
#include <usplice/list.h>

#include "base/compiler.h"
#include "cli/cli.h"
#include "cli/json.h"
#include "cli/processes.h"
#include "cli/report.h"
#include "cli/text.h"

static void print_line(struct cli *cli, const struct usp_check_line *line)
{
	_cleanup_(text_freep) char *name = text_printable(line->name ? line->name : "?", false);
	_cleanup_(text_freep) char *reason = line->reason ? text_printable(line->reason, false) : NULL;
	const char *colour = !cli->colour ? "" : line->fits ? "\033[32m" : "\033[31m";
	fprintf(cli->out, "  %s%s%s  %s%s%s\n", colour, line->fits ? "ok" : "no", *colour ? "\033[0m" : "",
		name, reason ? ": " : "", reason ? reason : "");
}

static void print_check(struct cli *cli, const struct usp_check *check, const char *who)
{
	_cleanup_(text_freep) char *name = text_printable(check->name, false);
	fprintf(cli->out, "%s %s %s\n", name, check->fits ? "fits" : "does not fit", who);
	if (check->reason) {
		_cleanup_(text_freep) char *reason = text_printable(check->reason, false);
		fprintf(cli->out, "  %s\n", reason);
	}
	for (size_t i = 0; i < check->n_functions; i++) {
		if (!check->functions[i].fits || !cli->options.quiet)
			print_line(cli, &check->functions[i]);
	}
	if (cli->options.quiet)
		return;
	fprintf(cli->out, "  unwinding: %s\n", unwind_words(check->unwind));
	for (size_t i = 0; i < check->n_busy_threads; i++) {
		_cleanup_(text_freep) char *thread = text_printable(check->busy_threads[i], false);
		fprintf(cli->out, "  inside now: %s\n", thread);
	}
}

static void check_one(struct cli *cli, const struct processes *processes, size_t i, struct json *json,
		      struct tally *tally)
{
	const char *file = cli->options.arguments[0];
	struct usp_process *process = processes_open(cli, processes, i, file, tally);
	if (!process)
		return;
	struct usp_options options = {.size = sizeof(options),
				      .nodeps = cli->options.nodeps,
				      .log = report_log,
				      .log_context = cli};
	struct usp_check *check = NULL;
	_cleanup_(text_freep) char *who = text_process(processes->v[i]);
	struct usp_error *error = usp_check(process, file, &options, &check);
	if (error) {
		processes_error(cli, processes, file, who, error, tally);
	} else {
		if (json)
			json_add_check(json, processes->v[i], check);
		else
			print_check(cli, check, who);
		/* "Does not fit" is never exit code 0, whatever the code says. */
		if (check->fits)
			tally_add(tally, VERDICT_DONE, USP_OK);
		else
			tally_add(tally, VERDICT_FAILED,
				  report(cli, check->code ? check->code : USP_FAILED, "%s does not fit %s",
					 check->name, who));
	}
	usp_check_destroy(check);
	usp_process_close(process);
}

enum usp_code cli_check(struct cli *cli)
{
	_cleanup_(processes_deinit) struct processes processes;
	enum usp_code code = processes_choose(cli, false, &processes);
	if (code)
		return code;
	_cleanup_(json_destroyp) struct json *json = NULL;
	if (cli->options.json && !(json = json_create()))
		return report(cli, USP_FAILED, "out of memory");
	struct tally tally = {0};
	for (size_t i = 0; i < processes.n; i++)
		check_one(cli, &processes, i, json, &tally);
	if (json && !json_print(json, cli->out))
		return report(cli, USP_FAILED, "out of memory");
	return tally_code(&tally);
}
