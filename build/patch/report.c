// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "build/patch/build.h"

#define OBJECTS_TOLD 6 /* of one finding */

const char *const build_kinds[] = {"data",   "ambiguous", "unknown", "section",	  "start",    "tls",
				   "symbol", "layout",	  "enum",    "signature", "variable", "types",
				   "input",  "hooks",	  "payload", "proof",	  NULL};

/* The public part first, so that one pointer is both. */
struct report {
	struct usp_build_report public;
	char **texts;
	size_t n_texts, text_capacity, function_capacity, finding_capacity;
};

struct usp_error *build_report_create(struct usp_build_report **ret)
{
	struct report *report = calloc(1, sizeof(*report));
	*ret = report ? &report->public : NULL;
	return report ? NULL : &usp_error_no_memory;
}

const char *build_report_keep(struct usp_build_report *public, const char *text)
{
	struct report *report = (struct report *)public;
	char *copy = strdup(text);
	if (!copy ||
	    !object_grow(&report->texts, report->n_texts, &report->text_capacity, sizeof(*report->texts))) {
		free(copy);
		return NULL;
	}
	report->texts[report->n_texts++] = copy;
	return copy;
}

/* *text becomes a copy of itself that stays; NULL stays NULL. */
static bool keep(struct usp_build_report *report, const char **text)
{
	if (*text)
		*text = build_report_keep(report, *text);
	return *text;
}

struct usp_error *build_report_function(struct build *build, const struct usp_build_function *function)
{
	struct report *report = (struct report *)build->report;
	struct usp_build_report *public = &report->public;
	struct usp_build_function copy = *function;
	if (!keep(public, &copy.object) || !keep(public, &copy.name) ||
	    (copy.why && !keep(public, &copy.why)) ||
	    !object_grow(&public->functions, public->n_functions, &report->function_capacity,
			 sizeof(*public->functions)))
		return &usp_error_no_memory;
	public->functions[public->n_functions++] = copy;
	return NULL;
}

bool build_kind_allowable(const char *kind)
{
	return strcmp(kind, "proof") != 0 && strcmp(kind, "payload") != 0;
}

static const char *allowed(const struct usp_build_options *options, const char *kind)
{
	if (!build_kind_allowable(kind))
		return NULL;
	for (size_t i = 0; i < options->n_allow; i++)
		if (!strcmp(options->allow[i].kind, kind))
			return options->allow[i].reason;
	return NULL;
}

/* One that was told of another object already: what is in a header is in many. False: it was not. */
static bool told_before(struct usp_build_report *public, const struct usp_build_finding *new,
			struct usp_error **error)
{
	struct usp_build_finding *old = public->findings;
	for (size_t i = 0; i < public->n_findings; i++, old++) {
		if (old->is_note != new->is_note || strcmp(old->kind, new->kind) ||
		    strcmp(old->name, new->name) || strcmp(old->text, new->text))
			continue;
		size_t n = 1;
		for (const char *comma = old->object; (comma = strstr(comma, ", ")); comma += 2)
			n++;
		if (n > OBJECTS_TOLD)
			return true;
		_cleanup_free_ char *both = NULL;
		if (asprintf(&both, "%s, %s", old->object, n < OBJECTS_TOLD ? new->object : "…") < 0)
			both = NULL;
		old->object = both ? build_report_keep(public, both) : NULL;
		if (!old->object) {
			old->object = "";
			*error = &usp_error_no_memory;
		}
		return true;
	}
	return false;
}

struct usp_error *build_report_finding(struct build *build, const char *kind, bool is_note,
				       const char *object, const char *name, const char *text)
{
	struct report *report = (struct report *)build->report;
	struct usp_build_report *public = &report->public;
	struct usp_build_finding finding = {.kind = kind,
					    .object = object,
					    .name = name,
					    .text = text,
					    .is_note = is_note,
					    .allowed = is_note ? NULL : allowed(&build->options, kind)};
	struct usp_error *error = NULL;
	if (told_before(public, &finding, &error))
		return error;
	if (!keep(public, &finding.kind) || !keep(public, &finding.object) || !keep(public, &finding.name) ||
	    !keep(public, &finding.text) || (finding.allowed && !keep(public, &finding.allowed)) ||
	    !object_grow(&public->findings, public->n_findings, &report->finding_capacity,
			 sizeof(*public->findings)))
		return &usp_error_no_memory;
	public->findings[public->n_findings++] = finding;
	return NULL;
}

size_t build_report_refusals(const struct usp_build_report *report)
{
	size_t n = 0;
	for (size_t i = 0; i < report->n_findings; i++)
		n += !report->findings[i].is_note && !report->findings[i].allowed;
	return n;
}

void usp_build_report_destroy(struct usp_build_report *public)
{
	struct report *report = (struct report *)public;
	if (!report)
		return;
	for (size_t i = 0; i < report->n_texts; i++)
		free(report->texts[i]);
	free(report->texts);
	free(public->functions);
	free(public->findings);
	free(report);
}

void build_say(const struct build *build, enum usp_log_level level, const char *format, ...)
{
	if (!build->options.log)
		return;
	char *line = NULL;
	va_list ap;
	va_start(ap, format);
	if (vasprintf(&line, format, ap) < 0)
		line = NULL;
	va_end(ap);
	build->options.log(build->options.context, level, line ? line : "out of memory");
	free(line);
}
