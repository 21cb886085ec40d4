// SPDX-License-Identifier: MIT
/*
 * Looking: list, info and gdb. JSON comes from json.c; here is what people read.
 */
#include <inttypes.h>
#include <string.h>

#include <usplice/list.h>

#include "base/compiler.h"
#include "cli/cli.h"
#include "cli/json.h"
#include "cli/processes.h"
#include "cli/report.h"
#include "cli/text.h"

static const char *state_word(enum usp_state state)
{
	return state == USP_STATE_APPLIED ? "APPLIED" : state == USP_STATE_CHECKED ? "CHECKED" : "unknown";
}

static const char *const hook_names[] = {"load",       "unload",      "pre-apply", "post-apply",
					 "pre-revert", "post-revert", "apply",	   "revert"};

const char *unwind_words(enum usp_unwind unwind)
{
	switch (unwind) {
	case USP_UNWIND_NONE:
		return "the payload has no unwind information: backtraces inside the process end at it";
	case USP_UNWIND_REGISTERED:
		return "known to the process' unwinder: exceptions and backtrace() pass through";
	case USP_UNWIND_NO_UNWINDER:
		return "the process has no libgcc_s loaded: backtraces inside it end at the payload";
	case USP_UNWIND_NO_THREAD:
		return "no thread could safely be borrowed to tell the process' unwinder";
	}
	return "unknown";
}

static void warn_unfinished(struct cli *cli, const char *who, int pid)
{
	report_note(cli,
		    "%s: a killed usplice left an action in the middle; `usplice recover --pid %d` finishes "
		    "or undoes it",
		    who, pid);
}

/* Columns line up within one process; every cell is printable already. */
static void print_row(FILE *out, const char *const cells[5], const int widths[5], const char *colour)
{
	for (int i = 0; i < 5; i++) {
		bool coloured = i == 1 && *colour;
		fprintf(out, "  %s%s%s", coloured ? colour : "", cells[i], coloured ? "\033[0m" : "");
		if (i < 4)
			fprintf(out, "%*s", widths[i] - text_width(cells[i]), "");
	}
	fputc('\n', out);
}

struct row {
	char position[12], functions[24];
	char *name, *version, *module;
};

static void row_deinit(struct row *row)
{
	text_free(row->name);
	text_free(row->version);
	text_free(row->module);
}

static void row_init(struct row *row, const struct usp_payload_info *payload)
{
	if (payload->position)
		snprintf(row->position, sizeof(row->position), "%d", payload->position);
	else
		snprintf(row->position, sizeof(row->position), "-");
	snprintf(row->functions, sizeof(row->functions), "%zu", payload->n_functions);
	row->name = text_printable(payload->name ? payload->name : "?", false);
	row->version = text_printable(payload->version ? payload->version : "-", false);
	row->module = text_printable(payload->module ? payload->module : "-", false);
}

static void widen(int widths[5], const char *const cells[5])
{
	for (int i = 0; i < 5; i++) {
		int width = text_width(cells[i]);
		if (width > widths[i])
			widths[i] = width;
	}
}

static void print_payloads(struct cli *cli, const struct usp_list *list)
{
	static const char *const head[5] = {"POS", "STATE", "NAME", "VERSION", "FUNCTIONS IN"};
	int widths[5] = {0};
	widen(widths, head);
	/* Twice over the list: once for the widths, once to print; a row is cheap to make again. */
	for (int pass = 0; pass < 2; pass++) {
		if (pass)
			print_row(cli->out, head, widths, "");
		for (size_t i = 0; i < list->n_payloads; i++) {
			const struct usp_payload_info *payload = &list->payloads[i];
			_cleanup_(row_deinit) struct row row;
			row_init(&row, payload);
			_cleanup_free_ char *where = NULL;
			size_t size = strlen(row.functions) + strlen(row.module) + 2;
			where = malloc(size);
			if (where)
				snprintf(where, size, "%s %s", row.functions, row.module);
			const char *const cells[5] = {row.position, state_word(payload->state), row.name,
						      row.version, where ? where : "?"};
			if (!pass)
				widen(widths, cells);
			else
				print_row(cli->out, cells, widths,
					  !cli->colour				? ""
					  : payload->state == USP_STATE_APPLIED ? "\033[32m"
										: "\033[33m");
		}
	}
}

