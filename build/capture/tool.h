/* SPDX-License-Identifier: MIT */
/*
 * What a command line says about the files that its process writes. Goes by options, not by names of
 * compilers: what has `-o FILE` and leaves an object there has compiled it. Only linkers are known by name,
 * to tell an object that was compiled from one that was linked of others.
 */
#ifndef BUILD_CAPTURE_TOOL_H
#define BUILD_CAPTURE_TOOL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "build/capture/file.h"

struct capture_output {
	char *file; /* as the tool calls it */
	struct capture_stamp before;
};

/* A process that may write objects or linked files. */
struct capture_tool {
	struct capture_place place;
	char **words; /* its command line, the words of response files (@FILE) in place of them */
	size_t n_words;
	bool linker;
	struct capture_output *outputs; /* what it may write */
	size_t n_outputs;
};

/* Whether this program is a linker, by the name that it is called by. */
bool capture_is_linker(const char *program);
/* Whether it is a part of a compiler (as, clang -cc1): nobody writes such commands, its parent's says more. */
bool capture_is_inner(const char *const *words, size_t n);

/*
 * The tool that process pid has just become, from its command line; NULL: it writes nothing that counts.
 * The process must be stopped. What cannot be found out is an error.
 */
_must_check_ struct usp_error *capture_tool_create(pid_t pid, const char *const *words, size_t n_words,
						   struct capture_tool **ret);
void capture_tool_destroy(struct capture_tool *tool); /* NULL is fine */

/* The words between bytes at..end, quoted as gcc and ld do it, are added. False: out of memory. */
_must_check_ bool capture_words_split(const char *at, const char *end, char ***words, size_t *n,
				      size_t *capacity);

#endif
