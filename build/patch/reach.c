// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include "build/patch/reach.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "build/file.h"
#include "build/object/object.h"
#include "build/patch/walk.h"

#define TEXT_MAX (64u << 20)

struct file {
	char *path;
	const char *name; /* its last part */
	bool reached;
};

struct reach {
	char *directory;    /* without links */
	struct file *files; /* by name */
	size_t n, capacity;
	size_t *queue;
	size_t n_queue;
	char **macros; /* that are included; a definition of one has to be a file */
	size_t n_macros, macro_capacity;
	bool unknown;
};

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct file *)a)->name, ((const struct file *)b)->name);
}

struct usp_error *reach_open(const char *directory, struct reach **ret)
{
	struct reach *reach = calloc(1, sizeof(*reach));
	FTS *tree = reach ? walk_open(directory) : NULL;
	struct usp_error *error = NULL;
	if (!tree) {
		free(reach);
		return reach ? usp_error_errno(USP_FAILED, errno, "cannot look through %s", directory)
			     : &usp_error_no_memory;
	}
	for (FTSENT *entry; !error && (entry = walk_next(tree));) {
		char *path = strdup(entry->fts_path);
		if (!path || !object_grow(&reach->files, reach->n, &reach->capacity, sizeof(*reach->files))) {
			free(path);
			error = &usp_error_no_memory;
			break;
		}
		reach->files[reach->n++] = (struct file){.path = path, .name = basename(path)};
		errno = 0;
	}
	error = walk_end(tree, directory, error);
	if (!error && !(reach->directory = realpath(directory, NULL)))
		error = usp_error_errno(USP_FAILED, errno, "cannot find %s", directory);
	if (!error && !(reach->queue = calloc(reach->n + 1, sizeof(*reach->queue))))
		error = &usp_error_no_memory;
	if (error) {
		reach_close(reach);
		return error;
	}
	if (reach->n)
		qsort(reach->files, reach->n, sizeof(*reach->files), by_name);
	*ret = reach;
	return NULL;
}

static void forget_macros(struct reach *reach)
{
	while (reach->n_macros)
		free(reach->macros[--reach->n_macros]);
}

void reach_close(struct reach *reach)
{
	if (!reach)
		return;
	forget_macros(reach);
	for (size_t i = 0; i < reach->n; i++)
		free(reach->files[i].path);
	free(reach->macros);
	free(reach->directory);
	free(reach->files);
	free(reach->queue);
	free(reach);
}

static bool is_at(const struct file *file, const char *real)
{
	char path[PATH_MAX];
	return realpath(file->path, path) && !strcmp(path, real);
}

