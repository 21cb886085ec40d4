// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include "build/patch/source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "build/file.h"
#include "build/patch/depend.h"
#include "build/patch/remake.h"
#include "build/patch/source_list.h"

#define FILE_MAX (256u << 20) /* bytes of a source file, or of a patch's output */

/* ---- putting back ---- */

static char *join(const char *directory, const char *name)
{
	char *ret;
	return asprintf(&ret, "%s/%s", directory, name) < 0 ? NULL : ret;
}

/* patch(1) takes away a directory that it has emptied. */
static void make_parents(const struct source *source, char *path)
{
	for (char *slash = path + strlen(source->directory) + 1; (slash = strchr(slash, '/')); slash++) {
		*slash = 0;
		mkdir(path, 0777); /* it is there, or opening the file says what is wrong */
		*slash = '/';
	}
}

static struct usp_error *put_back(const struct source *source, const struct source_entry *entry)
{
	char name[16];
	snprintf(name, sizeof(name), "%u", entry->number);
	unsigned mode = entry->mode & 07777;
	_cleanup_free_ char *from = join(source->saved, name), *to = join(source->directory, entry->path);
	_cleanup_free_ uint8_t *bytes = NULL;
	size_t size, done = 0;
	if (!from || !to)
		return &usp_error_no_memory;
	struct usp_error *error = file_read(from, FILE_MAX, &bytes, &size);
	if (error)
		return error;
	make_parents(source, to);
	/* Into the file that is there: owner, links and mode stay. */
	_cleanup_close_ int fd = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, mode);
	while (fd >= 0 && done < size) {
		ssize_t n = write(fd, bytes + done, size - done);
		if (n < 0)
			break;
		done += (size_t)n;
	}
	if (fd < 0 || done < size || fchmod(fd, mode) < 0)
		return usp_error_errno(USP_FAILED, errno, "cannot put %s back from %s", to, from);
	return NULL;
}

/* A new file goes, and directories that were made for it. */
static struct usp_error *remove_new(const struct source *source, char *path)
{
	_cleanup_free_ char *at = join(source->directory, path);
	if (!at)
		return &usp_error_no_memory;
	if (unlink(at) < 0 && errno != ENOENT)
		return usp_error_errno(USP_FAILED, errno, "cannot remove %s, which the patch has made", at);
	size_t root = strlen(source->directory);
	for (char *slash = strrchr(at, '/'); slash && slash > at + root; slash = strrchr(at, '/')) {
		*slash = 0;
		if (rmdir(at) < 0)
			break;
	}
	return NULL;
}

/*
 * One date for all files of the patch: what the build makes of them is older then, be it a source itself; unless the patch
 * brings that, too.
 */
static struct usp_error *date_all(const struct source *source)
{
	struct source_list list;
	struct timespec now[2];
	struct usp_error *error = source_list_read(source->saved, &list);
	clock_gettime(CLOCK_REALTIME_COARSE, &now[0]); /* that of file systems */
	now[1] = now[0];
	for (size_t i = 0; !error && i < list.n; i++) {
		if (list.v[i].what == SOURCE_REMAKE)
			continue;
		_cleanup_free_ char *path = join(source->directory, list.v[i].path);
		if (!path)
			error = &usp_error_no_memory;
		else if (utimensat(AT_FDCWD, path, now, AT_SYMLINK_NOFOLLOW) < 0 && errno != ENOENT)
			error = usp_error_errno(USP_FAILED, errno, "cannot give %s a new date", path);
	}
	source_list_deinit(&list);
	return error;
}

/* A new file of the patch, by the last part of its name: where make stands is not known. */
static bool is_new(const void *context, const char *name)
{
	const struct source_list *list = context;
	for (size_t i = 0; i < list->n; i++)
		if (list->v[i].what == SOURCE_REMOVE && !strcmp(basename(list->v[i].path), basename(name)))
			return true;
	return false;
}

