// SPDX-License-Identifier: MIT
/*
 * usp_check(): the same plan that an upload makes, told function by function.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>

#include <usplice/list.h>

#include "process/busy.h"
#include "process/unwinder.h"
#include "process/upload.h"

struct check { /* what usp_check() allocates; `public` first */
	struct usp_check public;
	struct session *session;
	struct plan *plan;
	struct usp_error *error; /* of the try to build it */
};

/* A trial build at the place that an upload would choose: symbols, distances, registers. */
static void try_build(struct check *check)
{
	int index;
	check->session->options.dry_run = true;
	check->error = upload(check->session, check->plan, &index);
	if (!check->error) {
		check->public.fits = true;
		return;
	}
	check->public.code = check->error->code;
	check->public.reason = check->error->message;
}

static void tell_functions(struct check *check)
{
	for (size_t i = 0; i < check->public.n_functions; i++) {
		const struct plan_function *from = &check->plan->functions[i];
		struct usp_check_line *to = &check->public.functions[i];
		to->name = from->name;
		to->fits = !from->error && check->plan->module;
		to->reason = from->error ? from->error->message : NULL;
		if (from->error && !check->public.code)
			check->public.code = from->error->code;
	}
}

struct usp_error *usp_check(struct usp_process *process, const char *file, const struct usp_options *options,
			    struct usp_check **ret)
{
	struct check *check = calloc(1, sizeof(*check));
	if (!check)
		return &usp_error_no_memory;
	struct usp_error *error = session_open(process, options, false, &check->session);
	if (!error)
		error = plan_create(check->session, file, &check->plan);
	if (!error) {
		check->public.n_functions = check->plan->payload->n_functions;
		check->public.functions =
			calloc(check->public.n_functions + 1, sizeof(*check->public.functions));
		if (!check->public.functions)
			error = &usp_error_no_memory;
	}
	if (error) {
		usp_check_destroy(&check->public);
		return session_reason(process->target, error);
	}
	memcpy(check->public.name, check->plan->name, sizeof(check->plan->name));
	if (check->plan->error) {
		check->public.code = check->plan->error->code;
		check->public.reason = check->plan->error->message;
	}
	tell_functions(check);
	char **lines;
	error = busy_threads(check->session, check->plan, &lines, &check->public.n_busy_threads);
	if (error) {
		usp_check_destroy(&check->public);
		return error;
	}
	check->public.busy_threads = (const char **)lines;
	if (!check->public.code)
		try_build(check);
	check->public.unwind = unwinder_look(check->session);
	*ret = &check->public;
	return NULL;
}

void usp_check_destroy(struct usp_check *public)
{
	struct check *check = (struct check *)public;
	if (!check)
		return;
	for (size_t i = 0; i < check->public.n_busy_threads; i++)
		free((void *)check->public.busy_threads[i]);
	free(check->public.busy_threads);
	free(check->public.functions);
	usp_error_destroy(check->error);
	plan_destroy(check->plan);
	session_close(check->session);
	free(check);
}
