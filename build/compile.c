// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include "build/compile.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "build/file.h"
#include "build/log.h"
#include "build/payload_header.h"

/* Before the user's flags, which may override them: usplice(1) lists them. */
static const char *const flags_before[] = {
	"-O2", "-g", "-fPIC", "-fno-common", "-fasynchronous-unwind-tables",
};
/* After them: with these otherwise there would be no payload. */
static const char *const flags_after[] = {"-fno-lto", "-c"};

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

void compiler_deinit(struct compiler *compiler)
{
	for (size_t i = 0; i < compiler->n; i++)
		free(compiler->words[i]);
	free(compiler->words);
	*compiler = (struct compiler){0};
}

/* Splits at spaces if `split`; at least one word. */
static struct usp_error *compiler_take(const char *command, bool split, struct compiler *ret)
{
	size_t room = strlen(command) + 2;
	ret->words = calloc(room, sizeof(char *));
	if (!ret->words)
		return &usp_error_no_memory;
	for (const char *at = command; *at;) {
		size_t spaces = split ? strspn(at, " \t") : 0;
		at += spaces;
		size_t length = split ? strcspn(at, " \t") : strlen(at);
		if (!length)
			break;
		char *word = strndup(at, length);
		if (!word)
			return &usp_error_no_memory;
		ret->words[ret->n++] = word;
		at += length;
	}
	if (!ret->n)
		return usp_errorf(USP_USAGE, "the compiler's name is empty");
	return NULL;
}

/* Whether the command can be run at all: it is made to preprocess nothing, about which it says nothing. */
static struct usp_error *compiler_try(const struct workdir *workdir, const struct compiler *compiler,
				      bool *found)
{
	_cleanup_free_ const char **argv = calloc(compiler->n + 5, sizeof(char *));
	if (!argv)
		return &usp_error_no_memory;
	memcpy(argv, compiler->words, compiler->n * sizeof(char *));
	argv[compiler->n] = "-E";
	argv[compiler->n + 1] = "-P";
	argv[compiler->n + 2] = "-xc";
	argv[compiler->n + 3] = "/dev/null";
	int start_error, status;
	struct usp_error *error = workdir_run(workdir, argv, &start_error, &status);
	*found = !start_error;
	return error;
}

struct usp_error *compiler_find(const struct usp_cc_options *options, const struct workdir *workdir,
				struct compiler *ret)
{
	const char *cc = getenv("CC");
	const char *candidates[] = {options->compiler,
				    options->compiler ? NULL
				    : cc && *cc	      ? cc
						      : "gcc",
				    options->compiler || (cc && *cc) ? NULL : "clang"};
	for (size_t i = 0; i < COUNT(candidates); i++) {
		if (!candidates[i])
			continue;
		*ret = (struct compiler){0};
		bool found = false;
		struct usp_error *error = compiler_take(candidates[i], !options->compiler, ret);
		if (!error)
			error = compiler_try(workdir, ret, &found);
		if (!error && found)
			return NULL;
		compiler_deinit(ret);
		if (error)
			return error;
	}
	if (options->compiler || (cc && *cc))
		return usp_errorf(USP_NOT_FOUND, "the compiler \"%s\" cannot be run",
				  options->compiler ? options->compiler : cc);
	return usp_errorf(USP_NOT_FOUND,
			  "there is no compiler: neither gcc nor clang is in PATH; install one, or set CC");
}

/* What a tool's end means. what: "compiling fix.c", "linking". */
static struct usp_error *judge(const char *what, const char *tool, int start_error, int status)
{
	if (start_error)
		return usp_error_errno(USP_NOT_FOUND, -start_error, "%s: %s cannot be run", what, tool);
	if (WIFSIGNALED(status))
		return usp_errorf(USP_FAILED, "%s: %s was killed by signal %d (%s)", what, tool,
				  WTERMSIG(status), strsignal(WTERMSIG(status)));
	if (WEXITSTATUS(status))
		return usp_errorf(USP_FAILED, "%s failed: %s ended with status %d; what it said is above",
				  what, tool, WEXITSTATUS(status));
	return NULL;
}

