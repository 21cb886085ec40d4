// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include "build/capture/link.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "build/capture/archive.h"
#include "build/file.h"
#include "build/object/object.h"

#define SCRIPT_MAX   (1 << 20) /* bytes; what is larger is no linker script */
#define SCRIPT_DEPTH 4	       /* of scripts that name scripts */

struct link {
	const struct capture_tool *tool;
	const char **directories; /* of -L */
	size_t n_directories, directories_capacity;
	const char *sysroot;
	bool archives_only; /* -Bstatic */
	int depth;	    /* of linker scripts */
	char **archives;    /* read already: compilers name the same ones again and again (-lgcc) */
	size_t n_archives, archives_capacity;
	struct capture_input *inputs;
	size_t n_inputs, inputs_capacity;
};

/* Takes the path. */
static struct usp_error *add_input(struct link *link, char *path, const uint8_t *hash)
{
	if (!path ||
	    !object_grow(&link->inputs, link->n_inputs, &link->inputs_capacity, sizeof(*link->inputs))) {
		free(path);
		return &usp_error_no_memory;
	}
	struct capture_input *input = &link->inputs[link->n_inputs++];
	input->path = path;
	memcpy(input->hash, hash, sizeof(input->hash));
	return NULL;
}

/* ---- archives ---- */

struct archive_members {
	struct link *link;
	const char *file; /* as the linker calls it */
	char *shown;
};

static struct usp_error *add_member(struct archive_members *members, const char *name, const uint8_t *hash)
{
	char *path;
	if (asprintf(&path, "%s(%s)", members->shown, name) < 0)
		path = NULL;
	return add_input(members->link, path, hash);
}

static struct usp_error *take_held(void *context, const struct capture_member *member)
{
	uint8_t hash[PAYLOAD_HASH_SIZE];
	struct usp_error *error = capture_hash(member->bytes, member->size, hash);
	return error ? error : add_member(context, member->name, hash);
}

/* A member is taken from a file beside the archive, or from an archive there. */
static struct usp_error *take_thin(struct archive_members *members, const struct capture_member *member)
{
	const char *slash = member->name[0] == '/' ? NULL : strrchr(members->file, '/');
	_cleanup_free_ char *file = NULL;
	if (asprintf(&file, "%.*s%s", slash ? (int)(slash + 1 - members->file) : 0, members->file,
		     member->name) < 0) {
		file = NULL;
		return &usp_error_no_memory;
	}
	_cleanup_free_ char *path = capture_place_reach(&members->link->tool->place, file);
	if (!path)
		return &usp_error_no_memory;
	enum capture_format format;
	uint8_t hash[PAYLOAD_HASH_SIZE];
	struct usp_error *error = capture_file_format(path, &format);
	if (error || format == CAPTURE_NO_FILE) /* then the linker has not needed it */
		return error;
	if (!member->nested) {
		error = capture_file_hash(path, hash);
		return error ? error : add_member(members, member->name, hash);
	}
	_cleanup_free_ uint8_t *bytes = NULL;
	size_t size;
	error = file_read(path, CAPTURE_FILE_MAX, &bytes, &size);
	return error ? error
		     : capture_archive_at(member->name, bytes, size, member->nested, take_held, members);
}

static struct usp_error *take_member(void *context, const struct capture_member *member)
{
	return member->bytes ? take_held(context, member) : take_thin(context, member);
}

static struct usp_error *add_archive(struct link *link, const char *file, const char *path)
{
	_cleanup_free_ char *shown = capture_place_name(&link->tool->place, file);
	_cleanup_free_ uint8_t *bytes = NULL;
	size_t size;
	if (!shown)
		return &usp_error_no_memory;
	for (size_t i = 0; i < link->n_archives; i++) {
		if (!strcmp(link->archives[i], shown))
			return NULL;
	}
	char *name = strdup(shown);
	if (!name ||
	    !object_grow(&link->archives, link->n_archives, &link->archives_capacity, sizeof(char *))) {
		free(name);
		return &usp_error_no_memory;
	}
	link->archives[link->n_archives++] = name;
	struct usp_error *error = file_read(path, CAPTURE_FILE_MAX, &bytes, &size);
	struct archive_members members = {.link = link, .file = file, .shown = shown};
	if (!error)
		error = capture_archive_each(shown, bytes, size, take_member, &members);
	return usp_error_prefix(error, "archive %s", shown);
}

