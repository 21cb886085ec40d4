// SPDX-License-Identifier: MIT
/*
 * usp_build(): from a source patch to a payload.
 *
 *  1. open the target: nothing is built for one that cannot be used; its file is kept, should the build write over it
 *  2. build as it is, put the patches on, build, take them off (run.c)
 *  3. which linked file is the target, what went into it (linked.c)
 *  4. compare each object that is not what it was; prove the original; compare types (judge.c)
 *  5. decide what is taken in (take.c); the report; without a finding, or all allowed: write it (emit.c)
 *  6. the rest is that of `usplice cc` (cc.c)
 */
#define _GNU_SOURCE
#include "build/patch/build.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "build/cc.h"
#include "build/take/emit.h"
#include "build/file.h"
#include "process/elf/dynamic.h"
#include "process/clobber/runs_once.h"

#define PATCH_MAX (256u << 20) /* bytes */

static double now(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* ---- the report's functions ---- */

static struct usp_error *tell_function(struct build *build, const struct build_object *o,
				       const struct take_object *t, uint32_t i)
{
	const struct object *after = o->diff->side[OBJECT_AFTER], *before = o->diff->side[OBJECT_BEFORE];
	const struct object_piece *p = &after->pieces[i];
	const struct object_verdict *v = &o->diff->verdicts[OBJECT_AFTER][i];
	uint32_t twin = o->diff->pairs.other[OBJECT_AFTER][i];
	uint64_t address = take_original(t, i);
	if (!object_piece_is_code(after, p) || v->verdict == USP_DIFF_SAME || !p->name)
		return NULL;
	struct usp_build_function f = {.object = o->name,
				       .name = p->name,
				       .why = v->why,
				       .size_before = twin == OBJECT_NONE ? 0 : before->pieces[twin].size,
				       .size_after = p->size,
				       .address = address == PLACE_NONE ? 0 : address};
	if (v->verdict == USP_DIFF_LINE_ONLY)
		f.role = USP_BUILD_LINE_ONLY;
	else if (p->parent != OBJECT_NONE)
		f.role = USP_BUILD_PART;
	else if (take_replaces(t, i))
		f.role = USP_BUILD_REPLACED;
	else if (t->taken && t->taken[i])
		f.role = USP_BUILD_NEW;
	else
		f.role = twin == OBJECT_NONE ? USP_BUILD_UNREACHED : USP_BUILD_ABSENT;
	return build_report_function(build, &f);
}

static struct usp_error *tell_gone(struct build *build, const struct build_object *o)
{
	const struct object *before = o->diff->side[OBJECT_BEFORE];
	struct usp_error *error = NULL;
	for (uint32_t i = 0; i < before->n_pieces && !error; i++) {
		const struct object_piece *p = &before->pieces[i];
		if (!object_piece_is_code(before, p) || !p->name ||
		    o->diff->verdicts[OBJECT_BEFORE][i].verdict != USP_DIFF_REMOVED)
			continue;
		uint64_t at = o->placed ? place_of_piece(before, &o->place, i) : PLACE_NONE;
		error = build_report_function(
			build, &(struct usp_build_function){.object = o->name,
							    .name = p->name,
							    .role = USP_BUILD_GONE,
							    .size_before = p->size,
							    .address = at == PLACE_NONE ? 0 : at});
	}
	return error;
}

/* What started the process is behind it, or never ends (main): new code there does nothing for it. */
static struct usp_error *tell_start(struct build *build, const struct build_object *o,
				    const struct take_object *t, uint32_t i)
{
	const struct object *after = o->diff->side[OBJECT_AFTER], *before = o->diff->side[OBJECT_BEFORE];
	uint32_t twin = o->diff->pairs.other[OBJECT_AFTER][i];
	enum runs once = RUNS_ANYTIME;
	if (!take_replaces(t, i))
		return NULL;
	struct usp_error *error = function_runs_once(build->against.module, take_original(t, i), &once);
	for (uint32_t k = 0; k < before->n_pieces && once != RUNS_ONCE; k++) {
		const struct object_piece *p = &before->pieces[k];
		if (object_piece_section(before, p)->kind != OBJECT_KIND_START)
			continue;
		for (size_t r = 0; r < p->n_references; r++)
			if (p->references[r].target == OBJECT_TARGET_PIECE && p->references[r].piece == twin)
				once = RUNS_ONCE;
	}
	if (error || once == RUNS_ANYTIME)
		return error;
	return build_report_finding(
		build, "start", once == RUNS_ONCE_HERE, o->name, after->pieces[i].name,
		once == RUNS_ONCE
			? "runs once, when the program starts or ends (only main() leads to it, outside of "
			  "loops): a process that runs has it behind it, or is still inside"
			: "runs once, as far as this program goes (only main() leads to it, outside of "
			  "loops; what a library calls is not seen): then a process that runs has it behind "
			  "it");
}

static struct usp_error *tell_functions(struct build *build, const struct take_object *objects)
{
	struct usp_error *error = NULL;
	for (size_t i = 0; i < build->n_objects && !error; i++) {
		const struct object *after = build->objects[i].diff->side[OBJECT_AFTER];
		for (uint32_t k = 0; k < after->n_pieces && !error; k++) {
			error = tell_function(build, &build->objects[i], &objects[i], k);
			if (!error)
				error = tell_start(build, &build->objects[i], &objects[i], k);
		}
		if (!error)
			error = tell_gone(build, &build->objects[i]);
	}
	return error;
}

static size_t count_role(const struct usp_build_report *report, enum usp_build_role role)
{
	size_t n = 0;
	for (size_t i = 0; i < report->n_functions; i++)
		n += report->functions[i].role == role;
	return n;
}

/* ---- the payload ---- */

static struct usp_error *write_payload(struct build *build, struct take *take)
{
	_cleanup_free_ char *source = workdir_path(&build->workdir, "payload.s"),
			    *object = workdir_path(&build->workdir, "payload.o");
	if (!source || !object)
		return &usp_error_no_memory;
	FILE *f = fopen(source, "we");
	if (!f)
		return usp_error_errno(USP_FAILED, errno, "cannot write %s", source);
	struct usp_error *error = emit(take, f);
	if (fclose(f) && !error)
		error = usp_error_errno(USP_FAILED, errno, "cannot write %s", source);
	struct compiler compiler = {0};
	if (!error)
		error = compiler_find(&build->cc, &build->workdir, &compiler);
	if (!error)
		error = compile_assemble(&build->workdir, &compiler, source, object);
	const char *const sources[] = {object};
	build->cc.sources = sources;
	build->cc.n_sources = 1;
	if (!error)
		error = cc_finish(&build->cc, &build->against, &build->workdir, &compiler);
	build->cc.sources = NULL;
	compiler_deinit(&compiler);
	return error;
}

static struct usp_error *refuse(const struct build *build)
{
	const struct usp_build_report *report = build->report;
	size_t n = build_report_refusals(report), i = 0;
	while (report->findings[i].is_note || report->findings[i].allowed)
		i++;
	const struct usp_build_finding *first = &report->findings[i];
	return usp_errorf(!strcmp(first->kind, "proof") ? USP_MISMATCH : USP_UNSUPPORTED,
			  "not to be patched live without a person's word, for %zu reason%s; the first (%s): "
			  "%s, %s: %s",
			  n, n == 1 ? "" : "s", first->kind, first->object, first->name, first->text);
}

/* Said of the patch, and not of this run: no memory, no space, a signal. */
static bool is_judgment(const struct usp_error *error)
{
	return error->code != USP_FAILED && error->code != USP_BUSY && error->code != USP_PERMISSION;
}

/* A payload of it cannot be, for what error says: the verdict, if it is one. */
static struct usp_error *cannot(struct build *build, struct usp_error *error)
{
	if (!is_judgment(error))
		return error;
	struct usp_error *failed = build_report_finding(build, "payload", false, "", "", error->message);
	if (failed) {
		usp_error_destroy(error);
		return failed;
	}
	build->report->verdict = USP_BUILD_REFUSED;
	return error;
}

static struct usp_error *decide(struct build *build, struct take_object *objects)
{
	struct usp_build_report *report = build->report;
	struct take take = {0};
	for (size_t i = 0; i < build->n_objects; i++) {
		objects[i].diff = build->objects[i].diff;
		objects[i].place = build->objects[i].placed ? &build->objects[i].place : NULL;
		objects[i].file = basename(build->objects[i].name);
	}
	struct usp_error *unable =
		take_init(objects, build->n_objects, build->against.module, build->names, &take);
	struct usp_error *error = unable && !is_judgment(unable) ? NULL : tell_functions(build, objects);
	if (!error && unable && (!is_judgment(unable) || !build_report_refusals(report))) {
		error = cannot(build, unable);
		unable = NULL;
	} else if (!error && build_report_refusals(report)) {
		report->verdict = USP_BUILD_REFUSED;
		error = refuse(build);
	} else if (!error && !count_role(report, USP_BUILD_REPLACED) && !build->has_records) {
		report->verdict = USP_BUILD_NO_CHANGE;
		error = usp_errorf(USP_NO_CHANGE,
				   "the patch changes no code of %s in this build: there is nothing to patch",
				   build->options.target);
	} else if (!error) {
		error = write_payload(build, &take);
		if (error)
			error = cannot(build, error);
		else
			report->verdict = USP_BUILD_READY;
	}
	usp_error_destroy(unable);
	take_deinit(&take);
	return error;
}

/* ---- */

static struct usp_error *look_for_hooks(struct build *build)
{
	for (size_t i = 0; i < build->options.n_patches; i++) {
		_cleanup_free_ uint8_t *bytes = NULL;
		size_t size;
		struct usp_error *error = file_read(build->options.patches[i], PATCH_MAX, &bytes, &size);
		if (error)
			return error;
		build->asks_for_hooks |= memmem(bytes, size, "USPLICE", strlen("USPLICE")) != NULL;
	}
	return NULL;
}

static struct usp_error *steps(struct build *build)
{
	double start = now();
	struct usp_error *error = look_for_hooks(build);
	if (!error)
		error = build_run(build);
	build->report->seconds_builds = now() - start;
	start = now();
	if (!error)
		error = build_link(build);
	if (!error)
		error = build_judge(build);
	if (!error) {
		struct take_object *objects = calloc(build->n_objects + 1, sizeof(*objects));
		error = objects ? decide(build, objects) : &usp_error_no_memory;
		free(objects);
	}
	build->report->seconds_comparing = now() - start;
	return error;
}

static struct usp_error *check_options(const struct usp_build_options *o)
{
	if (!o->target || !o->output || !o->n_patches || !o->command || !o->command[0])
		return usp_errorf(USP_USAGE, "a target, a patch, an output and a build command are needed");
	for (size_t i = 0; i < o->n_allow; i++) {
		size_t k = 0;
		while (build_kinds[k] && strcmp(build_kinds[k], o->allow[i].kind))
			k++;
		if (!build_kinds[k] || !build_kind_allowable(o->allow[i].kind))
			return usp_errorf(USP_USAGE, "\"%s\" cannot be allowed", o->allow[i].kind);
		if (!o->allow[i].reason || !*o->allow[i].reason)
			return usp_errorf(USP_USAGE, "say why \"%s\" is to be allowed", o->allow[i].kind);
	}
	return NULL;
}

/* The build may link over the very file: what is needed of it is read before. */
static struct usp_error *open_target(struct build *build)
{
	struct symbol unused;
	struct usp_error *error = against_open(&build->cc, &build->against);
	if (!error)
		error = against_choose(&build->against, &build->cc, NULL);
	if (!error)
		error = module_load(build->against.module);
	if (!error && !module_dynamic(build->against.module))
		error = &usp_error_no_memory;
	if (error)
		return error;
	usp_error_destroy(symbol_find(build->against.module, "main", NULL, STT_FUNC, &unused));
	return NULL;
}

static void deinit(struct build *build)
{
	for (size_t i = 0; i < build->n_objects; i++) {
		object_diff_destroy(build->objects[i].diff);
		place_deinit(&build->objects[i].place);
	}
	free(build->objects);
	free(build->epoch);
	free(build->changed);
	free(build->unread);
	capture_deinit(&build->before);
	capture_deinit(&build->after);
	module_close(build->twin);
	against_close(&build->against);
}

struct usp_error *usp_build(const struct usp_build_options *given, struct usp_build_report **report)
{
	struct build build = {0};
	*report = NULL;
	if (!given || given->size < offsetof(struct usp_build_options, context) + sizeof(void *))
		return usp_errorf(USP_USAGE, "usp_build_options.size is not set");
	memcpy(&build.options, given,
	       given->size < sizeof(build.options) ? given->size : sizeof(build.options));
	if (!build.options.source)
		build.options.source = ".";
	build.cc = (struct usp_cc_options){.size = sizeof(build.cc),
					   .target = build.options.target,
					   .output = build.options.output,
					   .name = build.options.name,
					   .log = build.options.log,
					   .log_context = build.options.context};
	struct usp_error *error = check_options(&build.options);
	if (!error)
		error = open_target(&build);
	if (!error)
		error = build_report_create(&build.report);
	if (!error)
		error = workdir_create(false, &build.workdir);
	if (!error) {
		error = steps(&build);
		deinit(&build);
		workdir_destroy(&build.workdir);
	} else {
		deinit(&build);
	}
	if (build.report && build.report->verdict) {
		*report = build.report;
		return error;
	}
	usp_build_report_destroy(build.report);
	return error;
}
