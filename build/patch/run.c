// SPDX-License-Identifier: MIT
/* The builds: build_run(). */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "build/patch/build.h"
#include "build/compile.h"
#include "build/file.h"
#include "build/patch/depend.h"
#include "build/patch/epoch.h"
#include "build/patch/remake.h"
#include "build/patch/source.h"
#include "build/patch/source_list.h"

struct watch {
	const struct build *build;
	const char *what;
};

static void tell(void *context, const char *tool_and_file, size_t n)
{
	const struct watch *watch = context;
	char *line;
	if (!watch->build->options.progress ||
	    asprintf(&line, "%s: %zu objects, %s", watch->what, n, tool_and_file) < 0)
		return;
	watch->build->options.progress(watch->build->options.context, line);
	free(line);
}

#define N_HOOK_WORDS 3

/* "NAME=first:second:what the environment has". NULL: out of memory. */
static char *search_path(const char *name, const char *first, const char *second)
{
	const char *old = getenv(name);
	char *ret;
	return asprintf(&ret, "%s=%s:%s%s%s", name, first, second, old ? ":" : "", old ? old : "") < 0 ? NULL
												       : ret;
}

/*
 * The patched build finds <usplice/payload.h>, and USPLICE is defined: for gcc by the header that it includes before all
 * others, for clang by an option that it takes from the environment. No word of the build is changed, and as system
 * headers these are no dependencies of the program's files (-MMD).
 */
static struct usp_error *hook_environment(const struct workdir *workdir, char *environment[N_HOOK_WORDS + 1])
{
	static const char first[] = "#pragma GCC system_header\n" /* no warning on #include_next */
				    "#ifndef USPLICE\n#define USPLICE 1\n#endif\n"
				    "#include_next <stdc-predef.h>\n";
	const char *options = getenv("CCC_OVERRIDE_OPTIONS");
	_cleanup_free_ char *include = NULL, *directory = workdir_path(workdir, "first"),
			    *header = workdir_path(workdir, "first/stdc-predef.h");
	struct usp_error *error = compile_header(workdir, &include);
	if (error || !directory || !header)
		return error ? error : &usp_error_no_memory;
	if (mkdir(directory, 0755) < 0)
		return usp_error_errno(USP_FAILED, errno, "cannot make %s", directory);
	error = file_write(header, first, strlen(first));
	if (error)
		return error;
	environment[0] = search_path("C_INCLUDE_PATH", directory, include);
	environment[1] = search_path("CPLUS_INCLUDE_PATH", directory, include);
	if (asprintf(&environment[2], "CCC_OVERRIDE_OPTIONS=%s%s+-DUSPLICE", options ? options : "#",
		     options ? " " : "") < 0)
		environment[2] = NULL;
	return environment[0] && environment[1] && environment[2] ? NULL : &usp_error_no_memory;
}

static struct usp_error *run_one(struct build *build, const struct source *source, const char *name,
				 const char *what, char *const *environment, struct capture *ret)
{
	const char *parent = build->options.keep ? build->options.keep : build->workdir.path;
	_cleanup_free_ char *output = workdir_path(&build->workdir, "%s.log", name), *store = NULL;
	struct watch watch = {build, what};
	if (!output || asprintf(&store, "%s/%s", parent, name) < 0) {
		store = NULL;
		return &usp_error_no_memory;
	}
	const char *words[N_HOOK_WORDS + 2] = {build->epoch};
	for (size_t i = 0; environment && environment[i]; i++)
		words[i + (build->epoch != NULL)] = environment[i];
	if (mkdir(store, 0700) < 0 && errno != EEXIST)
		return usp_error_errno(USP_FAILED, errno, "cannot make %s", store);
	build_say(build, USP_LOG_INFO, "%s", what);
	struct capture_options options = {.command = build->options.command,
					  .directory = source->directory,
					  .store = store,
					  .output = output,
					  .environment = words,
					  .progress = tell,
					  .context = &watch};
	return usp_error_prefix(capture_run(&build->workdir, &options, ret), "%s", what);
}

static bool has_object(const struct capture *capture, const char *path)
{
	for (size_t i = 0; i < capture->n_objects; i++)
		if (!strcmp(capture->objects[i].path, path))
			return true;
	return false;
}

/* Something that the patched build made, and the one before it had no need to. */
static bool lacks_some(const struct build *build)
{
	for (size_t i = 0; i < build->after.n_objects; i++)
		if (!has_object(&build->before, build->after.objects[i].path))
			return true;
	return build->after.n_links > 0 && !build->before.n_links;
}

