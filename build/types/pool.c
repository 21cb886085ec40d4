// SPDX-License-Identifier: MIT
#include "build/types/pool.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "build/object/object.h"

void types_pool_deinit(struct types_pool *pool)
{
	for (size_t i = 0; i < pool->n; i++)
		free(pool->v[i]);
	free(pool->v);
	*pool = (struct types_pool){0};
}

void *types_pool_take(struct types_pool *pool, void *memory)
{
	if (!memory || !object_grow(&pool->v, pool->n, &pool->capacity, sizeof(*pool->v))) {
		free(memory);
		return NULL;
	}
	return pool->v[pool->n++] = memory;
}

char *types_pool_copy(struct types_pool *pool, const char *s)
{
	return types_pool_take(pool, strdup(s));
}

void types_text_printf(struct types_text *text, const char *format, ...)
{
	va_list ap;
	va_start(ap, format);
	int n = vsnprintf(text->p ? text->p + text->n : NULL, text->capacity - text->n, format, ap);
	va_end(ap);
	if (n < 0 || text->failed) {
		text->failed = true;
		return;
	}
	if ((size_t)n >= text->capacity - text->n) {
		size_t capacity = (text->n + (size_t)n + 1) * 2;
		char *p = realloc(text->p, capacity);
		if (!p) {
			text->failed = true;
			return;
		}
		text->p = p;
		text->capacity = capacity;
		va_start(ap, format);
		vsnprintf(p + text->n, capacity - text->n, format, ap);
		va_end(ap);
	}
	text->n += (size_t)n;
}

char *types_text_take(struct types_text *text, struct types_pool *pool)
{
	char *s = text->failed ? NULL : types_pool_copy(pool, text->p ? text->p : "");
	text->n = 0;
	text->failed = false;
	return s;
}

void types_text_deinit(struct types_text *text)
{
	free(text->p);
	*text = (struct types_text){0};
}
