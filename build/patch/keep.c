// SPDX-License-Identifier: MIT
/*
 * The two builds kept for a second run: the copies of all objects, what capture.h told of them, and a key: patches, command
 * and tree. The key is written last, so what has one is whole.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "build/patch/build.h"
#include "build/capture/log.h"
#include "build/capture/result.h"
#include "build/file.h"

#define FORMAT	 "usplice builds 2"
#define KEY_MAX	 4096u
#define TEXT_MAX (256u << 20)

static char *in(const struct build *build, const char *name)
{
	char *ret;
	return asprintf(&ret, "%s/%s", build->options.keep, name) < 0 ? NULL : ret;
}

/* What the builds follow from: FORMAT, then a hash over patches, command and tree. */
static struct usp_error *make_key(const struct build *build, char **ret)
{
	_cleanup_free_ char *text = NULL, *tree = realpath(build->options.source, NULL);
	size_t size;
	FILE *f = open_memstream(&text, &size);
	struct usp_error *error = NULL;
	if (!f)
		return &usp_error_no_memory;
	fprintf(f, "%s%c", tree ? tree : "", 0);
	for (size_t i = 0; build->options.command[i]; i++)
		fprintf(f, "%s%c", build->options.command[i], 0);
	for (size_t i = 0; i < build->options.n_patches && !error; i++) {
		_cleanup_free_ uint8_t *bytes = NULL;
		size_t n;
		error = file_read(build->options.patches[i], TEXT_MAX, &bytes, &n);
		if (!error)
			fprintf(f, "%zu%c", n, 0);
		if (!error)
			fwrite(bytes, 1, n, f);
	}
	if (fclose(f) && !error)
		error = &usp_error_no_memory;
	uint8_t hash[PAYLOAD_HASH_SIZE];
	char hex[2 * PAYLOAD_HASH_SIZE + 1];
	if (!error && payload_hash(text, size, hash) < 0)
		error = usp_errorf(USP_FAILED, "libsodium cannot be used");
	if (error)
		return error;
	build_id_format(hash, sizeof(hash), hex);
	if (asprintf(ret, "%s\n%s\n", FORMAT, hex) < 0) {
		*ret = NULL;
		return &usp_error_no_memory;
	}
	return NULL;
}

/* ---- writing ---- */

static struct usp_error *write_object(int fd, const struct capture_object *o)
{
	struct capture_record record;
	if (!capture_record_begin(&record, CAPTURE_RECORD_OBJECT))
		return &usp_error_no_memory;
	capture_record_hash(&record, o->hash);
	capture_record_string(&record, o->path);
	capture_record_string(&record, o->directory);
	capture_record_string(&record, o->command);
	capture_record_string(&record, "");
	return capture_record_send(&record, fd);
}

static struct usp_error *write_link(int fd, const struct capture_link *l)
{
	struct capture_record record;
	if (!capture_record_begin(&record, CAPTURE_RECORD_LINK))
		return &usp_error_no_memory;
	capture_record_hash(&record, l->hash);
	capture_record_string(&record, l->path);
	capture_record_string(&record, "");
	capture_record_number(&record, l->relocatable);
	capture_record_number(&record, (uint32_t)l->n_inputs);
	for (size_t i = 0; i < l->n_inputs; i++) {
		capture_record_hash(&record, l->inputs[i].hash);
		capture_record_string(&record, l->inputs[i].path);
	}
	return capture_record_send(&record, fd);
}

static struct usp_error *write_capture(const struct build *build, const char *name,
				       const struct capture *capture)
{
	_cleanup_free_ char *path = in(build, name);
	if (!path)
		return &usp_error_no_memory;
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return usp_error_errno(USP_FAILED, errno, "cannot write %s", path);
	struct usp_error *error = NULL;
	for (size_t i = 0; i < capture->n_objects && !error; i++)
		error = write_object(fd, &capture->objects[i]);
	for (size_t i = 0; i < capture->n_links && !error; i++)
		error = write_link(fd, &capture->links[i]);
	return error;
}

/*
 * What the tree told while the patch was on it, a line each: why all was compiled, if it was; "+ " and a file of the
 * patch; "- " and one that was not compiled.
 */
