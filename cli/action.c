// SPDX-License-Identifier: MIT
/*
 * The commands that change a process. Over several processes each is reported by itself: done, skipped (it is
 * so already, or the process is gone: with the reason) or failed; the two are never mixed up.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <usplice/list.h>

#include "base/compiler.h"
#include "cli/cli.h"
#include "cli/duration.h"
#include "cli/processes.h"
#include "cli/report.h"
#include "cli/text.h"
#include "cli/timeline.h"

typedef struct usp_error *action_fn(struct usp_process *process, const char *payload,
				    const struct usp_options *options, struct usp_outcome *outcome);

/* What a payload is like once the action is done. */
enum goal {
	GOAL_APPLIED,
	GOAL_CHECKED,
	GOAL_REVERTED, /* not applied: uploaded or not there at all */
	GOAL_ABSENT,
	GOAL_OTHER, /* more than this payload's state: nothing counts as "already so" */
};

struct action {
	action_fn *run;
	const char *done; /* "applied to" */
	enum goal goal;
	bool rendezvous; /* threads are stopped for it: worth a word */
};

static void list_destroyp(struct usp_list **list)
{
	usp_list_destroy(*list);
}

/* "dir/fix.usp" -> "fix": how a payload is called before it has told its name. */
static void payload_subject(const char *argument, char buf[80])
{
	const char *slash = strrchr(argument, '/');
	const char *name = slash && slash[1] ? slash + 1 : argument;
	size_t length = strlen(name);
	if (length > 4 && !strcmp(name + length - 4, ".usp"))
		length -= 4;
	snprintf(buf, 80, "%.*s", length > 79 ? 79 : (int)length, name);
}

static bool state_reaches(enum goal goal, enum usp_state state)
{
	switch (goal) {
	case GOAL_APPLIED:
		return state == USP_STATE_APPLIED;
	case GOAL_CHECKED:
	case GOAL_REVERTED:
		return state == USP_STATE_CHECKED;
	default:
		return false;
	}
}

/* Whether the payload of the outcome is in the list in the state that was wanted. The same name is not
   enough: it must be the same build, and the library must have told which that is. */
static bool list_reaches(const struct usp_list *list, const struct usp_outcome *outcome, enum goal goal)
{
	for (size_t i = 0; i < list->n_payloads; i++) {
		const struct usp_payload_info *payload = &list->payloads[i];
		if (strcmp(payload->name, outcome->name) != 0)
			continue;
		return outcome->build_id[0] && payload->build_id &&
		       !strcmp(payload->build_id, outcome->build_id) && state_reaches(goal, payload->state);
	}
	return goal == GOAL_ABSENT || goal == GOAL_REVERTED;
}

/* Whether a refused action found the process as it would have left it. What cannot be found out is "no". */
static bool already_so(struct usp_process *process, const struct action *action, enum usp_code code,
		       const struct usp_outcome *outcome)
{
	if (action->goal == GOAL_OTHER || !outcome->name[0] ||
	    (code != USP_EXISTS && code != USP_WRONG_STATE && code != USP_NOT_FOUND))
		return false;
	_cleanup_(list_destroyp) struct usp_list *list = NULL;
	struct usp_error *error = usp_list_get(process, &list);
	if (error) {
		usp_error_destroy(error);
		return false;
	}
	return list_reaches(list, outcome, action->goal);
}

static const char *already_words(enum goal goal)
{
	switch (goal) {
	case GOAL_APPLIED:
		return "it is applied already";
	case GOAL_CHECKED:
		return "it is uploaded already";
	default:
		return "it is not applied there";
	}
}

static void print_done(struct cli *cli, const struct action *action, const char *payload,
		       const struct usp_outcome *outcome, const char *who)
{
	char buf[48], time[16];
	_cleanup_(text_freep) char *name = text_printable(payload, false);
	const char *green = cli->colour ? "\033[32m" : "", *reset = cli->colour ? "\033[0m" : "";
	FILE *out = cli->out;

	if (cli->options.dry_run) {
		fprintf(out, "%s%s%s would be %s %s (dry run, nothing was changed)\n", green, name, reset,
			action->done, who);
		return;
	}
	fprintf(out, "%s%s%s %s %s", green, name, reset, action->done, who);
	if (action->rendezvous) {
		fprintf(out, ": %s", text_count(outcome->sites, "function", buf));
		fprintf(out, ", %s", text_count(outcome->tries, "try", buf));
		if (outcome->mode == USP_MODE_GATE)
			fprintf(out, ", gate up for %s", duration_format(outcome->stopped_ns, time));
		else
			fprintf(out, ", %s stood still for %s", text_count(outcome->threads, "thread", buf),
				duration_format(outcome->stopped_ns, time));
	}
	fputc('\n', out);
	if (cli->options.verbose)
		fprintf(cli->err, "usplice: %s took %s, %s\n", name, duration_format(outcome->wall_ns, time),
			text_count(outcome->syncs, "core sync", buf));
}

