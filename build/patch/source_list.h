/* SPDX-License-Identifier: MIT */
/*
 * The list of what was in a source tree before patches touched it, a line each: "put NUMBER MODE PATH" (the content is in
 * the file NUMBER beside the list) or "remove PATH" (it was not there); "remake", once at most: all that was compiled
 * since has to be compiled again. A line is written before its file is touched; so what a killed run left is all in it.
 */
#ifndef BUILD_PATCH_SOURCE_LIST_H
#define BUILD_PATCH_SOURCE_LIST_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

enum source_what {
	SOURCE_PUT,    /* it was there */
	SOURCE_REMOVE, /* it is new: there are no number and mode */
	SOURCE_REMAKE, /* no file: path is "" */
};

struct source_entry {
	enum source_what what;
	unsigned number, mode;
	char *path; /* from the tree's root */
};

struct source_list {
	struct source_entry *v;
	size_t n, capacity;
};

/* directory: where the list is. None there: an empty one. */
_must_check_ struct usp_error *source_list_read(const char *directory, struct source_list *ret);
void source_list_deinit(struct source_list *list);

_must_check_ struct usp_error *source_list_add(const char *directory, const struct source_entry *entry);

#endif
