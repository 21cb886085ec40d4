// SPDX-License-Identifier: MIT
#include "fake.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "cli/cli.h"

struct fake fake;
char *said_out, *said_err;

struct usp_process {
	struct fake_process *fake;
};

__attribute__((format(printf, 1, 2))) static void called(const char *format, ...)
{
	va_list ap;
	size_t n = strlen(fake.calls);
	va_start(ap, format);
	vsnprintf(fake.calls + n, sizeof(fake.calls) - n, format, ap);
	va_end(ap);
}

int fake_reset(void **state)
{
	(void)state;
	free(said_out);
	free(said_err);
	said_out = said_err = NULL;
	fake = (struct fake){.n = 1};
	for (int i = 0; i < 4; i++)
		fake.processes[i] = (struct fake_process){
			.pid = PID_A + i,
			.name = "server",
			.message = "something about it",
			.outcome = {.name = "fix",
				    .tries = 1,
				    .threads = 6,
				    .sites = 1,
				    .syncs = 3,
				    .stopped_ns = 310000},
		};
	return 0;
}

int run(const char *word, ...)
{
	char *argv[32] = {(char *)"usplice"};
	int argc = 1;
	va_list ap;
	va_start(ap, word);
	for (; word; word = va_arg(ap, const char *))
		argv[argc++] = (char *)word;
	va_end(ap);
	free(said_out);
	free(said_err);
	size_t size;
	FILE *out = open_memstream(&said_out, &size), *err = open_memstream(&said_err, &size);
	assert_non_null(out);
	assert_non_null(err);
	int code = cli_main(argc, argv, out, err);
	fclose(out);
	fclose(err);
	assert_int_equal(fake.open, 0);
	return code;
}

void assert_contains(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("\"%s\" is not in: %s", part, text);
}

void assert_lacks(const char *text, const char *part)
{
	if (strstr(text, part))
		fail_msg("\"%s\" is in: %s", part, text);
}

struct usp_error *usp_process_open(pid_t pid, struct usp_process **process)
{
	for (size_t i = 0; i < fake.n; i++) {
		struct fake_process *p = &fake.processes[i];
		if (p->pid != pid)
			continue;
		if (p->open_code)
			return usp_errorf(p->open_code, "%s", p->message);
		*process = malloc(sizeof(**process));
		if (!*process)
			return &usp_error_no_memory;
		(*process)->fake = p;
		fake.open++;
		return NULL;
	}
	return usp_errorf(USP_NOT_FOUND, "there is no process %d", (int)pid);
}

void usp_process_close(struct usp_process *process)
{
	if (process)
		fake.open--;
	free(process);
}

pid_t usp_process_pid(const struct usp_process *process)
{
	return process->fake->pid;
}

static struct usp_error *find(const char *name, pid_t **pids, size_t *n)
{
	if (fake.find_code)
		return usp_errorf(fake.find_code, "/proc is not mounted");
	*n = 0;
	*pids = calloc(fake.n + 1, sizeof(**pids));
	if (!*pids)
		return &usp_error_no_memory;
	for (size_t i = 0; i < fake.n; i++) {
		if (name ? !strcmp(fake.processes[i].name, name) : fake.processes[i].patched)
			(*pids)[(*n)++] = fake.processes[i].pid;
	}
	return NULL;
}

struct usp_error *usp_process_find(const char *name, pid_t **pids, size_t *n)
{
	return find(name, pids, n);
}

struct usp_error *usp_process_find_patched(pid_t **pids, size_t *n)
{
	return find(NULL, pids, n);
}

static struct usp_error *act(const char *what, struct usp_process *process, const char *payload,
			     const struct usp_options *options, struct usp_outcome *outcome)
{
	struct fake_process *p = process->fake;
	assert_int_equal(options->size, sizeof(*options));
	called("%s %d %s timeout=%u try=%u%s%s%s;", what, (int)p->pid, payload ? payload : "-",
	       options->timeout_ms, options->try_ms, options->wait ? " wait" : "",
	       options->nodeps ? " nodeps" : "", options->dry_run ? " dry" : "");
	for (int level = USP_LOG_WARNING; fake.log_line && level <= USP_LOG_DEBUG; level++)
		options->log(options->log_context, (enum usp_log_level)level, fake.log_line);
	if (options->timeline) {
		fake.recorded = true;
		if (fake.record)
			fake.record(options->timeline);
	}
	if (outcome)
		*outcome = p->outcome;
	return p->action_code ? usp_errorf(p->action_code, "%s", p->message) : NULL;
}

