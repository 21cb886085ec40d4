// SPDX-License-Identifier: MIT
/* usp_diff_objects(): the comparison of two files, as its caller gets it. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "build/object/diff.h"
#include "build/object/show.h"

/* The public result is the first member: what it points at lives in the rest. */
struct report {
	struct usp_diff public;
	struct object_diff *diff;
	struct usp_diff_reference *references;
	size_t n_references;
};

static const struct object_verdict *verdict_of(const struct object_diff *diff, int side,
					       const struct object_piece *p)
{
	return &diff->verdicts[side][p - diff->side[side]->pieces];
}

static const char *print_name(struct object_diff *diff, const struct object *object,
			      const struct object_reference *r)
{
	struct object_reference plain = *r;
	plain.addend = 0;
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);
	if (!f)
		return NULL;
	object_show_reference(f, object, &plain);
	if (fclose(f)) {
		free(text);
		return NULL;
	}
	return object_diff_keep(diff, text);
}

static enum usp_diff_target target_of(const struct object *object, const struct object_reference *r)
{
	switch (r->target) {
	case OBJECT_TARGET_NAME:
		return USP_DIFF_IMPORT;
	case OBJECT_TARGET_STRING:
		return USP_DIFF_STRING;
	case OBJECT_TARGET_CONSTANT:
		return USP_DIFF_CONSTANT;
	case OBJECT_TARGET_PIECE:
		break;
	default:
		return USP_DIFF_OTHER;
	}
	switch (object->sections[object->pieces[r->piece].section].kind) {
	case OBJECT_KIND_CODE:
		return USP_DIFF_FUNCTION;
	case OBJECT_KIND_CONSTANT:
		return USP_DIFF_CONSTANT;
	case OBJECT_KIND_DATA:
	case OBJECT_KIND_BSS:
	case OBJECT_KIND_TLS:
		return USP_DIFF_VARIABLE;
	default:
		return USP_DIFF_OTHER;
	}
}

/* Not what points into the function itself. */
static bool leads_out(const struct object_diff *diff, const struct object_piece *p,
		      const struct object_reference *r)
{
	return r->width &&
	       (r->target != OBJECT_TARGET_PIECE || &diff->side[OBJECT_AFTER]->pieces[r->piece] != p);
}

static struct usp_error *add_references(struct report *report, const struct object_piece *p,
					struct usp_diff_function *f)
{
	struct object_diff *diff = report->diff;
	const struct object *after = diff->side[OBJECT_AFTER];
	f->references = report->references + report->n_references;
	for (size_t i = 0; i < p->n_references; i++) {
		const struct object_reference *r = &p->references[i];
		if (!leads_out(diff, p, r))
			continue;
		struct usp_diff_reference *to = &report->references[report->n_references++];
		*to = (struct usp_diff_reference){.target = target_of(after, r),
						  .name = print_name(diff, after, r),
						  .addend = r->addend,
						  .offset = r->offset,
						  .type = r->type};
		if (!to->name)
			return &usp_error_no_memory;
		if (r->target == OBJECT_TARGET_PIECE)
			to->verdict = diff->verdicts[OBJECT_AFTER][r->piece].verdict;
		f->n_references++;
	}
	return NULL;
}

static struct usp_error *add_function(struct report *report, int side, uint32_t i)
{
	struct object_diff *diff = report->diff;
	const struct object *object = diff->side[side];
	const struct object_piece *p = &object->pieces[i];
	const struct object_verdict *v = verdict_of(diff, side, p);
	uint32_t other = diff->pairs.other[side][i];
	struct usp_diff_function *f = &report->public.functions[report->public.n_functions++];
	*f = (struct usp_diff_function){.name = p->name,
					.section = object_piece_section(object, p)->name,
					.verdict = v->verdict,
					.why = v->why,
					.is_global = p->global};
	if (p->parent != OBJECT_NONE)
		f->part_of = object->pieces[p->parent].name;
	if (side == OBJECT_BEFORE) {
		f->name_before = p->name;
		f->size_before = p->size;
		return NULL;
	}
	f->size_after = p->size;
	if (other != OBJECT_NONE) {
		f->name_before = diff->side[OBJECT_BEFORE]->pieces[other].name;
		f->size_before = diff->side[OBJECT_BEFORE]->pieces[other].size;
	}
	return object_verdict_is_same(v) ? NULL : add_references(report, p, f);
}

static void add_data(struct report *report, int side, uint32_t i)
{
	const struct object_diff *diff = report->diff;
	const struct object *object = diff->side[side];
	const struct object_piece *p = &object->pieces[i];
	const struct object_section *s = object_piece_section(object, p);
	const struct object_verdict *v = verdict_of(diff, side, p);
	uint32_t other = diff->pairs.other[side][i];
	bool constant = p->labels || s->kind == OBJECT_KIND_CONSTANT;
	struct usp_diff_data *d = &report->public.data[report->public.n_data++];
	*d = (struct usp_diff_data){.name = p->name,
				    .section = s->name,
				    .target = constant ? USP_DIFF_CONSTANT : USP_DIFF_VARIABLE,
				    .verdict = v->verdict,
				    .why = v->why,
				    .is_global = p->global,
				    .is_reached = v->reached};
	if (side == OBJECT_BEFORE) {
		d->size_before = p->size;
		return;
	}
	d->size_after = p->size;
	if (other != OBJECT_NONE)
		d->size_before = diff->side[OBJECT_BEFORE]->pieces[other].size;
}