/* The build need not know what reads a header. after: it was run and is known, else NULL. */
static struct usp_error *remake(struct build *build, struct source *source, const struct capture *after)
{
	_cleanup_free_ char *what = NULL;
	struct usp_error *error = remake_needed(source, after, &what);
	if (error || !what)
		return error;
	build_say(build, USP_LOG_INFO,
		  "the patch changes %s, which others may read: everything is compiled with it", what);
	build->remade = build_report_keep(build->report, what);
	return build->remade ? source_remake(source) : &usp_error_no_memory;
}

/* Once more only if it shows then that not everything was compiled that has to be. */
static struct usp_error *run_patched(struct build *build, struct source *source, char *const *environment)
{
	struct usp_error *error = remake(build, source, NULL);
	if (!error)
		error = run_one(build, source, "after", "the build with the patch", environment,
				&build->after);
	if (error || build->remade)
		return error;
	error = remake(build, source, &build->after);
	if (error || !build->remade)
		return error;
	capture_deinit(&build->after);
	return run_one(build, source, "after", "the build with the patch, all of it", environment,
		       &build->after);
}

static struct usp_error *note(struct build *build, const char ***list, size_t *n, const char *path)
{
	const char **grown = reallocarray(*list, *n + 1, sizeof(*grown));
	const char *kept = build_report_keep(build->report, path);
	if (grown)
		*list = grown;
	if (!grown || !kept)
		return &usp_error_no_memory;
	(*list)[(*n)++] = kept;
	return NULL;
}

struct usp_error *build_note_changed(struct build *build, const char *path)
{
	return note(build, &build->changed, &build->n_changed, path);
}

struct usp_error *build_note_unread(struct build *build, const char *path)
{
	return note(build, &build->unread, &build->n_unread, path);
}

static struct usp_error *note_changed(struct build *build, const struct source *source)
{
	struct source_list list;
	struct usp_error *error = source_list_read(source->saved, &list);
	for (size_t i = 0; i < list.n && !error; i++)
		if (list.v[i].what != SOURCE_REMAKE)
			error = build_note_changed(build, list.v[i].path);
	source_list_deinit(&list);
	return error;
}

static struct usp_error *note_unread(void *context, const char *path)
{
	return build_note_unread(context, path);
}

static bool is_of_workdir(const void *context, const char *name)
{
	const struct workdir *workdir = context;
	size_t n = strlen(workdir->path);
	return !strncmp(name, workdir->path, n) && name[n] == '/';
}

static struct usp_error *patched(struct build *build, struct source *source)
{
	char *environment[N_HOOK_WORDS + 1] = {NULL};
	struct usp_error *error =
		build->asks_for_hooks ? hook_environment(&build->workdir, environment) : NULL;
	if (!error)
		error = source_patch(source, build->options.patches, build->options.n_patches);
	if (!error)
		error = note_changed(build, source);
	if (!error)
		error = run_patched(build, source, environment);
	if (!error)
		error = remake_unread(source, &build->after, note_unread, build);
	for (size_t i = 0; i < N_HOOK_WORDS; i++)
		free(environment[i]);
	struct usp_error *failed = source_restore(source);
	if (!error && !failed && build->asks_for_hooks) /* our header goes, too */
		failed = depend_let_go(source->directory, is_of_workdir, &build->workdir);
	if (!error)
		return failed;
	usp_error_destroy(failed);
	return error;
}

static struct usp_error *run_builds(struct build *build)
{
	struct source source;
	struct usp_error *error = epoch_word(build->options.source, build->options.target, &build->epoch);
	if (error)
		return error;
	error = source_open(&build->workdir, build->options.source, &source);
	if (!error)
		error = run_one(build, &source, "before", "the build as it is", NULL, &build->before);
	if (!error)
		error = patched(build, &source);
	/* The tree was up to date: now, with the patch taken off, exactly what it touches is made again. */
	if (!error && lacks_some(build)) {
		capture_deinit(&build->before);
		error = run_one(build, &source, "before", "the build as it is, once more", NULL,
				&build->before);
	}
	struct usp_error *failed = source_close(&source);
	if (!error)
		return failed;
	usp_error_destroy(failed);
	return error;
}

struct usp_error *build_run(struct build *build)
{
	bool loaded = false;
	struct usp_error *error = build->options.keep ? build_keep_load(build, &loaded) : NULL;
	if (loaded)
		build_say(build, USP_LOG_INFO, "the builds are those in %s", build->options.keep);
	if (error || loaded)
		return error;
	error = run_builds(build);
	return error || !build->options.keep ? error : build_keep_save(build);
}