static void print_field(struct cli *cli, const char *name, const char *value)
{
	if (!value)
		return;
	_cleanup_(text_freep) char *printable = text_printable(value, false);
	fprintf(cli->out, "  %-13s%s\n", name, printable);
}

static void print_function(struct cli *cli, const struct usp_function_info *function)
{
	_cleanup_(text_freep) char *name = text_printable(function->name ? function->name : "?", false);
	_cleanup_(text_freep) char *file = function->file ? text_printable(function->file, false) : NULL;
	fprintf(cli->out, "    %s%s%s%s: 0x%" PRIx64 " (%" PRIu64 " bytes)", name, file ? " (" : "",
		file ? file : "", file ? ")" : "", function->old_address, function->old_size);
	if (function->new_address)
		fprintf(cli->out, " -> 0x%" PRIx64 " (%" PRIu64 " bytes)\n", function->new_address,
			function->new_size);
	else
		fprintf(cli->out, ", %" PRIu32 " bytes blanked at 0x%" PRIx64 "\n", function->site_length,
			function->site);
}

static void print_info(struct cli *cli, const struct usp_payload_info *payload, const char *who)
{
	_cleanup_(text_freep) char *name = text_printable(payload->name, false);
	fprintf(cli->out, "%s in %s\n", name, who);
	fprintf(cli->out, "  %-13s%s%s%s", "state",
		cli->colour ? payload->state == USP_STATE_APPLIED ? "\033[32m" : "\033[33m" : "",
		state_word(payload->state), cli->colour ? "\033[0m" : "");
	if (payload->position)
		fprintf(cli->out, ", number %d from the bottom of the stack", payload->position);
	fputc('\n', cli->out);
	if (payload->last_action) {
		_cleanup_(text_freep) char *action = text_printable(payload->last_action, false);
		fprintf(cli->out, "  %-13s%s: %s\n", "last action", action,
			report_code_name(payload->last_result));
	}
	print_field(cli, "version", payload->version);
	print_field(cli, "description", payload->description);
	print_field(cli, "build-id", payload->build_id);
	print_field(cli, "depends on", payload->depends);
	print_field(cli, "patches", payload->module);
	print_field(cli, "  build-id", payload->module_build_id);
	fprintf(cli->out, "  %-13s0x%" PRIx64 ", %" PRIu64 " bytes%s\n", "memory", payload->base,
		payload->size,
		payload->writable_data ? ", with writable data (it can be applied only once)" : "");
	print_field(cli, "unwinding", unwind_words(payload->unwind));
	if (payload->hooks) {
		fprintf(cli->out, "  %-13s", "hooks");
		const char *separator = "";
		for (unsigned i = 0; i < sizeof(hook_names) / sizeof(*hook_names); i++) {
			if (payload->hooks & (1u << i)) {
				fprintf(cli->out, "%s%s", separator, hook_names[i]);
				separator = ", ";
			}
		}
		fputc('\n', cli->out);
	}
	for (size_t i = 0; i < payload->n_data_states; i++) {
		_cleanup_(text_freep) char *state = text_printable(payload->data_states[i].name, false);
		fprintf(cli->out, "  %-13s%s, version %" PRIu32 "\n", i ? "" : "data", state,
			payload->data_states[i].version);
	}
	if (payload->n_functions)
		fprintf(cli->out, "  functions\n");
	for (size_t i = 0; i < payload->n_functions; i++)
		print_function(cli, &payload->functions[i]);
}

/* Drops all payloads but `name` from the view. False: it is not there. */
static bool narrow(struct usp_list *list, const char *name, struct usp_list *ret)
{
	*ret = *list;
	for (size_t i = 0; i < list->n_payloads; i++) {
		if (!strcmp(list->payloads[i].name, name)) {
			ret->payloads = &list->payloads[i];
			ret->n_payloads = 1;
			return true;
		}
	}
	return false;
}