/* ---- files and libraries ---- */

static struct usp_error *add_script(struct link *link, const char *file, const char *path);

static struct usp_error *add_file(struct link *link, const char *file, bool *there)
{
	_cleanup_free_ char *path = capture_place_reach(&link->tool->place, file);
	if (!path)
		return &usp_error_no_memory;
	enum capture_format format;
	uint8_t hash[PAYLOAD_HASH_SIZE];
	struct usp_error *error = capture_file_format(path, &format);
	*there = format != CAPTURE_NO_FILE;
	if (error)
		return error;
	switch (format) {
	case CAPTURE_RELOCATABLE:
	case CAPTURE_BITCODE:
		error = capture_file_hash(path, hash);
		return error ? error : add_input(link, capture_place_name(&link->tool->place, file), hash);
	case CAPTURE_ARCHIVE:
		return add_archive(link, file, path);
	case CAPTURE_OTHER:
		return add_script(link, file, path);
	case CAPTURE_NO_FILE:
	case CAPTURE_LINKED:
		break;
	}
	return NULL;
}

/* In one directory of -L; "=lib" and "$SYSROOT/lib" are below the system root. */
static struct usp_error *add_from(struct link *link, const char *directory, const char *before,
				  const char *name, const char *after, bool *there)
{
	_cleanup_free_ char *file = NULL;
	const char *sysroot = "";
	if (*directory == '=' || !strncmp(directory, "$SYSROOT", 8)) {
		sysroot = link->sysroot ? link->sysroot : "";
		directory += *directory == '=' ? 1 : 8;
	}
	if (asprintf(&file, "%s%s/%s%s%s", sysroot, directory, before, name, after) < 0) {
		file = NULL;
		return &usp_error_no_memory;
	}
	return add_file(link, file, there);
}

static struct usp_error *add_library(struct link *link, const char *name)
{
	bool there = false;
	struct usp_error *error = NULL;
	for (size_t i = 0; !error && !there && i < link->n_directories; i++) {
		const char *directory = link->directories[i];
		if (*name == ':') {
			error = add_from(link, directory, "", name + 1, "", &there);
			continue;
		}
		if (!link->archives_only)
			error = add_from(link, directory, "lib", name, ".so", &there);
		if (!error && !there)
			error = add_from(link, directory, "lib", name, ".a", &there);
	}
	return error;
}

/* ---- linker scripts: INPUT(a.o -lx AS_NEEDED(liby.so)), GROUP(...) ---- */

static struct usp_error *add_named(struct link *link, const char *name)
{
	bool there;
	if (!strncmp(name, "-l", 2))
		return add_library(link, name + 2);
	struct usp_error *error = add_file(link, name, &there);
	for (size_t i = 0; !error && !there && *name != '/' && i < link->n_directories; i++)
		error = add_from(link, link->directories[i], "", name, "", &there);
	return error;
}

static struct usp_error *read_script(struct link *link, const char *text)
{
	static const char separators[] = " \t\r\n,;\"";
	struct usp_error *error = NULL;
	int depth = 0; /* of parentheses, from the one after INPUT or GROUP on */
	bool opens = false;
	for (const char *at = text; !error && *at;) {
		at += strspn(at, separators);
		if (!strncmp(at, "/*", 2)) {
			const char *end = strstr(at + 2, "*/");
			at = end ? end + 2 : at + strlen(at);
			continue;
		}
		if (*at == '(' || *at == ')') {
			if (*at == '(')
				depth += depth || opens;
			else if (depth)
				depth--;
			opens = false;
			at++;
			continue;
		}
		size_t length = strcspn(at, " \t\r\n,;\"()");
		_cleanup_free_ char *word = strndup(at, length);
		if (!word)
			return &usp_error_no_memory;
		at += length;
		opens = !strcmp(word, "INPUT") || !strcmp(word, "GROUP");
		if (depth && *word && strcmp(word, "AS_NEEDED") != 0)
			error = add_named(link, word);
	}
	return error;
}