#define ACTION(name)                                                                                 \
	struct usp_error *usp_##name(struct usp_process *process, const char *payload,               \
				     const struct usp_options *options, struct usp_outcome *outcome) \
	{                                                                                            \
		return act(#name, process, payload, options, outcome);                               \
	}
ACTION(upload)
ACTION(apply)
ACTION(revert)
ACTION(replace)
ACTION(unload)
ACTION(load)

struct usp_error *usp_recover(struct usp_process *process, const struct usp_options *options, bool *recovered)
{
	*recovered = process->fake->recovered;
	return act("recover", process, NULL, options, NULL);
}

struct usp_error *usp_list_get(struct usp_process *process, struct usp_list **list)
{
	struct fake_process *p = process->fake;
	if (p->look_code)
		return usp_errorf(p->look_code, "%s", p->message);
	*list = malloc(sizeof(**list));
	if (!*list)
		return &usp_error_no_memory;
	**list = (struct usp_list){p->payloads, p->n_payloads, p->unfinished};
	return NULL;
}

void usp_list_destroy(struct usp_list *list)
{
	free(list);
}

struct usp_error *usp_check(struct usp_process *process, const char *file, const struct usp_options *options,
			    struct usp_check **check)
{
	struct fake_process *p = process->fake;
	called("check %d %s%s;", (int)p->pid, file, options->nodeps ? " nodeps" : "");
	if (p->look_code)
		return usp_errorf(p->look_code, "%s", p->message);
	*check = malloc(sizeof(**check));
	if (!*check)
		return &usp_error_no_memory;
	**check = p->check;
	return NULL;
}

void usp_check_destroy(struct usp_check *check)
{
	free(check);
}

struct usp_error *usp_print_gdb(struct usp_process *process, FILE *out)
{
	if (process->fake->look_code)
		return usp_errorf(process->fake->look_code, "%s", process->fake->message);
	fprintf(out, "add-symbol-file-from-memory 0x1000\n");
	return NULL;
}

struct usp_error *usp_cc(const struct usp_cc_options *options)
{
	called("cc");
	for (size_t i = 0; i < options->n_sources; i++)
		called(" %s", options->sources[i]);
	called(" -o %s target=%s pid=%d module=%s name=%s cc=%s%s flags=", options->output,
	       options->target ? options->target : "-", (int)options->pid,
	       options->module ? options->module : "-", options->name ? options->name : "-",
	       options->compiler ? options->compiler : "-", options->keep ? " keep" : "");
	for (size_t i = 0; options->flags && options->flags[i]; i++)
		called("%s,", options->flags[i]);
	return fake.cc_code ? usp_errorf(fake.cc_code, "%s", fake.processes[0].message) : NULL;
}

struct usp_error *usp_build(const struct usp_build_options *options, struct usp_build_report **report)
{
	(void)report;
	called("build %s -> %s source=%s built=%s name=%s keep=%s patches=", options->target, options->output,
	       options->source ? options->source : "-", options->built ? options->built : "-",
	       options->name ? options->name : "-", options->keep ? options->keep : "-");
	for (size_t i = 0; i < options->n_patches; i++)
		called("%s,", options->patches[i]);
	called(" allow=");
	for (size_t i = 0; i < options->n_allow; i++)
		called("%s:%s,", options->allow[i].kind, options->allow[i].reason);
	called(" command=");
	for (size_t i = 0; options->command[i]; i++)
		called("%s,", options->command[i]);
	return fake.cc_code ? usp_errorf(fake.cc_code, "%s", fake.processes[0].message) : NULL;
}

void usp_build_report_destroy(struct usp_build_report *report)
{
	(void)report;
}

/* What comes of a comparison is the library's; tests/e2e/test_diff.py looks at how it is printed. */
struct usp_error *usp_diff_objects(const char *before, const char *after,
				   const struct usp_diff_options *options, struct usp_diff **diff)
{
	(void)options;
	(void)diff;
	called("diff %s %s", before, after);
	return usp_errorf(USP_UNSUPPORTED, "no objects here");
}

void usp_diff_destroy(struct usp_diff *diff)
{
	(void)diff;
}
