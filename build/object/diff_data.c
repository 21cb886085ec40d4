// SPDX-License-Identifier: MIT
/* The verdicts on data: object_diff_data(). */
#include <string.h>

#include "build/object/diff.h"
#include "build/object/equal.h"

static bool is_constant(const struct object *object, const struct object_piece *p)
{
	return p->labels || object_piece_section(object, p)->kind == OBJECT_KIND_CONSTANT;
}

static struct usp_error *say(struct object_diff *diff, int side, uint32_t piece,
			     enum usp_diff_verdict verdict, const char *why)
{
	diff->verdicts[side][piece] = (struct object_verdict){.verdict = verdict, .why = why};
	uint32_t other = diff->pairs.other[side][piece];
	if (other != OBJECT_NONE)
		diff->verdicts[!side][other] = diff->verdicts[side][piece];
	return NULL;
}

/* A local constant: what uses it has been compared by its content, so here it is only told. */
static struct usp_error *judge_constant(struct object_diff *diff, struct object_equal *equal, int side,
					uint32_t piece)
{
	const struct object *here = diff->side[side], *there = diff->side[!side];
	const struct object_piece *p = &here->pieces[piece];
	bool known = false;
	for (uint32_t i = 0; i < there->n_pieces; i++) {
		const struct object_piece *q = &there->pieces[i];
		if (!q->symbol || q->global || !is_constant(there, q) || strcmp(q->base, p->base))
			continue;
		known = true;
		if (q->size != p->size ||
		    !(side ? object_equal_contents(equal, q, p) : object_equal_contents(equal, p, q)))
			continue;
		if (diff->pairs.other[side][piece] == OBJECT_NONE &&
		    diff->pairs.other[!side][i] == OBJECT_NONE) {
			diff->pairs.other[side][piece] = i;
			diff->pairs.other[!side][i] = piece;
		}
		return NULL;
	}
	if (side == OBJECT_BEFORE)
		return known ? NULL : say(diff, side, piece, USP_DIFF_REMOVED, NULL);
	return say(diff, side, piece, known ? USP_DIFF_CHANGED : USP_DIFF_ADDED,
		   p->labels ? "places in a function"
		   : known   ? "another content: goes with those who use it"
			     : NULL);
}

static struct usp_error *judge_added(struct object_diff *diff, uint32_t after)
{
	const struct object *object = diff->side[OBJECT_AFTER];
	const struct object_piece *a = &object->pieces[after];
	const struct object_section *s = object_piece_section(object, a);
	struct usp_error *error = say(diff, OBJECT_AFTER, after, USP_DIFF_ADDED, NULL);
	if (!error && s->kind == OBJECT_KIND_TLS)
		error = object_diff_problem(
			diff, USP_DIFF_PROBLEM_TLS, a->name,
			"a new thread-local variable: running threads have no room for it");
	if (!error && !object_kind_is_plain(s->name) && s->kind != OBJECT_KIND_RECORDS)
		error = object_diff_problem(diff, USP_DIFF_PROBLEM_SECTION, a->name,
					    "new in section %s: whoever walks that section will not find it",
					    s->name);
	/* The same name was there and was something else, or belonged to somebody else. */
	const struct object *before = diff->side[OBJECT_BEFORE];
	for (uint32_t i = 0; i < before->n_pieces && !error; i++) {
		const struct object_piece *b = &before->pieces[i];
		if (!b->symbol || diff->pairs.other[OBJECT_BEFORE][i] != OBJECT_NONE ||
		    object_piece_is_code(before, b) || strcmp(b->base, a->base) || b->labels)
			continue;
		error = object_diff_problem(
			diff, USP_DIFF_PROBLEM_DATA, a->name,
			"cannot be judged: a new variable (%llu bytes in %s), or the old one of "
			"this name (%llu bytes in %s)?",
			(unsigned long long)a->size, s->name, (unsigned long long)b->size,
			object_piece_section(before, b)->name);
	}
	return error;
}

static struct usp_error *judge_pair(struct object_diff *diff, struct object_equal *equal, uint32_t before,
				    uint32_t after)
{
	const struct object *objects[2] = {diff->side[OBJECT_BEFORE], diff->side[OBJECT_AFTER]};
	const struct object_piece *b = &objects[0]->pieces[before], *a = &objects[1]->pieces[after];
	const char *why;
	if (b->size != a->size)
		why = object_diff_text(diff, "its size changed: %llu bytes, was %llu",
				       (unsigned long long)a->size, (unsigned long long)b->size);
	else if (!object_equal_contents(equal, b, a))
		why = is_constant(objects[1], a) ? "its content changed" : "its initial value changed";
	else
		return NULL;
	if (!why)
		return &usp_error_no_memory;
	struct usp_error *error = say(diff, OBJECT_AFTER, after, USP_DIFF_CHANGED, why);
	return error ? error
		     : object_diff_problem(diff, USP_DIFF_PROBLEM_DATA, a->name,
					   "%s: the running program has the old one", why);
}

