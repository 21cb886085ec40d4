// SPDX-License-Identifier: MIT
/* Each object of the target that is not what it was: compared, placed, proven, its types compared: build_judge(). */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "build/patch/build.h"
#include "build/definitions.h"
#include "build/file.h"
#include "build/libraries.h"
#include "build/log.h"
#include "build/place/proof.h"
#include "build/types/types.h"

#define DIFFERENCES_MAX 5 /* of one object */

static const char *const problem_kinds[] = {
	[USP_DIFF_PROBLEM_DATA] = "data",	[USP_DIFF_PROBLEM_AMBIGUOUS] = "ambiguous",
	[USP_DIFF_PROBLEM_UNKNOWN] = "unknown", [USP_DIFF_PROBLEM_SECTION] = "section",
	[USP_DIFF_PROBLEM_START] = "start",	[USP_DIFF_PROBLEM_TLS] = "tls",
	[USP_DIFF_PROBLEM_SYMBOL] = "symbol",
};

static struct usp_error *open_object(const struct build_object *o, const struct capture_object *from,
				     struct object **ret)
{
	_cleanup_free_ uint8_t *bytes = NULL;
	size_t size;
	struct usp_error *error = file_read(from->stored, OBJECT_FILE_MAX, &bytes, &size);
	return error ? error : object_from_memory(o->name, bytes, size, ret);
}

static struct usp_error *compare(struct build_object *o)
{
	struct object *before = NULL, *after = NULL;
	/* What is only in one of the builds is compared with nothing. */
	struct usp_error *error =
		o->before ? open_object(o, o->before, &before) : object_empty(o->name, &before);
	if (!error)
		error = o->after ? open_object(o, o->after, &after) : object_empty(o->name, &after);
	if (!error)
		return object_diff(before, after, &o->diff);
	object_close(before);
	object_close(after);
	return error;
}

/* ---- the proof of the original ---- */

static struct usp_error *differs(struct build *build, const struct build_object *o, const char *name,
				 const char *difference)
{
	_cleanup_free_ char *cause = NULL, *text = NULL;
	struct usp_error *error = proof_cause(o->diff->side[OBJECT_BEFORE], build->names, &cause);
	if (error)
		return error;
	if (asprintf(&text, "the rebuilt original is not what the target is made of: %s%s%s", difference,
		     cause ? "; " : "", cause ? cause : "") < 0) {
		text = NULL;
		return &usp_error_no_memory;
	}
	return build_report_finding(build, "proof", false, o->name, name, text);
}

/*
 * Of a COMDAT function that several objects have the linker keeps one copy, and compilers do not make them all alike. Where
 * the patch does not change it, nothing of this copy is used: who refers to it means the target's.
 */
static bool is_another_objects(const struct build_object *o, uint32_t i)
{
	const struct object *before = o->diff->side[OBJECT_BEFORE];
	return object_piece_section(before, &before->pieces[i])->group &&
	       object_verdict_is_same(&o->diff->verdicts[OBJECT_BEFORE][i]);
}

/* *different: counted; what is beyond DIFFERENCES_MAX is not told, the first ones say it all. */
static struct usp_error *prove_piece(struct build *build, const struct build_object *o, uint32_t i,
				     bool *found, size_t *different)
{
	const struct object *before = o->diff->side[OBJECT_BEFORE];
	_cleanup_free_ char *difference = NULL;
	struct usp_error *error = proof_piece(before, &o->place, i, build->against.module, &difference);
	if (error && error->code == USP_NOT_FOUND) { /* the linker left it out */
		usp_error_destroy(error);
		return NULL;
	}
	*found = true;
	build->report->n_proven += !error && !difference;
	if (error || !difference || is_another_objects(o, i) || (*different)++ >= DIFFERENCES_MAX)
		return error;
	return differs(build, o, before->pieces[i].name, difference);
}

/* Whether this build's own linker took something of it; also if that cannot be told. */
static struct usp_error *is_linked(struct build *build, const struct object *before, bool *ret)
{
	struct module *linked = NULL;
	struct symbol_table *table;
	struct usp_error *error = module_open_file(build->linked_before->stored, &linked);
	if (error)
		return error;
	error = symbol_table_full(linked, &table);
	*ret = true;
	if (!error && table->has_symtab)
		error = definitions_have(linked, before, ret);
	module_close(linked);
	return error;
}

static bool is_changed(const struct object_diff *diff)
{
	for (int side = 0; side < 2; side++)
		for (uint32_t i = 0; i < diff->side[side]->n_pieces; i++)
			if (!object_verdict_is_same(&diff->verdicts[side][i]))
				return true;
	return diff->n_problems;
}

static struct usp_error *prove(struct build *build, struct build_object *o)
{
	const struct object *before = o->diff->side[OBJECT_BEFORE];
	if (!o->before)
		return NULL;
	struct usp_error *error = place_object(before, build->names, build->against.module, &o->place);
	o->placed = !error;
	bool found = false, has_code = false;
	size_t different = 0;
	for (uint32_t i = 0; i < before->n_pieces && !error; i++) {
		if (!object_piece_is_code(before, &before->pieces[i]) || !before->pieces[i].name)
			continue;
		has_code = true;
		error = prove_piece(build, o, i, &found, &different);
	}
	if (error || !has_code || found)
		return error;
	bool linked;
	error = is_linked(build, before, &linked);
	if (error)
		return error;
	o->left_out = !linked;
	if (o->left_out && !is_changed(o->diff))
		return NULL;
	return build_report_finding(build, linked ? "proof" : "input", !linked, o->name, o->name,
				    linked ? "no function of it is found in the target"
					   : "was offered to the linker, which took nothing of it");
}

