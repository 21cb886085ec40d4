/* SPDX-License-Identifier: MIT */
/*
 * What a patch has made of one object: a verdict for each function and variable, and what stands in the way of patching
 * it live. Nothing is left out: what cannot be judged is a problem by name, never "same". Whoever makes a payload walks
 * the pieces of the object after (object.h) whose verdict is not SAME, and their references.
 */
#ifndef BUILD_OBJECT_DIFF_H
#define BUILD_OBJECT_DIFF_H

#include <usplice/build.h>

#include "build/object/except.h"
#include "build/object/pair.h"

struct object_verdict {
	enum usp_diff_verdict verdict;
	const char *why; /* NULL: nothing to say */
	bool reached; /* after: a function that has to be taken in, or what such a one refers to, and so on */
};

struct object_problem {
	enum usp_diff_problem_kind kind;
	const char *name; /* of what it is about */
	const char *text;
};

struct object_diff {
	struct object *side[2];
	struct object_pairs pairs;
	struct object_except except[2];
	struct object_verdict *verdicts[2]; /* of each piece; twins have the same */
	struct object_problem *problems;
	size_t n_problems, problem_capacity;
	char **texts; /* what the strings point to */
	size_t n_texts, text_capacity;
};

/* Takes both objects, also on failure. */
_must_check_ struct usp_error *object_diff(struct object *before, struct object *after,
					   struct object_diff **ret);
void object_diff_destroy(struct object_diff *diff); /* NULL is fine */

/* The parts of it: functions first (diff_code.c), then data, then what is wrong with either. */
struct object_equal;
_must_check_ struct usp_error *object_diff_code(struct object_diff *diff, struct object_equal *equal);
_must_check_ struct usp_error *object_diff_data(struct object_diff *diff, struct object_equal *equal);
_must_check_ struct usp_error *object_diff_symbols(struct object_diff *diff);
_must_check_ struct usp_error *object_diff_check(struct object_diff *diff);

/* A string that lives as long as diff; NULL: out of memory. object_diff_keep() takes one from malloc. */
const char *object_diff_text(struct object_diff *diff, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
const char *object_diff_keep(struct object_diff *diff, char *text);

_must_check_ struct usp_error *object_diff_problem(struct object_diff *diff, enum usp_diff_problem_kind kind,
						   const char *name, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/* A function or variable that was local (static) before, and has the same name as a global one now. */
bool object_diff_became_global(const struct object_diff *diff, uint32_t piece);

/* Same or only its line numbers moved. */
static inline bool object_verdict_is_same(const struct object_verdict *v)
{
	return v->verdict == USP_DIFF_SAME || v->verdict == USP_DIFF_LINE_ONLY;
}

#endif
