// SPDX-License-Identifier: MIT
/*
 * usp_cc(): from sources to a payload.
 *
 *  1. open the target: nothing is compiled for one that cannot be used
 *  2. compile, link into one object, read its records
 *  3. choose the module; fill the records in, in the object
 *  4. link the object with the info strings; the build-id is over all of it
 *  5. read the result as upload would; look up every name; compare the registers
 *  6. write the output, as a whole
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>

#include "build/cc.h"
#include "build/against.h"
#include "build/compile.h"
#include "build/file.h"
#include "build/fill.h"
#include "build/log.h"
#include "build/verify.h"
#include "payload/info.h"

#define N_INFO 4

static void payload_destroyp(struct payload **payload)
{
	payload_destroy(*payload);
}

static struct usp_error *check_options(const struct usp_cc_options *options)
{
	if (!options->n_sources || !options->sources)
		return usp_errorf(USP_USAGE, "there is no source");
	if (!options->output || !*options->output)
		return usp_errorf(USP_USAGE, "there is no output");
	if (!options->target == !options->pid || options->pid < 0)
		return usp_errorf(USP_USAGE, "one target is needed: a file or a process");
	if (options->module && !options->pid)
		return usp_errorf(USP_USAGE, "a module can only be chosen of a process");
	return NULL;
}

/* The payload's name; *from_source: the source has it and nothing needs to be added. */
static struct usp_error *choose_name(const struct usp_cc_options *options, const struct payload *payload,
				     char name[64], bool *from_source)
{
	*from_source = payload->name[0];
	if (payload->name[0]) {
		if (options->name && strcmp(options->name, payload->name) != 0)
			return usp_errorf(USP_USAGE, "the source names the payload %s (USPLICE_NAME), not %s",
					  payload->name, options->name);
		memcpy(name, payload->name, sizeof(payload->name));
		return NULL;
	}
	const char *base = options->name;
	if (!base) {
		const char *slash = strrchr(options->output, '/');
		base = slash ? slash + 1 : options->output;
	}
	size_t length = strlen(base);
	if (!options->name && length > 4 && !strcmp(base + length - 4, ".usp"))
		length -= 4;
	_cleanup_free_ char *copy = strndup(base, length);
	if (!copy)
		return &usp_error_no_memory;
	const char *why = payload_name_check(copy);
	if (why)
		return usp_errorf(USP_USAGE, "\"%s\" cannot be the payload's name: %s%s", copy, why,
				  options->name ? "" : "; give it one with --name");
	memcpy(name, copy, length + 1);
	return NULL;
}

struct info {
	char *v[N_INFO];
	size_t n;
};

static void info_deinit(struct info *info)
{
	for (size_t i = 0; i < info->n; i++)
		free(info->v[i]);
}

static struct usp_error *info_add(struct info *info, const char *key, const char *value)
{
	if (asprintf(&info->v[info->n], "%s=%s", key, value) < 0)
		return &usp_error_no_memory;
	info->n++;
	return NULL;
}

static struct usp_error *make_info(const struct usp_cc_options *options, const struct against *against,
				   const struct payload *payload, struct info *info)
{
	char name[64], build_id[2 * BUILD_ID_MAX + 1];
	bool from_source;
	struct usp_error *error = choose_name(options, payload, name, &from_source);
	if (!error)
		error = info_add(info, "format", "1");
	if (!error && !from_source)
		error = info_add(info, "name", name);
	/* The base name of the target is for messages: one that no message should hold is left out. */
	if (!error && payload_text_check((const uint8_t *)against->module->name,
					 strlen(against->module->name)) == strlen(against->module->name))
		error = info_add(info, "target", against->module->name);
	build_id_format(against->module->build_id, against->module->build_id_size, build_id);
	return error ? error : info_add(info, "target-build-id", build_id);
}

struct usp_error *cc_finish(const struct usp_cc_options *options, struct against *against,
			    const struct workdir *workdir, const struct compiler *compiler)
{
	_cleanup_free_ char *object = workdir_path(workdir, "all.o"),
			    *finished = workdir_path(workdir, "finished.usp");
	_cleanup_free_ uint8_t *bytes = NULL;
	_cleanup_(payload_destroyp) struct payload *payload = NULL;
	_cleanup_(info_deinit) struct info info = {0};
	size_t size;
	if (!object || !finished)
		return &usp_error_no_memory;

	struct usp_error *error = compile_sources(options, workdir, compiler, object);
	if (!error)
		error = file_read(object, PAYLOAD_FILE_MAX, &bytes, &size);
	if (!error)
		error = payload_read(bytes, size, false, &payload);
	if (!error)
		error = against_choose(against, options, payload);
	if (!error)
		error = make_info(options, against, payload, &info);
	if (!error)
		error = fill_records(options, against, payload, bytes, size);
	if (!error)
		error = file_write(object, bytes, size);
	if (!error)
		error = compile_finish(workdir, compiler, object, (const char *const *)info.v, info.n,
				       finished);
	if (error)
		return error;

	free(bytes);
	bytes = NULL;
	error = file_read(finished, PAYLOAD_FILE_MAX, &bytes, &size);
	if (!error)
		error = verify_payload(options, against, bytes, size);
	if (!error)
		error = workdir_interrupted(workdir);
	return error ? error : file_write(options->output, bytes, size);
}

struct usp_error *usp_cc(const struct usp_cc_options *given)
{
	/* A caller that was compiled against another version has a shorter or a longer one. */
	struct usp_cc_options options = {0};
	if (!given || given->size < offsetof(struct usp_cc_options, log_context) + sizeof(void *))
		return usp_errorf(USP_USAGE, "usp_cc_options.size is not set");
	memcpy(&options, given, given->size < sizeof(options) ? given->size : sizeof(options));
	struct usp_error *error = check_options(&options);
	if (error)
		return error;

	_cleanup_(against_close) struct against against;
	error = against_open(&options, &against);
	if (error)
		return error;
	struct workdir workdir;
	error = workdir_create(options.keep, &workdir);
	if (error)
		return error;
	struct compiler compiler = {0};
	error = compiler_find(&options, &workdir, &compiler);
	if (!error)
		error = cc_finish(&options, &against, &workdir, &compiler);
	compiler_deinit(&compiler);
	if (options.keep)
		build_log(&options, USP_LOG_WARNING, "the intermediate files are in %s", workdir.path);
	workdir_destroy(&workdir);
	return error;
}