static struct usp_options options_of(struct cli *cli)
{
	return (struct usp_options){
		.size = sizeof(struct usp_options),
		.timeout_ms = cli->options.timeout_ms,
		.try_ms = cli->options.try_ms,
		.mode = cli->options.mode,
		.consistency = cli->options.consistency,
		.scan = cli->options.scan,
		.scan_ms = cli->options.scan_ms,
		.wait = cli->options.wait,
		.nodeps = cli->options.nodeps,
		.dry_run = cli->options.dry_run,
		.log = report_log,
		.log_context = cli,
	};
}

static bool is_file(const char *argument)
{
	size_t length = strlen(argument);
	return strchr(argument, '/') || (length >= 4 && !strcmp(argument + length - 4, ".usp"));
}

static void act_on(struct cli *cli, const struct action *action, const struct processes *processes, size_t i,
		   struct timeline_file *timeline, struct tally *tally)
{
	const char *argument = cli->options.arguments[0];
	char subject[80];
	payload_subject(argument, subject);
	struct usp_process *process = processes_open(cli, processes, i, subject, tally);
	if (!process)
		return;

	struct usp_outcome outcome = {0};
	struct usp_options options = options_of(cli);
	options.timeline = timeline_file_begin(cli, timeline);
	struct usp_error *error = action->run(process, argument, &options, &outcome);
	/* A name that was given is known; what is in a file only the library knows. */
	if (!outcome.name[0] && !is_file(argument))
		snprintf(outcome.name, sizeof(outcome.name), "%.63s", subject);
	timeline_file_add(cli, timeline, options.timeline, processes->v[i],
			  outcome.name[0] ? outcome.name : subject, error ? error->code : USP_OK);
	_cleanup_(text_freep) char *who = text_process(processes->v[i]);
	if (outcome.recovered)
		report_note(cli, "%s: an action that a killed usplice had left was finished or undone first",
			    who);
	if (!error) {
		if (!cli->options.quiet)
			print_done(cli, action, outcome.name[0] ? outcome.name : subject, &outcome, who);
		tally_add(tally, VERDICT_DONE, USP_OK);
	} else if (processes->several && already_so(process, action, error->code, &outcome)) {
		report_note(cli, "%s: %s: skipped: %s", subject, who, already_words(action->goal));
		tally_add(tally, VERDICT_SKIPPED, error->code);
		usp_error_destroy(error);
	} else {
		processes_error(cli, processes, subject, who, error, tally);
	}
	usp_process_close(process);
}

static enum usp_code run_action(struct cli *cli, const struct action *action)
{
	_cleanup_(processes_deinit) struct processes processes;
	enum usp_code code = processes_choose(cli, false, &processes);
	if (code)
		return code;
	struct timeline_file *timeline;
	code = timeline_file_open(cli, &timeline);
	if (code)
		return code;
	struct tally tally = {0};
	for (size_t i = 0; i < processes.n; i++)
		act_on(cli, action, &processes, i, timeline, &tally);
	if (processes.several && !cli->options.quiet)
		fprintf(cli->out, "%zu done, %zu skipped, %zu failed\n", tally.done, tally.skipped,
			tally.failed);
	code = timeline_file_close(cli, timeline);
	return tally_code(&tally) ? tally_code(&tally) : code;
}

enum usp_code cli_load(struct cli *cli)
{
	static const struct action action = {usp_load, "applied to", GOAL_APPLIED, true};
	return run_action(cli, &action);
}

enum usp_code cli_upload(struct cli *cli)
{
	static const struct action action = {usp_upload, "uploaded to", GOAL_CHECKED, false};
	return run_action(cli, &action);
}

enum usp_code cli_apply(struct cli *cli)
{
	static const struct action action = {usp_apply, "applied to", GOAL_APPLIED, true};
	return run_action(cli, &action);
}

enum usp_code cli_revert(struct cli *cli)
{
	static const struct action action = {usp_revert, "reverted in", GOAL_REVERTED, true};
	return run_action(cli, &action);
}

enum usp_code cli_replace(struct cli *cli)
{
	static const struct action action = {usp_replace, "applied in place of all others to", GOAL_OTHER,
					     true};
	return run_action(cli, &action);
}

enum usp_code cli_unload(struct cli *cli)
{
	static const struct action action = {usp_unload, "unloaded from", GOAL_ABSENT, false};
	return run_action(cli, &action);
}

enum usp_code cli_recover(struct cli *cli)
{
	_cleanup_(processes_deinit) struct processes processes;
	enum usp_code code = processes_choose(cli, false, &processes);
	if (code)
		return code;
	struct usp_options options = options_of(cli);
	struct tally tally = {0};
	for (size_t i = 0; i < processes.n; i++) {
		struct usp_process *process = processes_open(cli, &processes, i, NULL, &tally);
		if (!process)
			continue;
		bool recovered = false;
		struct usp_error *error = usp_recover(process, &options, &recovered);
		_cleanup_(text_freep) char *who = text_process(processes.v[i]);
		if (error) {
			processes_error(cli, &processes, NULL, who, error, &tally);
		} else {
			if (!cli->options.quiet)
				fprintf(cli->out, "%s: %s\n", who,
					recovered ? "the unfinished action was finished or undone"
						  : "there was nothing to recover");
			tally_add(&tally, VERDICT_DONE, USP_OK);
		}
		usp_process_close(process);
	}
	return tally_code(&tally);
}