/* ---- findings ---- */

static struct usp_error *tell_problems(struct build *build, const struct build_object *o)
{
	struct usp_error *error = NULL;
	for (size_t i = 0; i < o->diff->n_problems && !error; i++) {
		const struct object_problem *p = &o->diff->problems[i];
		error = build_report_finding(build, problem_kinds[p->kind], false, o->name, p->name, p->text);
	}
	return error;
}

static struct usp_error *tell_type(struct build *build, const struct build_object *o,
				   const struct types_change *change)
{
	bool is_note = false;
	const char *hint = "";
	switch (change->kind) {
	case TYPES_LAYOUT:
		is_note = change->kept != TYPES_KEPT_NOT;
		hint = change->kept == TYPES_KEPT_REREAD
			       ? "; what objects that exist hold there is read as that"
		       : is_note ? "; it fits into what was unused, and objects that exist hold there what "
				   "happened to be there"
				 : "; objects that exist have the old layout";
		break;
	case TYPES_SIGNATURE:
		/* Within the module the callers have changed with it, and all switch at one time. */
		is_note = !module_exports(build->against.module, change->name);
		hint = is_note ? "; its callers are replaced with it: never use --consistency none"
			       : "; other modules may call it as it was";
		break;
	case TYPES_VARIABLE:
		/* Another size, and another value, are findings of their own. */
		is_note = change->kept != TYPES_KEPT_NOT;
		hint = is_note ? "" : "; what it holds, or points to, was made as that";
		break;
	case TYPES_ENUM:
		hint = "; what is stored has the old value";
		break;
	case TYPES_UNKNOWN:
		break;
	}
	_cleanup_free_ char *text = NULL;
	if (asprintf(&text, "%s%s", change->text, hint) < 0) {
		text = NULL;
		return &usp_error_no_memory;
	}
	bool is_path = !strcmp(change->name, o->before->stored) || !strcmp(change->name, o->after->stored);
	return build_report_finding(build, types_kind_word(change->kind), is_note, o->name,
				    is_path ? o->name : change->name, text);
}

/* All names of the functions that changed or are new. */
static size_t changed_functions(const struct build_object *o, const char **names)
{
	const struct object *after = o->diff->side[OBJECT_AFTER];
	size_t n = 0;
	for (uint32_t i = 1; i < after->n_symbols; i++) {
		const struct object_symbol *s = &after->symbols[i];
		if (s->type != STT_FUNC || s->section == SHN_UNDEF || s->section >= after->n_sections)
			continue;
		const struct object_piece *p = object_piece_at(after, s->section, s->value);
		if (p && p->offset == s->value &&
		    !object_verdict_is_same(&o->diff->verdicts[OBJECT_AFTER][p - after->pieces]))
			names[n++] = s->name;
	}
	return n;
}

static struct usp_error *compare_types(struct build *build, const struct build_object *o)
{
	const struct object *after = o->diff->side[OBJECT_AFTER];
	struct types_report *types = NULL;
	if (!o->before || !o->after)
		return NULL;
	_cleanup_free_ const char **names = calloc(after->n_symbols + (size_t)1, sizeof(*names));
	if (!names)
		return &usp_error_no_memory;
	size_t n = changed_functions(o, names);
	if (!n)
		return NULL;
	struct usp_error *error = types_compare(o->before->stored, o->after->stored, names, n, &types);
	for (size_t i = 0; !error && i < types->n; i++)
		error = tell_type(build, o, &types->v[i]);
	types_report_destroy(types);
	return error;
}

/* ---- what the patch itself says to usplice ---- */

static bool has_records(const struct build *build)
{
	for (size_t i = 0; i < build->n_objects; i++) {
		const struct object *after = build->objects[i].diff->side[OBJECT_AFTER];
		for (uint32_t k = 1; k < after->n_sections; k++)
			if (after->sections[k].kind == OBJECT_KIND_RECORDS)
				return true;
	}
	return false;
}

/* Hooks that were meant to be there and are not would be missed when it is too late. */
static struct usp_error *judge_hooks(struct build *build)
{
	build->has_records = has_records(build);
	if (!build->asks_for_hooks || build->has_records)
		return NULL;
	return build_report_finding(
		build, "hooks", false, "", "USPLICE",
		"the patch has code for usplice, and none of it got into an object of the target");
}

struct usp_error *build_judge(struct build *build)
{
	struct usp_error *error = NULL;
	for (size_t i = 0; i < build->n_objects && !error; i++) {
		struct build_object *o = &build->objects[i];
		if (build->options.progress)
			build->options.progress(build->options.context, o->name);
		build_log(&build->cc, USP_LOG_DEBUG, "%s is compiled by: %s", o->name,
			  o->after ? o->after->command : o->before->command);
		error = compare(o);
		if (!error)
			error = prove(build, o);
		if (!error && o->left_out)
			continue;
		if (!error)
			error = tell_problems(build, o);
		if (!error)
			error = build_judge_names(build, o);
		if (!error)
			error = compare_types(build, o);
		if (error)
			return usp_error_prefix(error, "%s", o->name);
	}
	return judge_hooks(build);
}