static void log_command(const struct usp_cc_options *options, const char *const argv[])
{
	char *line = NULL;
	size_t size;
	FILE *f = options->log ? open_memstream(&line, &size) : NULL;
	if (!f)
		return;
	for (size_t i = 0; argv[i]; i++)
		fprintf(f, "%s%s", i ? " " : "", argv[i]);
	if (!fclose(f))
		build_log(options, USP_LOG_DEBUG, "%s", line);
	free(line);
}

static struct usp_error *compile_one(const struct usp_cc_options *options, const struct workdir *workdir,
				     const struct compiler *compiler, const char *include, const char *source,
				     const char *object)
{
	size_t n_flags = 0, n = 0;
	while (options->flags && options->flags[n_flags])
		n_flags++;
	_cleanup_free_ char *map = NULL;
	_cleanup_free_ const char **argv =
		calloc(compiler->n + n_flags + COUNT(flags_before) + COUNT(flags_after) + 8, sizeof(char *));
	/* The directory's name is another each time; it must not get into the build-id. */
	if (!argv || asprintf(&map, "-ffile-prefix-map=%s=usplice", workdir->path) < 0) {
		map = NULL;
		return &usp_error_no_memory;
	}
	for (size_t i = 0; i < compiler->n; i++)
		argv[n++] = compiler->words[i];
	for (size_t i = 0; i < COUNT(flags_before); i++)
		argv[n++] = flags_before[i];
	argv[n++] = map;
	argv[n++] = "-I";
	argv[n++] = include;
	for (size_t i = 0; i < n_flags; i++)
		argv[n++] = options->flags[i];
	for (size_t i = 0; i < COUNT(flags_after); i++)
		argv[n++] = flags_after[i];
	argv[n++] = "-o";
	argv[n++] = object;
	argv[n++] = source;
	log_command(options, argv);

	_cleanup_free_ char *what = NULL;
	if (asprintf(&what, "compiling %s", source) < 0) {
		what = NULL;
		return &usp_error_no_memory;
	}
	int start_error, status = 0;
	struct usp_error *error = workdir_run(workdir, argv, &start_error, &status);
	return error ? error : judge(what, argv[0], start_error, status);
}

static bool is_object(const char *source)
{
	size_t n = strlen(source);
	return n > 2 && !strcmp(source + n - 2, ".o");
}

/* A name that begins with '-' would be taken for an option: "./-x.c" is not. The caller frees. */
static char *plain_name(const char *source)
{
	char *ret;
	return asprintf(&ret, "%s%s", *source == '-' ? "./" : "", source) < 0 ? NULL : ret;
}

static struct usp_error *link_objects(const struct usp_cc_options *options, const struct workdir *workdir,
				      const char *const objects[], size_t n, bool build_id,
				      const char *output)
{
	_cleanup_free_ const char **argv = calloc(n + 7, sizeof(char *));
	size_t k = 0;
	if (!argv)
		return &usp_error_no_memory;
	argv[k++] = "ld";
	argv[k++] = "-r";
	argv[k++] = build_id ? "--build-id=sha1" : "--build-id=none";
	argv[k++] = "-o";
	argv[k++] = output;
	for (size_t i = 0; i < n; i++)
		argv[k++] = objects[i];
	if (options)
		log_command(options, argv);
	int start_error, status = 0;
	struct usp_error *error = workdir_run(workdir, argv, &start_error, &status);
	return error ? error : judge("linking the payload", "ld (binutils)", start_error, status);
}

