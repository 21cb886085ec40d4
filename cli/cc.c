// SPDX-License-Identifier: MIT
/*
 * usplice cc: the arguments, as usp_cc() wants them.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <usplice/build.h>

#include "base/compiler.h"
#include "cli/cli.h"
#include "cli/report.h"
#include "cli/text.h"

enum usp_code cli_cc(struct cli *cli)
{
	const struct options *o = &cli->options;
	if (!o->target)
		return report(cli, USP_USAGE, "what is patched? Say --target BINARY or --target PID");
	_cleanup_free_ char *output = options_output(o, o->arguments[0]);
	if (!output)
		return report(cli, USP_FAILED, "out of memory");
	for (size_t i = 0; i < o->n_arguments; i++) {
		if (!strcmp(o->arguments[i], output))
			return report(cli, USP_USAGE, "the output %s would overwrite a source", output);
	}

	struct usp_cc_options options = {
		.size = sizeof(options),
		.sources = o->arguments,
		.n_sources = o->n_arguments,
		.output = output,
		.module = o->module,
		.compiler = o->compiler,
		.flags = o->flags,
		.name = o->name,
		.keep = o->keep,
		.log = report_log,
		.log_context = cli,
	};
	/* A number is a process, unless there is a file of that name. */
	if (!options_parse_pid(o->target, &options.pid) || !access(o->target, F_OK)) {
		options.pid = 0;
		options.target = o->target;
	}
	if (o->module && !options.pid)
		return report(cli, USP_USAGE,
			      "--module needs --target PID; a library on disk is itself the --target");

	struct usp_error *error = usp_cc(&options);
	if (error)
		return report_error(cli, NULL, NULL, error);
	if (!o->quiet) {
		_cleanup_(text_freep) char *printable = text_printable(output, false);
		fprintf(cli->out, "%s is ready\n", printable);
	}
	return USP_OK;
}
