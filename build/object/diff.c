// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include "build/object/diff.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "build/object/equal.h"

const char *object_diff_keep(struct object_diff *diff, char *text)
{
	if (text && object_grow(&diff->texts, diff->n_texts, &diff->text_capacity, sizeof(*diff->texts)))
		return diff->texts[diff->n_texts++] = text;
	free(text);
	return NULL;
}

static const char *vtext(struct object_diff *diff, const char *format, va_list ap)
{
	char *text;
	return vasprintf(&text, format, ap) < 0 ? NULL : object_diff_keep(diff, text);
}

const char *object_diff_text(struct object_diff *diff, const char *format, ...)
{
	va_list ap;
	va_start(ap, format);
	const char *text = vtext(diff, format, ap);
	va_end(ap);
	return text;
}

struct usp_error *object_diff_problem(struct object_diff *diff, enum usp_diff_problem_kind kind,
				      const char *name, const char *format, ...)
{
	va_list ap;
	va_start(ap, format);
	const char *text = vtext(diff, format, ap);
	va_end(ap);
	const char *copy = object_diff_text(diff, "%s", name);
	if (!text || !copy ||
	    !object_grow(&diff->problems, diff->n_problems, &diff->problem_capacity, sizeof(*diff->problems)))
		return &usp_error_no_memory;
	diff->problems[diff->n_problems++] =
		(struct object_problem){.kind = kind, .name = copy, .text = text};
	return NULL;
}

static void reach(struct object_diff *diff, uint32_t *queue, size_t *n, uint32_t piece)
{
	if (diff->verdicts[OBJECT_AFTER][piece].reached)
		return;
	diff->verdicts[OBJECT_AFTER][piece].reached = true;
	queue[(*n)++] = piece;
}

/* What changed functions refer to, and what that refers to; not beyond what is in the target as it is. */
static struct usp_error *find_reached(struct object_diff *diff)
{
	const struct object *after = diff->side[OBJECT_AFTER];
	_cleanup_free_ uint32_t *queue = calloc(after->n_pieces + (size_t)1, sizeof(*queue));
	size_t n = 0;
	if (!queue)
		return &usp_error_no_memory;
	for (uint32_t i = 0; i < after->n_pieces; i++)
		if (object_piece_is_code(after, &after->pieces[i]) &&
		    !object_verdict_is_same(&diff->verdicts[OBJECT_AFTER][i]))
			reach(diff, queue, &n, i);
	for (size_t i = 0; i < n; i++) {
		const struct object_piece *p = &after->pieces[queue[i]];
		bool stays = object_verdict_is_same(&diff->verdicts[OBJECT_AFTER][queue[i]]);
		for (size_t k = 0; !stays && k < p->n_references; k++)
			if (p->references[k].target == OBJECT_TARGET_PIECE)
				reach(diff, queue, &n, p->references[k].piece);
	}
	return NULL;
}

static struct usp_error *judge(struct object_diff *diff)
{
	struct object_equal equal;
	struct usp_error *error = object_equal_init(&diff->pairs, &equal);
	if (!error)
		error = object_diff_code(diff, &equal);
	if (!error)
		error = object_diff_data(diff, &equal);
	object_equal_deinit(&equal);
	if (!error)
		error = object_diff_symbols(diff);
	if (!error)
		error = find_reached(diff);
	return error ? error : object_diff_check(diff);
}

struct usp_error *object_diff(struct object *before, struct object *after, struct object_diff **ret)
{
	struct object_diff *diff = calloc(1, sizeof(*diff));
	if (!diff) {
		object_close(before);
		object_close(after);
		return &usp_error_no_memory;
	}
	diff->side[OBJECT_BEFORE] = before;
	diff->side[OBJECT_AFTER] = after;
	struct usp_error *error = NULL;
	for (int side = 0; side < 2; side++) {
		diff->verdicts[side] =
			calloc(diff->side[side]->n_pieces + (size_t)1, sizeof(**diff->verdicts));
		if (!diff->verdicts[side])
			error = &usp_error_no_memory;
		if (!error)
			error = object_except_read(diff->side[side], &diff->except[side]);
	}
	if (!error)
		error = object_pairs_init(before, after, &diff->pairs);
	if (!error)
		error = judge(diff);
	if (error) {
		object_diff_destroy(diff);
		return error;
	}
	*ret = diff;
	return NULL;
}

void object_diff_destroy(struct object_diff *diff)
{
	if (!diff)
		return;
	for (size_t i = 0; i < diff->n_texts; i++)
		free(diff->texts[i]);
	free(diff->texts);
	free(diff->problems);
	free(diff->verdicts[0]);
	free(diff->verdicts[1]);
	object_except_deinit(&diff->except[0]);
	object_except_deinit(&diff->except[1]);
	object_pairs_deinit(&diff->pairs);
	object_close(diff->side[0]);
	object_close(diff->side[1]);
	free(diff);
}