static struct usp_error *write_told(const struct build *build)
{
	_cleanup_free_ char *path = in(build, "told"), *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);
	if (!f)
		return &usp_error_no_memory;
	fprintf(f, "%s\n", build->remade ? build->remade : "");
	for (size_t i = 0; i < build->n_unread; i++)
		fprintf(f, "- %s\n", build->unread[i]);
	for (size_t i = 0; i < build->n_changed; i++)
		fprintf(f, "+ %s\n", build->changed[i]);
	if (fclose(f) || !path)
		return &usp_error_no_memory;
	return file_write(path, text, size);
}

struct usp_error *build_keep_save(const struct build *build)
{
	_cleanup_free_ char *key = NULL, *path = in(build, "key");
	if (!path)
		return &usp_error_no_memory;
	struct usp_error *error = make_key(build, &key);
	if (!error)
		error = write_capture(build, "before.list", &build->before);
	if (!error)
		error = write_capture(build, "after.list", &build->after);
	if (!error)
		error = write_told(build);
	return error ? error : file_write(path, key, strlen(key));
}

/* ---- reading ---- */

static struct usp_error *read_capture(const struct build *build, const char *name, const char *store,
				      struct capture *ret)
{
	_cleanup_free_ char *path = in(build, name), *directory = in(build, store);
	struct capture_reader reader = {0};
	struct capture_fields fields;
	struct capture_result result = {.capture = ret, .store = directory};
	bool ended = false;
	size_t taken;
	if (!path || !directory)
		return &usp_error_no_memory;
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct usp_error *error = fd < 0 ? usp_error_errno(USP_FAILED, errno, "cannot read %s", path) : NULL;
	while (!error && !ended) {
		error = capture_reader_fill(&reader, fd, &ended);
		while (!error && capture_reader_next(&reader, &fields, &taken)) {
			char *text = NULL;
			if (fields.type == CAPTURE_RECORD_OBJECT || fields.type == CAPTURE_RECORD_LINK)
				error = capture_result_add(&result, &fields, &text);
			free(text);
			capture_reader_drop(&reader, taken);
		}
	}
	free(reader.bytes);
	return error ? error : capture_result_finish(&result);
}

static struct usp_error *read_told(struct build *build)
{
	_cleanup_free_ char *path = in(build, "told"), *line = NULL;
	size_t room = 0;
	ssize_t length;
	struct usp_error *error = NULL;
	if (!path)
		return &usp_error_no_memory;
	FILE *f = fopen(path, "re");
	if (!f)
		return usp_error_errno(USP_FAILED, errno, "cannot read %s", path);
	for (bool first = true; !error && (length = getline(&line, &room, f)) > 0; first = false) {
		line[length - 1] = 0;
		if (!first && length < 3)
			error = usp_errorf(USP_FAILED, "%s is broken", path);
		else if (!first)
			error = *line == '-' ? build_note_unread(build, line + 2)
					     : build_note_changed(build, line + 2);
		else if (*line && !(build->remade = build_report_keep(build->report, line)))
			error = &usp_error_no_memory;
	}
	if (!error && ferror(f))
		error = usp_errorf(USP_FAILED, "cannot read %s", path);
	fclose(f);
	return error;
}

struct usp_error *build_keep_load(struct build *build, bool *loaded)
{
	_cleanup_free_ char *key = NULL, *path = in(build, "key");
	_cleanup_free_ uint8_t *there = NULL;
	size_t size;
	*loaded = false;
	if (!path)
		return &usp_error_no_memory;
	if (mkdir(build->options.keep, 0700) < 0 && errno != EEXIST)
		return usp_error_errno(USP_FAILED, errno, "cannot make %s", build->options.keep);
	if (access(path, F_OK) < 0)
		return NULL;
	struct usp_error *error = make_key(build, &key);
	if (!error)
		error = file_read(path, KEY_MAX, &there, &size);
	if (error)
		return error;
	if (size != strlen(key) || memcmp(there, key, size) != 0)
		return usp_errorf(USP_EXISTS,
				  "%s has the builds of another patch, command or source tree: choose "
				  "another directory",
				  build->options.keep);
	error = read_capture(build, "before.list", "before", &build->before);
	if (!error)
		error = read_capture(build, "after.list", "after", &build->after);
	if (!error)
		error = read_told(build);
	*loaded = !error;
	return error;
}
