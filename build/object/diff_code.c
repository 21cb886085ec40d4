// SPDX-License-Identifier: MIT
/* The verdicts on code: object_diff_code(). */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "build/object/compare.h"
#include "build/object/diff.h"
#include "build/object/show.h"

static void set_both(struct object_diff *diff, uint32_t after, enum usp_diff_verdict verdict, const char *why)
{
	uint32_t before = diff->pairs.other[OBJECT_AFTER][after];
	struct object_verdict *v = &diff->verdicts[OBJECT_AFTER][after];
	v->verdict = verdict;
	v->why = why;
	if (before != OBJECT_NONE)
		diff->verdicts[OBJECT_BEFORE][before] = *v;
}

static struct usp_error *compare_pair(struct object_diff *diff, struct object_equal *equal, uint32_t after)
{
	static const enum usp_diff_verdict verdicts[] = {[OBJECT_SAME] = USP_DIFF_SAME,
							 [OBJECT_SAME_BUT_LINES] = USP_DIFF_LINE_ONLY,
							 [OBJECT_DIFFERENT] = USP_DIFF_CHANGED};
	const struct object_piece *a = &diff->side[1]->pieces[after],
				  *b = &diff->side[0]->pieces[diff->pairs.other[OBJECT_AFTER][after]];
	struct object_difference difference;
	enum object_same same = object_compare(equal, b, a, &difference);
	const struct object_except *const except[2] = {&diff->except[0], &diff->except[1]};
	if (same != OBJECT_DIFFERENT &&
	    !object_except_equal(equal, except, diff->pairs.other[OBJECT_AFTER][after], after)) {
		set_both(diff, after, USP_DIFF_CHANGED, "what it does about exceptions is another");
		return NULL;
	}
	if (same == OBJECT_SAME)
		return NULL;
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);
	if (!f)
		return &usp_error_no_memory;
	object_show_difference(f, &diff->pairs, b, a, same, &difference);
	if (fclose(f)) {
		free(text);
		return &usp_error_no_memory;
	}
	const char *why = object_diff_keep(diff, text);
	if (!why)
		return &usp_error_no_memory;
	set_both(diff, after, verdicts[same], why);
	return NULL;
}

/* Code that no symbol names, and bytes that are no instructions: nobody can take these in. */
static struct usp_error *check_strange(struct object_diff *diff, int side, uint32_t i)
{
	const struct object *object = diff->side[side];
	const struct object_piece *p = &object->pieces[i];
	const struct object_section *s = object_piece_section(object, p);
	if (object_verdict_is_same(&diff->verdicts[side][i]))
		return NULL;
	if (!p->name)
		return object_diff_problem(
			diff, USP_DIFF_PROBLEM_UNKNOWN, s->name,
			"cannot be judged: the code at %s+0x%llx belongs to no function, and it "
			"differs",
			s->name, (unsigned long long)p->offset);
	if (p->opaque)
		return object_diff_problem(
			diff, USP_DIFF_PROBLEM_UNKNOWN, p->name,
			"cannot be judged: its bytes are not all instructions (behind +0x%x)",
			p->n_insns ? p->insns[p->n_insns - 1].offset : 0);
	return NULL;
}

static struct usp_error *change_parent(struct object_diff *diff, uint32_t parent, const char *part,
				       enum usp_diff_verdict verdict)
{
	struct object_verdict *v = &diff->verdicts[OBJECT_AFTER][parent];
	if (!object_verdict_is_same(v) || verdict <= v->verdict)
		return NULL;
	const char *why = object_diff_text(diff, "its part %s is another one", part);
	if (!why)
		return &usp_error_no_memory;
	set_both(diff, parent, verdict == USP_DIFF_LINE_ONLY ? verdict : USP_DIFF_CHANGED, why);
	return NULL;
}

