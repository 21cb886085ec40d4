// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include "build/capture/tool.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "build/file.h"
#include "build/object/object.h"

#define RESPONSE_MAX   ((size_t)64 << 20) /* bytes of a response file */
#define RESPONSE_DEPTH 8		  /* of files that name files */

static bool begins(const char *word, const char *with)
{
	return !strncmp(word, with, strlen(with));
}

/* "ld", "ld.lld-14", "x86_64-linux-gnu-ld.bfd", "rust-lld"; not "ld.so", "ld-linux-x86-64.so.2". */
bool capture_is_linker(const char *program)
{
	const char *at = basename(program);
	for (;;) {
		if (!strcmp(at, "ld") || (begins(at, "ld.") && !begins(at, "ld.so")) || !strcmp(at, "gold") ||
		    !strcmp(at, "lld") || begins(at, "lld-") || !strcmp(at, "mold") || !strcmp(at, "wild"))
			return true;
		at = strchr(at, '-');
		if (!at)
			return false;
		at++;
	}
}

static bool is_assembler(const char *program)
{
	const char *name = basename(program);
	size_t n = strlen(name);
	return !strcmp(name, "as") || (n > 3 && !strcmp(name + n - 3, "-as"));
}

bool capture_is_inner(const char *const *words, size_t n)
{
	return is_assembler(words[0]) || (n > 1 && begins(words[1], "-cc1"));
}

static bool words_add(const char *word, size_t length, char ***words, size_t *n, size_t *capacity)
{
	if (!object_grow(words, *n, capacity, sizeof(char *)))
		return false;
	(*words)[*n] = strndup(word, length);
	if (!(*words)[*n])
		return false;
	++*n;
	return true;
}

bool capture_words_split(const char *at, const char *end, char ***words, size_t *n, size_t *capacity)
{
	_cleanup_free_ char *word = malloc((size_t)(end - at) + 1);
	if (!word)
		return false;
	while (at < end) {
		size_t length = 0;
		bool any = false;
		char quote = 0;
		for (; at < end && (quote || !strchr(" \t\n\r\v\f", *at)); at++) {
			any = true;
			if (*at == '\\' && at + 1 < end) {
				word[length++] = *++at;
			} else if (quote ? *at == quote : *at == '\'' || *at == '"') {
				quote = quote ? 0 : *at;
			} else {
				word[length++] = *at;
			}
		}
		if (any && !words_add(word, length, words, n, capacity))
			return false;
		at++;
	}
	return true;
}

/* A name that is no file stays a word of itself, as in every tool that knows @FILE. */
static struct usp_error *expand(struct capture_tool *tool, size_t *capacity, const char *word, int depth)
{
	if (word[0] == '@' && word[1] && depth < RESPONSE_DEPTH) {
		_cleanup_free_ char *path = capture_place_reach(&tool->place, word + 1);
		_cleanup_free_ uint8_t *bytes = NULL;
		size_t size;
		if (!path)
			return &usp_error_no_memory;
		enum capture_format format;
		struct usp_error *error = capture_file_format(path, &format);
		if (!error && format == CAPTURE_OTHER) {
			error = file_read(path, RESPONSE_MAX, &bytes, &size);
			char **inner = NULL;
			size_t n = 0, inner_capacity = 0;
			if (!error && !capture_words_split((const char *)bytes, (const char *)bytes + size,
							   &inner, &n, &inner_capacity))
				error = &usp_error_no_memory;
			for (size_t i = 0; i < n; i++) {
				if (!error)
					error = expand(tool, capacity, inner[i], depth + 1);
				free(inner[i]);
			}
			free(inner);
			return usp_error_prefix(error, "response file %s", word + 1);
		}
		if (error)
			return error;
	}
	return words_add(word, strlen(word), &tool->words, &tool->n_words, capacity) ? NULL
										     : &usp_error_no_memory;
}