static struct usp_error *put_all_back(const struct source *source)
{
	struct source_list list;
	struct usp_error *error = source_list_read(source->saved, &list);
	bool remake = false, some_new = false;
	for (size_t i = 0; i < list.n; i++) {
		remake |= list.v[i].what == SOURCE_REMAKE;
		some_new |= list.v[i].what == SOURCE_REMOVE;
	}
	/* What was compiled from them with other headers is older then; what was made of a file of the patch, too. */
	if (!error && remake)
		error = remake_touch(source->directory, source->lock);
	for (size_t i = 0; !error && i < list.n; i++)
		switch (list.v[i].what) {
		case SOURCE_PUT:
			error = put_back(source, &list.v[i]);
			break;
		case SOURCE_REMOVE:
			error = remove_new(source, list.v[i].path);
			break;
		case SOURCE_REMAKE:
			break;
		}
	if (!error && some_new)
		error = depend_let_go(source->directory, is_new, &list);
	source_list_deinit(&list);
	return error ? error : date_all(source);
}

struct usp_error *source_restore(struct source *source)
{
	if (!source->saved)
		return NULL;
	struct usp_error *error = put_all_back(source);
	if (error)
		return usp_error_prefix(error, "%s is still patched; what was there before is in %s",
					source->directory, source->saved);
	if (ftruncate(source->lock, 0) < 0)
		return usp_error_errno(USP_FAILED, errno, "cannot write %s", source->mark);
	file_remove_tree(source->saved);
	free(source->saved);
	source->saved = NULL;
	source->n_saved = 0;
	return NULL;
}

/* ---- the mark ---- */

static void unlock_mark(struct source *source)
{
	if (source->lock >= 0)
		close(source->lock);
	source->lock = -1;
}