struct look {
	struct cli *cli;
	bool everywhere; /* no process was asked for */
	const struct processes *processes;
	const char *name;  /* of one payload, or NULL */
	struct json *json; /* NULL: for people */
	struct tally tally;
};

static void show(struct look *look, const struct usp_list *list, int pid, const char *who)
{
	struct cli *cli = look->cli;
	if (look->json) {
		json_add_list(look->json, pid, list);
		return;
	}
	if (list->unfinished)
		warn_unfinished(cli, who, pid);
	if (look->name) {
		print_info(cli, list->payloads, who);
	} else if (!list->n_payloads) {
		fprintf(cli->out, "%s has no payload\n", who);
	} else {
		fprintf(cli->out, "%s\n", who);
		print_payloads(cli, list);
	}
}

static void look_at(struct look *look, size_t i)
{
	struct cli *cli = look->cli;
	pid_t pid = look->processes->v[i];
	struct usp_process *process = processes_open(cli, look->processes, i, look->name, &look->tally);
	if (!process)
		return;
	struct usp_list *list = NULL, view;
	_cleanup_(text_freep) char *who = text_process(pid);
	struct usp_error *error = usp_list_get(process, &list);
	if (error) {
		processes_error(cli, look->processes, look->name, who, error, &look->tally);
	} else if (!look->name && look->everywhere && !list->n_payloads && !list->unfinished) {
		/* It had payloads once. Nobody asked for this process. */
		tally_add(&look->tally, VERDICT_SKIPPED, USP_NOT_FOUND);
	} else if (!look->name) {
		show(look, list, pid, who);
		tally_add(&look->tally, VERDICT_DONE, USP_OK);
	} else if (narrow(list, look->name, &view)) {
		show(look, &view, pid, who);
		tally_add(&look->tally, VERDICT_DONE, USP_OK);
	} else if (look->processes->several) {
		tally_add(&look->tally, VERDICT_SKIPPED, USP_NOT_FOUND);
	} else {
		report(cli, USP_NOT_FOUND,
		       "%s has no payload \"%s\"\n`usplice list --pid %d` shows what is there.", who,
		       look->name, (int)pid);
		tally_add(&look->tally, VERDICT_FAILED, USP_NOT_FOUND);
	}
	usp_list_destroy(list);
	usp_process_close(process);
}

static enum usp_code look_at_all(struct cli *cli, const char *name)
{
	_cleanup_(processes_deinit) struct processes processes;
	enum usp_code code = processes_choose(cli, true, &processes);
	if (code)
		return code;
	_cleanup_(json_destroyp) struct json *json = NULL;
	if (cli->options.json && !(json = json_create()))
		return report(cli, USP_FAILED, "out of memory");

	struct look look = {.cli = cli, .processes = &processes, .name = name, .json = json};
	look.everywhere = !cli->options.process && !cli->options.pid;
	for (size_t i = 0; i < processes.n; i++)
		look_at(&look, i);
	if (json && !json_print(json, cli->out))
		return report(cli, USP_FAILED, "out of memory");

	code = tally_code(&look.tally);
	if (!look.tally.done && !look.tally.failed) {
		/* Nowhere is an answer to `list`, and a failure to `info`, which asks for one thing. */
		if (name)
			return report(cli, USP_NOT_FOUND, "no process has a payload \"%s\"", name);
		if (!json)
			fprintf(cli->out, "no process has a payload\n");
		return USP_OK;
	}
	return code;
}

enum usp_code cli_list(struct cli *cli)
{
	return look_at_all(cli, NULL);
}

enum usp_code cli_info(struct cli *cli)
{
	return look_at_all(cli, cli->options.arguments[0]);
}

enum usp_code cli_gdb(struct cli *cli)
{
	_cleanup_(processes_deinit) struct processes processes;
	enum usp_code code = processes_choose(cli, false, &processes);
	if (code)
		return code;
	struct tally tally = {0};
	struct usp_process *process = processes_open(cli, &processes, 0, NULL, &tally);
	if (!process)
		return tally_code(&tally);
	struct usp_error *error = usp_print_gdb(process, cli->out);
	usp_process_close(process);
	return error ? report_error(cli, NULL, NULL, error) : USP_OK;
}