static struct usp_error *add_output(struct capture_tool *tool, size_t *capacity, const char *file,
				    size_t length, const char *suffix)
{
	if (!object_grow(&tool->outputs, tool->n_outputs, capacity, sizeof(*tool->outputs)))
		return &usp_error_no_memory;
	char *name = malloc(length + strlen(suffix) + 1);
	if (!name)
		return &usp_error_no_memory;
	memcpy(name, file, length);
	strcpy(name + length, suffix);
	struct capture_output *output = &tool->outputs[tool->n_outputs++];
	*output = (struct capture_output){.file = name};
	_cleanup_free_ char *path = capture_place_reach(&tool->place, name);
	if (!path)
		return &usp_error_no_memory;
	output->before = capture_file_stamp(path);
	return NULL;
}

/* The last one counts. */
static const char *stated_output(char *const *words, size_t n)
{
	const char *ret = NULL;
	for (size_t i = 1; i < n; i++) {
		const char *word = words[i];
		if (!strcmp(word, "-o") || !strcmp(word, "--output"))
			ret = i + 1 < n ? words[++i] : ret;
		else if (begins(word, "--output="))
			ret = word + strlen("--output=");
		else if (begins(word, "-o"))
			ret = word + 2;
	}
	return ret;
}

/* Where a compiler puts what it made of each source, when it is not told: beside itself, as NAME.o. */
static struct usp_error *add_by_source(struct capture_tool *tool, size_t *capacity)
{
	struct usp_error *error = NULL;
	for (size_t i = 1; !error && i < tool->n_words; i++) {
		const char *name = basename(tool->words[i]), *dot = strrchr(name, '.');
		if (tool->words[i][0] != '-' && dot)
			error = add_output(tool, capacity, name, (size_t)(dot - name), ".o");
	}
	return error;
}

static struct usp_error *find_outputs(struct capture_tool *tool)
{
	size_t capacity = 0;
	const char *program = tool->words[0], *name = basename(program);
	tool->linker = capture_is_linker(program);
	const char *output = stated_output(tool->words, tool->n_words);
	if (!output && (tool->linker || is_assembler(program)))
		output = "a.out";
	if (output)
		return add_output(tool, &capacity, output, strlen(output), "");
	bool compiles = !strcmp(name, "nasm") || !strcmp(name, "yasm");
	for (size_t i = 1; i < tool->n_words; i++)
		compiles = compiles || !strcmp(tool->words[i], "-c");
	return compiles ? add_by_source(tool, &capacity) : NULL;
}

/* Most processes of a build are none of ours, and nothing is opened for them. */
static bool worth_a_look(const char *const *words, size_t n)
{
	if (!n)
		return false;
	const char *name = basename(words[0]);
	if (capture_is_linker(name) || is_assembler(name) || !strcmp(name, "nasm") || !strcmp(name, "yasm"))
		return true;
	for (size_t i = 1; i < n; i++) {
		if (begins(words[i], "-o") || begins(words[i], "--output") || !strcmp(words[i], "-c") ||
		    words[i][0] == '@')
			return true;
	}
	return false;
}

struct usp_error *capture_tool_create(pid_t pid, const char *const *words, size_t n_words,
				      struct capture_tool **ret)
{
	*ret = NULL;
	if (!worth_a_look(words, n_words))
		return NULL;
	struct capture_tool *tool = calloc(1, sizeof(*tool));
	if (!tool)
		return &usp_error_no_memory;
	int r = capture_place_open(pid, &tool->place);
	struct usp_error *error = NULL;
	if (r && r != -ESRCH && r != -ENOENT) /* these two: it was killed meanwhile */
		error = usp_error_errno(USP_FAILED, -r, "cannot see where process %d (%s) of the build runs",
					(int)pid, words[0]);
	size_t capacity = 0;
	for (size_t i = 0; !r && !error && i < n_words; i++)
		error = expand(tool, &capacity, words[i], i ? 0 : RESPONSE_DEPTH);
	if (!r && !error)
		error = find_outputs(tool);
	if (!error && tool->n_outputs)
		*ret = tool;
	else
		capture_tool_destroy(tool);
	return error;
}

void capture_tool_destroy(struct capture_tool *tool)
{
	if (!tool)
		return;
	capture_place_close(&tool->place);
	for (size_t i = 0; i < tool->n_words; i++)
		free(tool->words[i]);
	free(tool->words);
	for (size_t i = 0; i < tool->n_outputs; i++)
		free(tool->outputs[i].file);
	free(tool->outputs);
	free(tool);
}
