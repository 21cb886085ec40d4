// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include "build/patch/remake.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "build/file.h"
#include "build/patch/source_list.h"
#include "build/patch/walk.h"

#define TEXT_MAX  (16u << 20) /* bytes of a file that is looked through for its includes */
#define TICK_NS	  10000000l
#define TICKS_MAX 300

static const char *const sources[] = {".c", ".cc", ".cpp", ".cxx", ".c++", ".m", ".mm", ".s", ".sx", NULL};
/* What no compiler reads, nor anything that makes what compilers read. Texts, pages and pictures may be built in. */
static const char *const documents[] = {".md", ".rst", ".adoc", ".pod",	 ".texi",  ".sgml", ".1",
					".2",  ".3",   ".4",	".5",	 ".6",	   ".7",    ".8",
					".po", ".pot", ".log",	".diff", ".patch", NULL};
/* How their names begin. */
static const char *const document_names[] = {"changelog", "changes",  "news",	    "readme", "authors",
					     "copying",	  "license",  "thanks",	    "todo",   "hacking",
					     "credits",	  "protocol", ".gitignore", NULL};
/* What is below them is not the program's own. */
static const char *const beside[] = {"test", "tests", "testsuite", "testdata", "t", "regress",
				     "doc",  "docs",  "man",	   "examples", NULL};
static const char *const makefiles[] = {"Makefile",    "Makefile.am",	 "Makefile.in", "Makefile.inc",
					"meson.build", "CMakeLists.txt", NULL};
/* Some file of them may be included by one that is included from elsewhere. */
static const char *const headers[] = {".h",  ".hh",  ".hpp", ".hxx", ".inc", ".def",
				      ".in", ".tbl", ".x",   ".y",   ".l",   NULL};

static bool is_one_of(const char *name, size_t length, const char *const *names)
{
	for (size_t i = 0; names[i]; i++)
		if (strlen(names[i]) == length && !memcmp(names[i], name, length))
			return true;
	return false;
}

static bool is_beside(const char *path)
{
	for (const char *slash; (slash = strchr(path, '/')); path = slash + 1)
		if (is_one_of(path, (size_t)(slash - path), beside))
			return true;
	return false;
}

static bool ends_in_one_of(const char *path, const char *const *suffixes)
{
	const char *dot = strrchr(basename(path), '.');
	for (size_t i = 0; dot && suffixes[i]; i++)
		if (!strcasecmp(dot, suffixes[i]))
			return true;
	return false;
}

static bool is_document(const char *path)
{
	for (size_t i = 0; document_names[i]; i++)
		if (!strncasecmp(basename(path), document_names[i], strlen(document_names[i])))
			return true;
	return ends_in_one_of(path, documents);
}

/* ---- what the build compiled by its name ---- */

/* A word of the command line that is this very file. */
static bool names_file(const struct capture_object *object, const char *path)
{
	_cleanup_free_ char *words = strdup(object->command);
	char *rest = NULL;
	for (char *word = words ? strtok_r(words, " ", &rest) : NULL; word;
	     word = strtok_r(NULL, " ", &rest)) {
		_cleanup_free_ char *joined = NULL;
		char real[PATH_MAX];
		if (*word == '-' || strcmp(basename(word), basename(path)))
			continue;
		if (asprintf(&joined, "%s/%s", *word == '/' ? "" : object->directory, word) < 0) {
			joined = NULL;
			return false;
		}
		if (realpath(joined, real) && !strcmp(real, path))
			return true;
	}
	return false;
}

static bool is_compiled(const struct capture *after, const char *path)
{
	char real[PATH_MAX];
	if (!realpath(path, real))
		return false;
	for (size_t i = 0; i < after->n_objects; i++)
		if (names_file(&after->objects[i], real))
			return true;
	return false;
}

/* ---- what some file includes ---- */

/* "name" or <name> at the end of a path, as an #include has it. */
static bool includes(const uint8_t *text, size_t size, const char *name)
{
	size_t length = strlen(name);
	const uint8_t *at = text, *end = text + size;
	while ((at = memmem(at, (size_t)(end - at), name, length))) {
		const uint8_t *behind = at + length;
		if (at > text && behind < end && strchr("\"</", at[-1]) && (*behind == '"' || *behind == '>'))
			return true;
		at++;
	}
	return false;
}

static bool speaks_of(const uint8_t *text, size_t size, const char *name)
{
	return memmem(text, size, name, strlen(name));
}

static bool is_listed(const struct source_list *list, const char *path)
{
	for (size_t i = 0; i < list->n; i++)
		if (!strcmp(list->v[i].path, path))
			return true;
	return false;
}