/* A function and its .cold part are one, as compiled: one changed, both changed. */
static struct usp_error *join_parts(struct object_diff *diff)
{
	const struct object *before = diff->side[0], *after = diff->side[1];
	struct usp_error *error = NULL;
	for (uint32_t i = 0; i < after->n_pieces && !error; i++)
		if (after->pieces[i].parent != OBJECT_NONE)
			error = change_parent(diff, after->pieces[i].parent, after->pieces[i].name,
					      diff->verdicts[OBJECT_AFTER][i].verdict);
	for (uint32_t i = 0; i < before->n_pieces && !error; i++) {
		uint32_t parent = before->pieces[i].parent;
		if (parent != OBJECT_NONE && diff->verdicts[OBJECT_BEFORE][i].verdict == USP_DIFF_REMOVED &&
		    diff->pairs.other[OBJECT_BEFORE][parent] != OBJECT_NONE)
			error = change_parent(diff, diff->pairs.other[OBJECT_BEFORE][parent],
					      before->pieces[i].name, USP_DIFF_REMOVED);
	}
	for (uint32_t i = 0; i < after->n_pieces && !error; i++) {
		uint32_t parent = after->pieces[i].parent;
		if (parent == OBJECT_NONE ||
		    diff->verdicts[OBJECT_AFTER][parent].verdict != USP_DIFF_CHANGED ||
		    !object_verdict_is_same(&diff->verdicts[OBJECT_AFTER][i]))
			continue;
		const char *why = object_diff_text(diff, "%s, which it is a part of, changed",
						   after->pieces[parent].name);
		if (!why)
			return &usp_error_no_memory;
		set_both(diff, i, USP_DIFF_CHANGED, why);
	}
	return error;
}

/* Whoever refers to a piece is the same on both sides. */
static bool users_are_same(const struct object_diff *diff, uint32_t before)
{
	const uint32_t pieces[2] = {before, diff->pairs.other[OBJECT_BEFORE][before]};
	for (int side = 0; side < 2; side++) {
		const struct object *object = diff->side[side];
		for (uint32_t i = 0; i < object->n_pieces; i++) {
			const struct object_piece *p = &object->pieces[i];
			bool uses = false;
			for (size_t k = 0; k < p->n_references && !uses; k++)
				uses = p->references[k].target == OBJECT_TARGET_PIECE &&
				       p->references[k].piece == pieces[side];
			if ((uses || i == pieces[side]) && object_piece_is_code(object, p) &&
			    !object_verdict_is_same(&diff->verdicts[side][i]))
				return false;
		}
	}
	return true;
}

static struct usp_error *check_pairing(struct object_diff *diff)
{
	const struct object *before = diff->side[OBJECT_BEFORE];
	struct usp_error *error = NULL;
	for (uint32_t i = 0; i < before->n_pieces && !error; i++)
		if (diff->pairs.tentative[i] && !users_are_same(diff, i))
			error = object_diff_problem(
				diff, USP_DIFF_PROBLEM_AMBIGUOUS, before->pieces[i].name,
				"cannot be judged: there are several of this name, with the same "
				"users, and what uses them changed");
	for (size_t i = 0; i < diff->pairs.n_ambiguous && !error; i++)
		error = object_diff_problem(
			diff, USP_DIFF_PROBLEM_AMBIGUOUS, before->pieces[diff->pairs.ambiguous[i]].name,
			"cannot be judged: nothing shows which one of this name it became, if any");
	return error;
}

struct usp_error *object_diff_code(struct object_diff *diff, struct object_equal *equal)
{
	const struct object *after = diff->side[OBJECT_AFTER], *before = diff->side[OBJECT_BEFORE];
	struct usp_error *error = NULL;
	for (uint32_t i = 0; i < after->n_pieces && !error; i++) {
		if (!object_piece_is_code(after, &after->pieces[i]))
			continue;
		if (diff->pairs.other[OBJECT_AFTER][i] == OBJECT_NONE)
			diff->verdicts[OBJECT_AFTER][i].verdict = USP_DIFF_ADDED;
		else
			error = compare_pair(diff, equal, i);
		if (!error)
			error = check_strange(diff, OBJECT_AFTER, i);
	}
	for (uint32_t i = 0; i < before->n_pieces && !error; i++)
		if (object_piece_is_code(before, &before->pieces[i]) &&
		    diff->pairs.other[OBJECT_BEFORE][i] == OBJECT_NONE) {
			diff->verdicts[OBJECT_BEFORE][i].verdict = USP_DIFF_REMOVED;
			if (!before->pieces[i].name)
				error = check_strange(diff, OBJECT_BEFORE, i);
		}
	if (!error)
		error = join_parts(diff);
	return error ? error : check_pairing(diff);
}