static struct usp_error *lock_mark(struct source *source)
{
	struct stat st;
	source->lock = open(source->mark, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (source->lock < 0)
		return usp_error_errno(USP_FAILED, errno, "cannot open %s", source->mark);
	/* No links: its owner has removed it between our opening and our locking it. */
	if (flock(source->lock, LOCK_EX | LOCK_NB) == 0 && fstat(source->lock, &st) == 0 && st.st_nlink)
		return NULL;
	unlock_mark(source);
	return usp_errorf(USP_BUSY, "another usplice builds in %s", source->directory);
}

/* What a run before this one has left, if it was killed. */
static struct usp_error *recover(struct source *source)
{
	struct stat st;
	char path[4096];
	ssize_t n = pread(source->lock, path, sizeof(path) - 1, 0);
	if (n < 0)
		return usp_error_errno(USP_FAILED, errno, "cannot read %s", source->mark);
	if (!n) /* there was none, or it had saved nothing */
		return NULL;
	path[n] = 0;
	if (path[0] != '/' || strchr(path, '\n') || stat(path, &st) < 0 || st.st_uid != geteuid() ||
	    !S_ISDIR(st.st_mode)) {
		unlock_mark(source); /* it stays */
		return usp_errorf(USP_FAILED,
				  "%s was left patched by a usplice that was killed, and what it had saved "
				  "(%s) is gone: "
				  "put the sources right, then remove %s",
				  source->directory, path, source->mark);
	}
	source->saved = strdup(path);
	if (!source->saved) {
		unlock_mark(source);
		return &usp_error_no_memory;
	}
	return source_restore(source);
}

struct usp_error *source_open(const struct workdir *workdir, const char *directory, struct source *ret)
{
	*ret = (struct source){.workdir = workdir, .lock = -1};
	ret->directory = realpath(directory, NULL);
	if (!ret->directory)
		return usp_error_errno(USP_NOT_FOUND, errno, "cannot find the source tree %s", directory);
	ret->mark = join(ret->directory, ".usplice-build");
	struct usp_error *error = ret->mark ? lock_mark(ret) : &usp_error_no_memory;
	return error ? error : recover(ret);
}

struct usp_error *source_close(struct source *source)
{
	struct usp_error *error = source_restore(source);
	if (source->lock >= 0 && !source->saved)
		unlink(source->mark);
	unlock_mark(source);
	free(source->directory);
	free(source->mark);
	free(source->saved);
	*source = (struct source){.lock = -1};
	return error;
}

/* ---- putting on ---- */

/* A patch before this one has touched it, too: what was there before that one counts. */
static struct usp_error *find_saved(const struct source *source, const char *path, bool *found)
{
	struct source_list list;
	struct usp_error *error = source_list_read(source->saved, &list);
	*found = false;
	for (size_t i = 0; !error && i < list.n; i++)
		*found |= !strcmp(list.v[i].path, path);
	source_list_deinit(&list);
	return error;
}

/* What would be put back outside of the tree is not touched in the first place. */
static bool leaves_tree(const char *path)
{
	if (path[0] == '/')
		return true;
	for (const char *at = path; at; at = strchr(at, '/')) {
		at += *at == '/';
		if (!strncmp(at, "..", 2) && (at[2] == '/' || !at[2]))
			return true;
	}
	return false;
}

static struct usp_error *save(struct source *source, char *path)
{
	if (leaves_tree(path))
		return usp_errorf(USP_UNSUPPORTED, "the patch changes %s, which is not in %s", path,
				  source->directory);
	_cleanup_free_ char *from = join(source->directory, path), *to = NULL;
	_cleanup_free_ uint8_t *bytes = NULL;
	struct stat st;
	size_t size;
	bool found;
	if (!from || asprintf(&to, "%s/%u", source->saved, source->n_saved) < 0)
		return &usp_error_no_memory;
	struct usp_error *error = find_saved(source, path, &found);
	if (error || found)
		return error;
	struct source_entry entry = {.number = source->n_saved, .path = path};
	if (lstat(from, &st) < 0) {
		entry.what = SOURCE_REMOVE;
		return errno == ENOENT ? source_list_add(source->saved, &entry)
				       : usp_error_errno(USP_FAILED, errno, "cannot look at %s", from);
	}
	if (!S_ISREG(st.st_mode))
		return usp_errorf(USP_UNSUPPORTED, "%s is no regular file", from);
	entry.mode = st.st_mode & 07777;
	error = file_read(from, FILE_MAX, &bytes, &size);
	if (!error)
		error = file_write(to, bytes, size);
	if (!error)
		error = source_list_add(source->saved, &entry);
	source->n_saved++;
	return error;
}

static struct usp_error *run_patch(const struct source *source, const char *patch, int strip, bool dry,
				   char **said, bool *fits)
{
	char level[8];
	snprintf(level, sizeof(level), "-p%d", strip);
	_cleanup_free_ char *output = workdir_path(source->workdir, "patch.out");
	const char *argv[] = {"patch",
			      "--batch",
			      "--forward",
			      "--quoting-style=literal",
			      "--no-backup-if-mismatch",
			      level,
			      "-r",
			      "-",
			      "-i",
			      patch,
			      dry ? "--dry-run" : NULL,
			      NULL};
	int start_error, status = 0;
	uint8_t *bytes = NULL;
	size_t size;
	if (!output)
		return &usp_error_no_memory;
	struct usp_error *error =
		workdir_run_in(source->workdir, source->directory, output, argv, &start_error, &status);
	if (!error && start_error)
		error = usp_error_errno(USP_NOT_FOUND, -start_error, "patch cannot be run; is it installed?");
	if (!error)
		error = file_read(output, FILE_MAX, &bytes, &size);
	char *text = error ? NULL : realloc(bytes, size + 1);
	if (!text) {
		free(bytes);
		return error ? error : &usp_error_no_memory;
	}
	text[size] = 0;
	*said = text;
	*fits = WIFEXITED(status) && WEXITSTATUS(status) == 0;
	return NULL;
}

/* Saves what `patch --dry-run` said that it would touch: "checking file PATH", perhaps " (renamed from OLD)". */
static struct usp_error *save_touched(struct source *source, const char *patch, char *said)
{
	bool any = false;
	static const char prefix[] = "checking file ";
	struct usp_error *error = NULL;
	char *rest = NULL;
	for (char *line = strtok_r(said, "\n", &rest); line && !error; line = strtok_r(NULL, "\n", &rest)) {
		if (strncmp(line, prefix, sizeof(prefix) - 1))
			continue;
		any = true;
		char *path = line + sizeof(prefix) - 1;
		char *other = strstr(path, " (renamed from ");
		if (!other)
			other = strstr(path, " (copied from ");
		if (other && path[strlen(path) - 1] == ')') {
			path[strlen(path) - 1] = 0;
			*other = 0;
			error = save(source, strstr(other + 1, " from ") + strlen(" from "));
		}
		if (!error)
			error = save(source, path);
	}
	if (!error && !any) /* what is not saved cannot be put back */
		error = usp_errorf(USP_MISMATCH, "the patch %s changes no file of %s", patch,
				   source->directory);
	return error;
}

static struct usp_error *apply(struct source *source, const char *patch)
{
	static const int levels[] = {1, 0, 2};
	_cleanup_free_ char *said = NULL, *first = NULL, *path = realpath(patch, NULL);
	bool fits = false;
	int strip = 1;
	if (!path)
		return usp_error_errno(USP_NOT_FOUND, errno, "cannot find the patch %s", patch);
	for (size_t i = 0; i < sizeof(levels) / sizeof(*levels) && !fits; i++) {
		free(said);
		said = NULL;
		strip = levels[i];
		struct usp_error *error = run_patch(source, path, strip, true, &said, &fits);
		if (error)
			return error;
		if (!i && !fits) {
			first = said;
			said = NULL;
		}
	}
	if (!fits)
		return usp_errorf(USP_MISMATCH,
				  "the patch %s does not fit %s (neither with -p1, -p0 nor -p2): %s", patch,
				  source->directory, first ? first : "");
	struct usp_error *error = save_touched(source, patch, said);
	free(said);
	said = NULL;
	if (!error)
		error = run_patch(source, path, strip, false, &said, &fits);
	if (!error && !fits)
		error = usp_errorf(USP_FAILED, "the patch %s does not go on: %s", patch, said);
	return error;
}

struct usp_error *source_remake(struct source *source)
{
	struct usp_error *error =
		source_list_add(source->saved, &(struct source_entry){.what = SOURCE_REMAKE, .path = ""});
	if (!error)
		error = remake_touch(source->directory, source->lock);
	return error ? error : date_all(source);
}

struct usp_error *source_patch(struct source *source, const char *const *patches, size_t n)
{
	struct usp_error *error = NULL;
	/* Not in the working directory: that goes when we do. */
	const char *parent = getenv("TMPDIR");
	if (asprintf(&source->saved, "%s/usplice-saved-XXXXXX", parent && *parent == '/' ? parent : "/tmp") <
	    0) {
		source->saved = NULL;
		error = &usp_error_no_memory;
	} else if (!mkdtemp(source->saved)) {
		error = usp_error_errno(USP_FAILED, errno, "cannot make %s", source->saved);
		free(source->saved);
		source->saved = NULL;
	} else if (pwrite(source->lock, source->saved, strlen(source->saved), 0) !=
		   (ssize_t)strlen(source->saved)) {
		error = usp_error_errno(USP_FAILED, errno, "cannot write %s", source->mark);
	}
	for (size_t i = 0; i < n && !error; i++)
		error = apply(source, patches[i]);
	if (!error)
		error = date_all(source);
	if (!error)
		return NULL;
	struct usp_error *failed = source_restore(source);
	if (!failed)
		return error;
	usp_error_destroy(error);
	return failed;
}
