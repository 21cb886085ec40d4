// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include "build/patch/source_list.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "build/object/object.h"

static struct usp_error *open_list(const char *directory, const char *mode, FILE **ret)
{
	_cleanup_free_ char *path = NULL;
	*ret = NULL;
	if (asprintf(&path, "%s/list", directory) < 0) {
		path = NULL;
		return &usp_error_no_memory;
	}
	*ret = fopen(path, mode);
	if (*ret || (*mode == 'r' && errno == ENOENT))
		return NULL;
	return usp_error_errno(USP_FAILED, errno, "cannot open %s", path);
}

static struct usp_error *read_line(const char *line, struct source_list *list)
{
	struct source_entry entry = {0};
	int at = 0;
	if (!strncmp(line, "remove ", 7)) {
		entry.what = SOURCE_REMOVE;
		at = 7;
	} else if (!strcmp(line, "remake")) {
		entry.what = SOURCE_REMAKE;
		at = (int)strlen(line);
	} else if (sscanf(line, "put %u %o %n", &entry.number, &entry.mode, &at) != 2 || !at) {
		return usp_errorf(USP_FAILED, "a line that says nothing: %s", line);
	}
	entry.path = strdup(line + at);
	if (!entry.path || !object_grow(&list->v, list->n, &list->capacity, sizeof(*list->v))) {
		free(entry.path);
		return &usp_error_no_memory;
	}
	list->v[list->n++] = entry;
	return NULL;
}

struct usp_error *source_list_read(const char *directory, struct source_list *ret)
{
	_cleanup_free_ char *line = NULL;
	size_t room = 0;
	ssize_t length;
	FILE *f;
	*ret = (struct source_list){0};
	struct usp_error *error = open_list(directory, "re", &f);
	if (error || !f)
		return error;
	while (!error && (length = getline(&line, &room, f)) > 0) {
		if (line[length - 1] != '\n')
			break; /* it was being written: nothing had been done to that file yet */
		line[length - 1] = 0;
		error = read_line(line, ret);
	}
	if (!error && ferror(f))
		error = usp_error_errno(USP_FAILED, errno, "it cannot be read");
	fclose(f);
	if (!error)
		return NULL;
	source_list_deinit(ret);
	return usp_error_prefix(error, "%s/list", directory);
}

void source_list_deinit(struct source_list *list)
{
	for (size_t i = 0; i < list->n; i++)
		free(list->v[i].path);
	free(list->v);
	*list = (struct source_list){0};
}

struct usp_error *source_list_add(const char *directory, const struct source_entry *entry)
{
	FILE *f;
	struct usp_error *error = open_list(directory, "ae", &f);
	if (error)
		return error;
	if (entry->what == SOURCE_REMAKE)
		fprintf(f, "remake\n");
	else if (entry->what == SOURCE_REMOVE)
		fprintf(f, "remove %s\n", entry->path);
	else
		fprintf(f, "put %u %o %s\n", entry->number, entry->mode, entry->path);
	return fclose(f) ? usp_error_errno(USP_FAILED, errno, "cannot write %s/list", directory) : NULL;
}