static struct usp_error *add_pieces(struct report *report)
{
	struct object_diff *diff = report->diff;
	for (int side = OBJECT_AFTER; side >= OBJECT_BEFORE; side--)
		for (uint32_t i = 0; i < diff->side[side]->n_pieces; i++) {
			const struct object_piece *p = &diff->side[side]->pieces[i];
			struct usp_error *error = NULL;
			if (!p->name || (side == OBJECT_BEFORE && diff->pairs.other[side][i] != OBJECT_NONE))
				continue;
			if (object_piece_is_code(diff->side[side], p))
				error = add_function(report, side, i);
			else if (diff->verdicts[side][i].verdict != USP_DIFF_SAME)
				add_data(report, side, i);
			if (error)
				return error;
		}
	return NULL;
}

static void add_ignored(struct report *report)
{
	for (int side = OBJECT_BEFORE; side <= OBJECT_AFTER; side++) {
		const struct object *object = report->diff->side[side];
		for (uint32_t i = 1; i < object->n_sections; i++) {
			const struct object_section *s = &object->sections[i];
			bool known = s->kind != OBJECT_KIND_IGNORED || !*s->name;
			for (size_t k = 0; k < report->public.n_ignored && !known; k++)
				known = !strcmp(report->public.ignored[k].section, s->name);
			if (!known)
				report->public.ignored[report->public.n_ignored++] =
					(struct usp_diff_ignored){
						.section = s->name,
						.why = object_kind_reason(s->name, s->type, s->flags)};
		}
	}
}

static bool is_same(const struct usp_diff *diff)
{
	for (size_t i = 0; i < diff->n_functions; i++)
		if (diff->functions[i].verdict > USP_DIFF_LINE_ONLY)
			return false;
	return !diff->n_data && !diff->n_problems;
}

static struct usp_error *fill(struct report *report)
{
	const struct object_diff *diff = report->diff;
	size_t n = (size_t)diff->side[0]->n_pieces + diff->side[1]->n_pieces + 1, n_references = 1;
	for (uint32_t i = 0; i < diff->side[OBJECT_AFTER]->n_pieces; i++)
		if (!object_verdict_is_same(&diff->verdicts[OBJECT_AFTER][i]))
			n_references += diff->side[OBJECT_AFTER]->pieces[i].n_references;
	struct usp_diff *public = &report->public;
	public->functions = calloc(n, sizeof(*public->functions));
	public->data = calloc(n, sizeof(*public->data));
	public->problems = calloc(diff->n_problems + 1, sizeof(*public->problems));
	public->ignored = calloc((size_t)diff->side[0]->n_sections + diff->side[1]->n_sections,
				 sizeof(*public->ignored));
	report->references = calloc(n_references, sizeof(*report->references));
	if (!public->functions || !public->data || !public->problems || !public->ignored ||
	    !report->references)
		return &usp_error_no_memory;
	struct usp_error *error = add_pieces(report);
	if (error)
		return error;
	for (size_t i = 0; i < diff->n_problems; i++)
	public->problems[public->n_problems++] = (struct usp_diff_problem){.kind = diff->problems[i].kind,
									   .name = diff->problems[i].name,
									   .text = diff->problems[i].text};
	add_ignored(report);
	public->is_same = is_same(public);
	return NULL;
}

struct usp_error *usp_diff_objects(const char *before, const char *after,
				   const struct usp_diff_options *options, struct usp_diff **ret)
{
	if (!before || !after || !ret || (options && options->size < sizeof(options->size)))
		return usp_errorf(USP_USAGE, "two objects are needed, and usp_diff_options.size");
	struct object *sides[2] = {NULL, NULL};
	struct usp_error *error = object_open(before, &sides[OBJECT_BEFORE]);
	if (!error)
		error = object_open(after, &sides[OBJECT_AFTER]);
	if (error) {
		object_close(sides[OBJECT_BEFORE]);
		return error;
	}
	struct object_diff *diff;
	error = object_diff(sides[OBJECT_BEFORE], sides[OBJECT_AFTER], &diff);
	if (error)
		return error;
	struct report *report = calloc(1, sizeof(*report));
	if (!report) {
		object_diff_destroy(diff);
		return &usp_error_no_memory;
	}
	report->diff = diff;
	error = fill(report);
	if (error) {
		usp_diff_destroy(&report->public);
		return error;
	}
	*ret = &report->public;
	return NULL;
}

void usp_diff_destroy(struct usp_diff *public)
{
	struct report *report = (struct report *)public;
	if (!report)
		return;
	free(report->public.functions);
	free(report->public.data);
	free(report->public.problems);
	free(report->public.ignored);
	free(report->references);
	object_diff_destroy(report->diff);
	free(report);
}