struct usp_error *compile_header(const struct workdir *workdir, char **include)
{
	_cleanup_free_ char *directory = workdir_path(workdir, "include/usplice");
	_cleanup_free_ char *payload = workdir_path(workdir, "include/usplice/payload.h");
	_cleanup_free_ char *shadow = workdir_path(workdir, "include/usplice/shadow.h");
	*include = workdir_path(workdir, "include");
	if (!directory || !payload || !shadow || !*include)
		return &usp_error_no_memory;
	if ((mkdir(*include, 0755) < 0 && errno != EEXIST) || (mkdir(directory, 0755) < 0 && errno != EEXIST))
		return usp_error_errno(USP_FAILED, errno, "cannot make %s", directory);
	struct usp_error *error = file_write(payload, payload_header, payload_header_size);
	return error ? error : file_write(shadow, shadow_header, shadow_header_size);
}

static void free_strings(char **v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(v[i]);
	free(v);
}

struct usp_error *compile_sources(const struct usp_cc_options *options, const struct workdir *workdir,
				  const struct compiler *compiler, const char *output)
{
	_cleanup_free_ char *include = NULL;
	struct usp_error *error = compile_header(workdir, &include);
	char **objects = calloc(options->n_sources, sizeof(char *));
	if (!error && !objects)
		error = &usp_error_no_memory;
	for (size_t i = 0; !error && i < options->n_sources; i++) {
		_cleanup_free_ char *source = plain_name(options->sources[i]);
		if (!source)
			error = &usp_error_no_memory;
		else if (access(source, R_OK) < 0)
			error = usp_error_errno(USP_FAILED, errno, "cannot read the source %s",
						options->sources[i]);
		if (error)
			break;
		if (is_object(source)) {
			objects[i] = source;
			source = NULL;
			continue;
		}
		objects[i] = workdir_path(workdir, "%zu.o", i);
		error = objects[i] ? compile_one(options, workdir, compiler, include, source, objects[i])
				   : &usp_error_no_memory;
	}
	if (!error)
		error = link_objects(options, workdir, (const char *const *)objects, options->n_sources,
				     false, output);
	if (objects)
		free_strings(objects, options->n_sources);
	return error;
}

/* The strings as assembler source: bytes, so that nothing in them needs quoting. */
static struct usp_error *write_info(const char *path, const char *const info[], size_t n)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);
	if (!f)
		return &usp_error_no_memory;
	fputs("\t.section .usplice.info,\"a\",@progbits\n", f);
	for (size_t i = 0; i < n; i++) {
		for (const char *p = info[i];; p++) {
			fprintf(f, "\t.byte 0x%02x\n", (unsigned char)*p);
			if (!*p)
				break;
		}
	}
	fputs("\t.section .note.GNU-stack,\"\",@progbits\n", f);
	struct usp_error *error = fclose(f) ? &usp_error_no_memory : file_write(path, text, size);
	free(text);
	return error;
}

struct usp_error *compile_assemble(const struct workdir *workdir, const struct compiler *compiler,
				   const char *source, const char *object)
{
	_cleanup_free_ const char **argv = calloc(compiler->n + 5, sizeof(char *));
	if (!argv)
		return &usp_error_no_memory;
	memcpy(argv, compiler->words, compiler->n * sizeof(char *));
	argv[compiler->n] = "-c";
	argv[compiler->n + 1] = "-o";
	argv[compiler->n + 2] = object;
	argv[compiler->n + 3] = source;
	int start_error, status = 0;
	struct usp_error *error = workdir_run(workdir, argv, &start_error, &status);
	return error ? error : judge("assembling the payload", argv[0], start_error, status);
}

struct usp_error *compile_finish(const struct workdir *workdir, const struct compiler *compiler,
				 const char *object, const char *const info[], size_t n, const char *output)
{
	_cleanup_free_ char *source = workdir_path(workdir, "info.s"),
			    *assembled = workdir_path(workdir, "info.o");
	if (!source || !assembled)
		return &usp_error_no_memory;
	struct usp_error *error = write_info(source, info, n);
	if (!error)
		error = compile_assemble(workdir, compiler, source, assembled);
	if (error)
		return error;
	const char *const objects[] = {object, assembled};
	return link_objects(NULL, workdir, objects, 2, true, output);
}