/* All files of this name, or the one that is at real; none: it is the system's. */
static void queue_name(struct reach *reach, const char *name, const char *real)
{
	size_t low = 0, high = reach->n;
	while (low < high) {
		size_t middle = (low + high) / 2;
		if (strcmp(reach->files[middle].name, name) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	for (; low < reach->n && !strcmp(reach->files[low].name, name); low++)
		if (!reach->files[low].reached && (!real || is_at(&reach->files[low], real))) {
			reach->files[low].reached = true;
			reach->queue[reach->n_queue++] = low;
		}
}

static void reach_name(struct reach *reach, const char *name, const char *const *changed, size_t n_changed)
{
	for (size_t i = 0; i < n_changed; i++)
		reach->unknown |= !strcmp(basename(changed[i]), name);
	queue_name(reach, name, NULL);
}

/* A file that the command names is that one, not each of its name. False: there is none. */
static bool reach_path(struct reach *reach, const struct capture_object *object, const char *word,
		       const char *const *changed, size_t n_changed)
{
	_cleanup_free_ char *path = NULL;
	char real[PATH_MAX];
	if (asprintf(&path, "%s/%s", *word == '/' ? "" : object->directory, word) < 0) {
		path = NULL;
		return false;
	}
	if (!realpath(path, real))
		return false;
	const size_t n = strlen(reach->directory);
	for (size_t i = 0; i < n_changed; i++)
		reach->unknown |= !strncmp(real, reach->directory, n) && real[n] == '/' &&
				  !strcmp(real + n + 1, changed[i]);
	queue_name(reach, basename(word), real);
	return true;
}

static size_t word_length(const char *at)
{
	size_t n = 0;
	while (isalnum((unsigned char)at[n]) || at[n] == '_')
		n++;
	return n;
}

/* What stands behind an include: "name", <name>, or something that a macro makes one of. */
static void read_include(struct reach *reach, const char *at, const char *const *changed, size_t n_changed)
{
	at += strspn(at, " \t");
	const char *end = *at == '"' ? strchr(at + 1, '"') : *at == '<' ? strchr(at + 1, '>') : NULL;
	_cleanup_free_ char *name = end ? strndup(at + 1, (size_t)(end - at - 1)) : NULL;
	if (name) {
		reach_name(reach, basename(name), changed, n_changed);
		return;
	}
	size_t length = word_length(at);
	char *macro = length ? strndup(at, length) : NULL;
	if (!macro ||
	    !object_grow(&reach->macros, reach->n_macros, &reach->macro_capacity, sizeof(*reach->macros))) {
		free(macro);
		reach->unknown = true;
		return;
	}
	reach->macros[reach->n_macros++] = macro;
}

static bool is_macro(const struct reach *reach, const char *at)
{
	size_t length = word_length(at);
	for (size_t i = 0; i < reach->n_macros; i++)
		if (strlen(reach->macros[i]) == length && !strncmp(reach->macros[i], at, length))
			return true;
	return false;
}

static void read_line(struct reach *reach, char *line, const char *const *changed, size_t n_changed)
{
	static const char *const words[] = {"include_next", "include", "import", "embed", "incbin", NULL};
	line += strspn(line, " \t");
	if (*line != '#' && *line != '.')
		return;
	line++;
	line += strspn(line, " \t");
	if (!strncmp(line, "define", strlen("define"))) {
		line += strlen("define");
		line += strspn(line, " \t");
		if (is_macro(reach, line)) {
			line += word_length(line);
			line += strspn(line, " \t");
			reach->unknown |= *line != '"' && *line != '<';
			read_include(reach, line, changed, n_changed);
		}
		return;
	}
	for (size_t i = 0; words[i]; i++) {
		size_t length = strlen(words[i]);
		if (!strncmp(line, words[i], length) && !isalnum((unsigned char)line[length]) &&
		    line[length] != '_') {
			read_include(reach, line + length, changed, n_changed);
			return;
		}
	}
}

static struct usp_error *read_file(struct reach *reach, const char *path, const char *const *changed,
				   size_t n_changed)
{
	_cleanup_free_ uint8_t *bytes = NULL;
	size_t size;
	struct usp_error *error = file_read(path, TEXT_MAX, &bytes, &size);
	_cleanup_free_ char *text = error ? NULL : strndup((const char *)bytes, size);
	char *rest = NULL;
	for (char *line = text ? strtok_r(text, "\n", &rest) : NULL; line; line = strtok_r(NULL, "\n", &rest))
		read_line(reach, line, changed, n_changed);
	return error || text ? error : &usp_error_no_memory;
}

/* -DNAME="file", quoted in whatever way. */
static void reach_definition(struct reach *reach, const char *word, const char *const *changed,
			     size_t n_changed)
{
	static const char usual[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+./";
	if (strncmp(word, "-D", 2) != 0 || !is_macro(reach, word + 2))
		return;
	const char *value = strchr(word, '=');
	value = value ? value + 1 + strspn(value + 1, "\\\"'<") : "";
	_cleanup_free_ char *name = strndup(value, strspn(value, usual));
	if (name && *name)
		reach_name(reach, basename(name), changed, n_changed);
	else
		reach->unknown = true;
}

/* What the command names: its source, and what it includes by itself. */
static bool reach_command(struct reach *reach, const struct capture_object *object,
			  const char *const *changed, size_t n_changed)
{
	_cleanup_free_ char *words = strdup(object->command);
	char *rest = NULL;
	bool any = false;
	for (char *word = words ? strtok_r(words, " ", &rest) : NULL; word;
	     word = strtok_r(NULL, " ", &rest)) {
		size_t before = reach->n_queue;
		const char *dot = strrchr(word, '.');
		if (*word == '-' || !reach_path(reach, object, word, changed, n_changed))
			reach_name(reach, basename(word), changed, n_changed);
		reach_definition(reach, word, changed, n_changed);
		any |= dot && *word != '-' && strcmp(dot, ".o") != 0 && reach->n_queue > before;
	}
	return any;
}

struct usp_error *reach_may_read(struct reach *reach, const struct capture_object *object,
				 const char *const *changed, size_t n_changed, bool *ret)
{
	struct usp_error *error = NULL;
	size_t n_macros = 0;
	forget_macros(reach);
	reach->unknown = false;
	/* Once more if macros were included: whether one of what is read defines them. */
	do {
		n_macros = reach->n_macros;
		for (size_t i = 0; i < reach->n; i++)
			reach->files[i].reached = false;
		reach->n_queue = 0;
		bool any = reach_command(reach, object, changed, n_changed);
		reach->unknown |= !any;
		for (size_t i = 0; i < reach->n_queue && !reach->unknown && !error; i++)
			error = read_file(reach, reach->files[reach->queue[i]].path, changed, n_changed);
	} while (!error && !reach->unknown && !n_macros && reach->n_macros);
	*ret = reach->unknown;
	return error;
}
