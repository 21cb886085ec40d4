// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include "build/patch/depend.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "build/file.h"
#include "build/patch/walk.h"

#define TEXT_MAX (1u << 20)

static bool is_dependency_file(const char *name)
{
	static const char *const ends[] = {".d", ".dep", ".P", ".Po", ".Plo", NULL};
	const char *dot = strrchr(name, '.');
	for (size_t i = 0; dot && ends[i]; i++)
		if (!strcmp(dot, ends[i]))
			return true;
	return false;
}

/* Names with spaces have them escaped; those are not understood. */
static struct usp_error *add_rules(const char *path, depend_is_gone *gone, const void *context)
{
	_cleanup_free_ uint8_t *bytes = NULL;
	_cleanup_free_ char *copy = NULL;
	size_t size;
	struct usp_error *error = file_read(path, TEXT_MAX, &bytes, &size);
	if (error)
		return error;
	copy = strndup((const char *)bytes, size);
	FILE *f = NULL;
	char *rest = NULL;
	for (char *word = copy ? strtok_r(copy, " \t\r\n\\", &rest) : NULL; word;
	     word = strtok_r(NULL, " \t\r\n\\", &rest)) {
		if (!gone(context, word))
			continue;
		if (!f && !(f = fopen(path, "ae")))
			return usp_error_errno(USP_FAILED, errno, "cannot write %s", path);
		fprintf(f, "\n%s:\n", word);
	}
	if (f && fclose(f))
		return usp_error_errno(USP_FAILED, errno, "cannot write %s", path);
	return copy ? NULL : &usp_error_no_memory;
}

struct usp_error *depend_let_go(const char *directory, depend_is_gone *gone, const void *context)
{
	FTS *tree = walk_open(directory);
	struct usp_error *error = NULL;
	if (!tree)
		return usp_error_errno(USP_FAILED, errno, "cannot look through %s", directory);
	for (FTSENT *entry; !error && (entry = walk_next(tree));) {
		if (is_dependency_file(entry->fts_name) && entry->fts_statp->st_size <= TEXT_MAX)
			error = add_rules(entry->fts_path, gone, context);
		errno = 0;
	}
	return walk_end(tree, directory, error);
}