/* Whether a file that the patch does not change has its name in this way; outside: outside of what is beside the program. */
static struct usp_error *is_named(const struct source *source, const struct source_list *list,
				  const char *path,
				  bool (*in)(const uint8_t *text, size_t size, const char *name),
				  bool outside, bool *ret)
{
	const size_t root = strlen(source->directory);
	FTS *tree = walk_open(source->directory);
	struct usp_error *error = NULL;
	*ret = false;
	if (!tree)
		return usp_error_errno(USP_FAILED, errno, "cannot look through %s", source->directory);
	for (FTSENT *entry; !error && !*ret && (entry = walk_next(tree));) {
		_cleanup_free_ uint8_t *bytes = NULL;
		size_t size;
		const char *inside = entry->fts_path + root;
		inside += strspn(inside, "/");
		if (entry->fts_statp->st_size > TEXT_MAX || is_listed(list, inside) ||
		    (outside && is_beside(inside)))
			continue;
		error = file_read(entry->fts_path, TEXT_MAX, &bytes, &size);
		*ret = !error && in(bytes, size, basename(path));
		errno = 0;
	}
	return walk_end(tree, source->directory, error);
}

/* ---- */

/*
 * A new file is read by who was changed to read it; and by others, if it is found before one of the same name that they
 * have read until now.
 */
static struct usp_error *may_be_read(const struct source *source, const struct capture *after,
				     const struct source_list *list, const struct source_entry *entry,
				     bool *ret)
{
	const char *name = basename(entry->path);
	*ret = false;
	if (entry->what == SOURCE_REMAKE || is_document(entry->path))
		return NULL;
	if (!ends_in_one_of(entry->path, sources)) {
		if (entry->what == SOURCE_REMOVE)
			return is_named(source, list, entry->path, includes, false, ret);
		*ret = true;
		if (!is_beside(entry->path) || ends_in_one_of(entry->path, headers))
			return NULL;
		*ret = false;
		return is_one_of(name, strlen(name), makefiles)
			       ? NULL
			       : is_named(source, list, entry->path, speaks_of, true, ret);
	}
	if (!after || entry->what != SOURCE_PUT)
		return NULL;
	_cleanup_free_ char *path = NULL;
	if (asprintf(&path, "%s/%s", source->directory, entry->path) < 0) {
		path = NULL;
		return &usp_error_no_memory;
	}
	return is_compiled(after, path) ? NULL : is_named(source, list, entry->path, includes, false, ret);
}

struct usp_error *remake_needed(const struct source *source, const struct capture *after, char **what)
{
	struct source_list list;
	struct usp_error *error = source_list_read(source->saved, &list);
	bool needed = false;
	*what = NULL;
	for (size_t i = 0; i < list.n && !needed && !error; i++) {
		error = may_be_read(source, after, &list, &list.v[i], &needed);
		if (!error && needed && !(*what = strdup(list.v[i].path)))
			error = &usp_error_no_memory;
	}
	source_list_deinit(&list);
	return error;
}

struct usp_error *remake_unread(const struct source *source, const struct capture *after, remake_tell *tell,
				void *context)
{
	struct source_list list;
	struct usp_error *error = source_list_read(source->saved, &list);
	for (size_t i = 0; i < list.n && !error; i++) {
		_cleanup_free_ char *path = NULL;
		if (asprintf(&path, "%s/%s", source->directory, list.v[i].path) < 0) {
			path = NULL;
			error = &usp_error_no_memory;
		} else if (ends_in_one_of(path, sources) && !access(path, F_OK) &&
			   !is_compiled(after, path)) {
			error = tell(context, list.v[i].path);
		}
	}
	source_list_deinit(&list);
	return error;
}

/* Until the file system's clock has gone on. */
static struct usp_error *wait_for_later(int fd)
{
	struct stat first, now;
	if (futimens(fd, NULL) < 0 || fstat(fd, &first) < 0)
		return usp_error_errno(USP_FAILED, errno, "cannot give a file a new date");
	for (int i = 0; i < TICKS_MAX; i++) {
		nanosleep(&(struct timespec){.tv_nsec = TICK_NS}, NULL);
		if (futimens(fd, NULL) < 0 || fstat(fd, &now) < 0)
			return usp_error_errno(USP_FAILED, errno, "cannot give a file a new date");
		if (now.st_mtim.tv_sec > first.st_mtim.tv_sec ||
		    (now.st_mtim.tv_sec == first.st_mtim.tv_sec &&
		     now.st_mtim.tv_nsec > first.st_mtim.tv_nsec))
			return NULL;
	}
	return usp_errorf(USP_FAILED, "files that are written one after the other get the same date: a build "
				      "cannot tell what to make again");
}

struct usp_error *remake_touch(const char *directory, int fd)
{
	FTS *tree = walk_open(directory);
	struct usp_error *error = NULL;
	if (!tree)
		return usp_error_errno(USP_FAILED, errno, "cannot look through %s", directory);
	for (FTSENT *entry; !error && (entry = walk_next(tree));)
		if (ends_in_one_of(entry->fts_name, sources) &&
		    utimensat(AT_FDCWD, entry->fts_path, NULL, AT_SYMLINK_NOFOLLOW) < 0)
			error = usp_error_errno(USP_FAILED, errno, "cannot give %s a new date",
						entry->fts_path);
	error = walk_end(tree, directory, error);
	return error ? error : wait_for_later(fd);
}
