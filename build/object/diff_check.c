// SPDX-License-Identifier: MIT
/*
 * What those who will be taken in refer to: is it certain what is meant? object_diff_check().
 */
#include "build/object/diff.h"

static bool refers_to(const struct object_piece *p, uint32_t piece)
{
	for (size_t i = 0; i < p->n_references; i++)
		if (p->references[i].target == OBJECT_TARGET_PIECE && p->references[i].piece == piece)
			return true;
	return false;
}

/*
 * A place where one variable begins and another one, which the function uses as well, ends: it may mean the end of that
 * one. That makes no difference where the two lie side by side in the running program, too.
 */
static struct usp_error *check_edge(struct object_diff *diff, const struct object_piece *user,
				    const struct object_reference *r)
{
	const struct object *before = diff->side[OBJECT_BEFORE], *after = diff->side[OBJECT_AFTER];
	const struct object_piece *first = &after->pieces[r->piece - 1], *second = &after->pieces[r->piece];
	uint32_t x = diff->pairs.other[OBJECT_AFTER][r->piece - 1],
		 y = diff->pairs.other[OBJECT_AFTER][r->piece];
	/* Nobody needs the address of a string's end. */
	if (!first->symbol || object_piece_is_string(after, first) || !refers_to(user, r->piece - 1))
		return NULL;
	bool copied = object_piece_section(after, first)->kind == OBJECT_KIND_CONSTANT &&
		      !object_verdict_is_same(&diff->verdicts[OBJECT_AFTER][r->piece - 1]);
	if (!copied && x != OBJECT_NONE && y != OBJECT_NONE && y == x + 1 &&
	    before->pieces[x].section == before->pieces[y].section &&
	    before->pieces[x].offset + before->pieces[x].size == before->pieces[y].offset)
		return NULL;
	return object_diff_problem(
		diff, USP_DIFF_PROBLEM_AMBIGUOUS, user->name ? user->name : "code",
		"cannot be judged: at +0x%llx, is the end of %s meant, or the start of %s behind it?",
		(unsigned long long)r->offset, first->name, second->name ? second->name : "a constant");
}

struct usp_error *object_diff_check(struct object_diff *diff)
{
	const struct object *after = diff->side[OBJECT_AFTER];
	struct usp_error *error = NULL;
	for (uint32_t i = 0; i < after->n_pieces; i++) {
		const struct object_piece *p = &after->pieces[i];
		if (!object_piece_is_code(after, p) ||
		    object_verdict_is_same(&diff->verdicts[OBJECT_AFTER][i]))
			continue;
		for (size_t k = 0; k < p->n_references && !error; k++) {
			const struct object_reference *r = &p->references[k];
			if (r->target == OBJECT_TARGET_UNKNOWN)
				error = object_diff_problem(
					diff, USP_DIFF_PROBLEM_UNKNOWN, p->name ? p->name : "code",
					"cannot be judged: what +0x%llx refers to (%s+0x%llx) is "
					"nothing known",
					(unsigned long long)r->offset, after->sections[r->section].name,
					(unsigned long long)r->at);
			else if (r->target == OBJECT_TARGET_PIECE && r->edge)
				error = check_edge(diff, p, r);
		}
		if (error)
			return error;
	}
	return NULL;
}
