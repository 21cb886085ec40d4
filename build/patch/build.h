/* SPDX-License-Identifier: MIT */
/*
 * usp_build()'s own: the steps between the two builds and the payload, and what they hand on.
 *
 *	build.c   usp_build(): the steps in their order, and the payload at the end
 *	run.c     the builds: as it is, patched, and as it is once more if need be
 *	keep.c    the builds kept for a second run
 *	linked.c  which linked file is the target, and which objects went into it
 *	judge.c   each object of it: compared, proven, its types compared
 *	report.c  what is told of all that
 */
#ifndef BUILD_PATCH_BUILD_H
#define BUILD_PATCH_BUILD_H

#include <usplice/build.h>

#include "build/against.h"
#include "build/capture/capture.h"
#include "build/object/diff.h"
#include "build/place/place.h"
#include "build/take/take.h"
#include "build/workdir.h"

struct build_object {
	const struct capture_object *before, *after; /* one of them may be NULL: new, or gone */
	const char *name;			     /* its path, short */
	struct object_diff *diff;		     /* NULL: not compared (yet) */
	struct place place;
	bool placed;
	bool left_out; /* by the linker: nothing of it is in the target */
};

struct build {
	struct usp_build_options options;
	struct usp_cc_options cc; /* for the rooms that `usplice cc` has, too */
	struct workdir workdir;
	struct against against;
	struct module *names; /* the target, or its twin with the symbols */
	struct module *twin;  /* that one, owned */
	struct capture before, after;
	const struct capture_link *linked_before, *linked_after;
	struct build_object *objects; /* of the target, rebuilt and not identical */
	size_t n_objects;
	char *epoch;	      /* SOURCE_DATE_EPOCH=…, or NULL: the environment has it */
	const char *remade;   /* why all of it was compiled with the patch (remake.h); NULL: it was not */
	const char **changed; /* files of the patches */
	size_t n_changed;
	const char **unread; /* sources of the patch that the build compiles nothing from */
	size_t n_unread;
	bool asks_for_hooks; /* USPLICE is a word of a patch */
	bool has_records;    /* the patch has hooks, or a name, for usplice */
	struct usp_build_report *report;
};

_must_check_ struct usp_error *build_run(struct build *build);
/* One more of build->changed; of build->unread. */
_must_check_ struct usp_error *build_note_changed(struct build *build, const char *path);
_must_check_ struct usp_error *build_note_unread(struct build *build, const char *path);
/* options.keep: writes what build_run() found; reads it, if it is what these options would find. */
_must_check_ struct usp_error *build_keep_save(const struct build *build);
_must_check_ struct usp_error *build_keep_load(struct build *build, bool *loaded);
_must_check_ struct usp_error *build_link(struct build *build);
_must_check_ struct usp_error *build_judge(struct build *build);
_must_check_ struct usp_error *build_judge_names(struct build *build, const struct build_object *o);

/* All kinds of findings, NULL-terminated. */
extern const char *const build_kinds[];
bool build_kind_allowable(const char *kind);

/* What is told lives as long as the report. */
_must_check_ struct usp_error *build_report_create(struct usp_build_report **ret);
const char *build_report_keep(struct usp_build_report *report,
			      const char *text); /* a copy; NULL: out of memory */
_must_check_ struct usp_error *build_report_function(struct build *build,
						     const struct usp_build_function *function);
/* Allowed if the options say so; a note is none of a person's business. */
_must_check_ struct usp_error *build_report_finding(struct build *build, const char *kind, bool is_note,
						    const char *object, const char *name, const char *text);
/* How many findings stand in the way. */
size_t build_report_refusals(const struct usp_build_report *report);

void build_say(const struct build *build, enum usp_log_level level, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#endif