static struct usp_error *add_script(struct link *link, const char *file, const char *path)
{
	_cleanup_free_ uint8_t *bytes = NULL;
	size_t size;
	if (capture_file_stamp(path).size > SCRIPT_MAX)
		return NULL;
	struct usp_error *error = file_read(path, SCRIPT_MAX, &bytes, &size);
	if (error || memchr(bytes, '\0', size))
		return error;
	if (link->depth == SCRIPT_DEPTH)
		return usp_errorf(USP_BAD_PAYLOAD, "linker script %s: too many that name one another", file);
	_cleanup_free_ char *text = strndup((const char *)bytes, size);
	if (!text)
		return &usp_error_no_memory;
	link->depth++;
	error = read_script(link, text);
	link->depth--;
	return error;
}

/* ---- the command line ---- */

/*
 * The argument of an option, or NULL: "-Ldir", "-L dir", "--library-path=dir", "--library-path dir". Steps
 * over the word that is the argument.
 */
static const char *argument(const struct capture_tool *tool, size_t *i, const char *letter, const char *name)
{
	const char *word = tool->words[*i], *next = *i + 1 < tool->n_words ? tool->words[*i + 1] : "";
	size_t n = strlen(name);
	if (*name) {
		/* ld takes long options with one '-' as well, but for those that begin with an 'o'. */
		const char *rest = word[0] == '-' ? word + 1 + (word[1] == '-') : "";
		if (!strncmp(rest, name, n) && rest[n] == '=')
			return rest + n + 1;
		if (!strcmp(rest, name)) {
			++*i;
			return next;
		}
	}
	if (*letter && !strncmp(word, letter, 2)) {
		if (word[2])
			return word + 2;
		++*i;
		return next;
	}
	return NULL;
}

static bool is_one_of(const char *word, const char *const *list)
{
	for (; *list; list++) {
		if (!strcmp(word, *list))
			return true;
	}
	return false;
}

/* Directories count for every library, wherever they stand. */
static struct usp_error *find_directories(struct link *link)
{
	for (size_t i = 1; i < link->tool->n_words; i++) {
		const char *found = argument(link->tool, &i, "", "sysroot");
		if (found) {
			link->sysroot = found;
			continue;
		}
		found = argument(link->tool, &i, "-L", "library-path");
		if (!found)
			continue;
		if (!object_grow(&link->directories, link->n_directories, &link->directories_capacity,
				 sizeof(*link->directories)))
			return &usp_error_no_memory;
		link->directories[link->n_directories++] = found;
	}
	return NULL;
}

static struct usp_error *find_inputs(struct link *link)
{
	static const char *const archives_only[] = {"-Bstatic", "-dn",	     "-non_shared",
						    "-static",	"--Bstatic", NULL};
	static const char *const libraries_too[] = {"-Bdynamic", "-dy", "-call_shared", "--Bdynamic", NULL};
	struct usp_error *error = NULL;
	for (size_t i = 1; !error && i < link->tool->n_words; i++) {
		const char *word = link->tool->words[i], *found;
		bool there;
		if (is_one_of(word, archives_only))
			link->archives_only = true;
		else if (is_one_of(word, libraries_too))
			link->archives_only = false;
		else if (argument(link->tool, &i, "-o", "output") ||
			 argument(link->tool, &i, "-L", "library-path"))
			continue;
		else if ((found = argument(link->tool, &i, "-l", "library")))
			error = add_library(link, found);
		else if (word[0] != '-')
			error = add_file(link, word, &there);
	}
	return error;
}

struct usp_error *capture_link_inputs(const struct capture_tool *tool, struct capture_input **inputs,
				      size_t *n)
{
	struct link link = {.tool = tool};
	struct usp_error *error = find_directories(&link);
	if (!error)
		error = find_inputs(&link);
	for (size_t i = 0; i < link.n_archives; i++)
		free(link.archives[i]);
	free(link.archives);
	free(link.directories);
	*inputs = link.inputs;
	*n = link.n_inputs;
	return error;
}

void capture_inputs_free(struct capture_input *inputs, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(inputs[i].path);
	free(inputs);
}
