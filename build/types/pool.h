/* SPDX-License-Identifier: MIT */
/*
 * Strings that live as long as the comparison of types that made them, and one that grows. Both remember
 * that memory ran out, so that it is asked once, at the end.
 */
#ifndef BUILD_TYPES_POOL_H
#define BUILD_TYPES_POOL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

struct types_pool {
	void **v;
	size_t n, capacity;
};

struct types_text {
	char *p; /* always ends with a zero, NULL when empty */
	size_t n, capacity;
	bool failed;
};

void types_pool_deinit(struct types_pool *pool);
/* Takes what malloc() gave; NULL stays NULL. NULL: out of memory, and it is freed. */
void *types_pool_take(struct types_pool *pool, void *memory);
char *types_pool_copy(struct types_pool *pool, const char *s);

void types_text_printf(struct types_text *text, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* Hands what was written to the pool and empties the text. NULL: out of memory, now or before. */
char *types_text_take(struct types_text *text, struct types_pool *pool);
void types_text_deinit(struct types_text *text);

#endif