/* A table of exceptions that was compared with the functions that it belongs to. */
static bool is_covered(const struct object_diff *diff, int side, uint32_t piece)
{
	if (piece == OBJECT_NONE)
		return true;
	const struct object *object = diff->side[side];
	uint32_t section = object->pieces[piece].section;
	return object_except_is_table(&object->sections[section]) &&
	       object_except_covers(object, &diff->except[side], section);
}

/* Sections that are compared as a whole. */
static struct usp_error *judge_whole(struct object_diff *diff, struct object_equal *equal, uint32_t before,
				     uint32_t after)
{
	const struct object *side = diff->side[after == OBJECT_NONE ? OBJECT_BEFORE : OBJECT_AFTER];
	const struct object_piece *p = &side->pieces[after == OBJECT_NONE ? before : after];
	const struct object_section *s = object_piece_section(side, p);
	bool start = s->kind == OBJECT_KIND_START;
	const char *what = before == OBJECT_NONE ? "is new" : after == OBJECT_NONE ? "is gone" : "differs";
	if (before != OBJECT_NONE && after != OBJECT_NONE &&
	    object_equal_contents(equal, &diff->side[0]->pieces[before], &diff->side[1]->pieces[after]))
		return NULL;
	if (is_covered(diff, OBJECT_BEFORE, before) && is_covered(diff, OBJECT_AFTER, after))
		return NULL;
	return object_diff_problem(
		diff, start ? USP_DIFF_PROBLEM_START : USP_DIFF_PROBLEM_SECTION, s->name,
		start ? "section %s %s: what it lists runs when the program starts or ends, not when "
			"it is patched"
		      : "cannot be judged: section %s %s, and what it means is not known",
		s->name, what);
}

/* Variables without a name: only if nothing at all happened to them. */
static struct usp_error *judge_nameless(struct object_diff *diff, struct object_equal *equal, int side,
					uint32_t piece)
{
	const struct object *here = diff->side[side], *there = diff->side[!side];
	const struct object_piece *p = &here->pieces[piece];
	const struct object_section *s = object_piece_section(here, p);
	for (uint32_t i = 0; i < there->n_pieces; i++) {
		const struct object_piece *q = &there->pieces[i];
		if (q->symbol || q->offset != p->offset || q->size != p->size ||
		    strcmp(object_piece_section(there, q)->name, s->name))
			continue;
		if (side ? object_equal_contents(equal, q, p) : object_equal_contents(equal, p, q))
			return NULL;
	}
	return object_diff_problem(diff, USP_DIFF_PROBLEM_DATA, s->name,
				   "cannot be judged: data without a name at %s+0x%llx (%llu bytes) %s",
				   s->name, (unsigned long long)p->offset, (unsigned long long)p->size,
				   side ? "is new or differs" : "is gone or differs");
}

static struct usp_error *judge(struct object_diff *diff, struct object_equal *equal, int side, uint32_t i)
{
	const struct object *object = diff->side[side];
	const struct object_piece *p = &object->pieces[i];
	enum object_kind kind = object_piece_section(object, p)->kind;
	uint32_t other = diff->pairs.other[side][i];
	if (kind == OBJECT_KIND_CODE || (other != OBJECT_NONE && side == OBJECT_BEFORE))
		return NULL; /* pairs are judged once */
	if (kind == OBJECT_KIND_START || kind == OBJECT_KIND_SPECIAL)
		return side ? judge_whole(diff, equal, other, i) : judge_whole(diff, equal, i, OBJECT_NONE);
	if (!p->symbol) /* a constant without a name is what its users read */
		return kind == OBJECT_KIND_CONSTANT ? NULL : judge_nameless(diff, equal, side, i);
	if (is_constant(object, p) && !p->global)
		return judge_constant(diff, equal, side, i);
	if (side == OBJECT_BEFORE)
		return say(diff, side, i, USP_DIFF_REMOVED, NULL);
	return other == OBJECT_NONE ? judge_added(diff, i) : judge_pair(diff, equal, other, i);
}

struct usp_error *object_diff_data(struct object_diff *diff, struct object_equal *equal)
{
	struct usp_error *error = NULL;
	for (int side = OBJECT_AFTER; side >= OBJECT_BEFORE; side--)
		for (uint32_t i = 0; i < diff->side[side]->n_pieces && !error; i++)
			error = judge(diff, equal, side, i);
	return error;
}
