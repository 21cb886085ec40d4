// SPDX-License-Identifier: MIT
#include "cli/processes.h"

#include <stdlib.h>

#include "base/compiler.h"
#include "cli/report.h"
#include "cli/text.h"

#define SHOWN_MAX 16

static enum usp_code refuse_several(struct cli *cli, const struct processes *found)
{
	char *list = NULL;
	size_t size;
	FILE *f = open_memstream(&list, &size);
	if (!f)
		return report(cli, USP_FAILED, "out of memory");
	for (size_t i = 0; i < found->n && i < SHOWN_MAX; i++)
		fprintf(f, "%s%d", i ? ", " : "", (int)found->v[i]);
	if (found->n > SHOWN_MAX)
		fprintf(f, " and %zu more", found->n - SHOWN_MAX);
	if (fclose(f)) {
		free(list);
		return report(cli, USP_FAILED, "out of memory");
	}
	bool takes_all = cli->options.command->options & OPTIONS_ALL;
	enum usp_code code =
		report(cli, USP_AMBIGUOUS, "%zu processes are named \"%s\": %s\nSay which with --pid N%s.",
		       found->n, cli->options.process, list, takes_all ? ", or --all for each of them" : "");
	free(list);
	return code;
}

static enum usp_code choose_by_name(struct cli *cli, struct processes *ret)
{
	struct usp_error *error = usp_process_find(cli->options.process, &ret->v, &ret->n);
	if (error)
		return report_error(cli, NULL, NULL, error);
	if (!ret->n)
		return report(cli, USP_NOT_FOUND,
			      "no process is named \"%s\"\nThe name is that of the executable or what `ps -o "
			      "comm` shows.",
			      cli->options.process);
	if (ret->n > 1 && !cli->options.all)
		return refuse_several(cli, ret);
	ret->several = cli->options.all;
	return USP_OK;
}

enum usp_code processes_choose(struct cli *cli, bool or_patched, struct processes *ret)
{
	*ret = (struct processes){0};
	if (cli->options.process)
		return choose_by_name(cli, ret);
	if (cli->options.pid) {
		ret->v = malloc(sizeof(*ret->v));
		if (!ret->v)
			return report(cli, USP_FAILED, "out of memory");
		ret->v[0] = cli->options.pid;
		ret->n = 1;
		return USP_OK;
	}
	if (!or_patched)
		return report(cli, USP_USAGE, "which process? Say --pid N or --process NAME");
	struct usp_error *error = usp_process_find_patched(&ret->v, &ret->n);
	if (error)
		return report_error(cli, NULL, NULL, error);
	ret->several = true;
	return USP_OK;
}

void processes_deinit(struct processes *processes)
{
	free(processes->v);
	*processes = (struct processes){0};
}

void tally_add(struct tally *tally, enum verdict verdict, enum usp_code code)
{
	switch (verdict) {
	case VERDICT_DONE:
		tally->done++;
		break;
	case VERDICT_SKIPPED:
		if (!tally->skipped++)
			tally->first_skipped = code;
		break;
	case VERDICT_FAILED:
		tally->failed++;
		if (report_code_rank(code) > report_code_rank(tally->worst))
			tally->worst = code;
		break;
	}
}

enum usp_code tally_code(const struct tally *tally)
{
	if (tally->failed)
		return tally->worst;
	return tally->done ? USP_OK : tally->first_skipped;
}

void processes_error(struct cli *cli, const struct processes *processes, const char *subject, const char *who,
		     struct usp_error *error, struct tally *tally)
{
	if (processes->several && error->code == USP_GONE) {
		report_note(cli, "%s: skipped: it exited or executed another program meanwhile", who);
		usp_error_destroy(error);
		tally_add(tally, VERDICT_SKIPPED, USP_GONE);
		return;
	}
	tally_add(tally, VERDICT_FAILED, report_error(cli, subject, processes->several ? who : NULL, error));
}

struct usp_process *processes_open(struct cli *cli, const struct processes *processes, size_t i,
				   const char *subject, struct tally *tally)
{
	struct usp_process *process = NULL;
	struct usp_error *error = usp_process_open(processes->v[i], &process);
	if (!error)
		return process;
	/* It was there when the processes were listed. */
	if (processes->several && error->code == USP_NOT_FOUND)
		error->code = USP_GONE;
	_cleanup_(text_freep) char *who = text_process(processes->v[i]);
	processes_error(cli, processes, subject, who, error, tally);
	return NULL;
}
