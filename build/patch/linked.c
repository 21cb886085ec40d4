// SPDX-License-Identifier: MIT
/* Which linked file of the build is the target, and which of the objects that were made again are in it: build_link(). */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "build/definitions.h"
#include "build/patch/build.h"
#include "build/patch/reach.h"
#include "build/place/twin.h"
#include "process/elf/symbol_table.h"

/* "objs/nginx" and "nginx" are names of "/src/objs/nginx". */
static bool is_called(const char *path, const char *name)
{
	size_t n = strlen(name), length = strlen(path);
	return !strcmp(path, name) ||
	       (length > n && !strcmp(path + length - n, name) && path[length - n - 1] == '/');
}

/* The last link of this name, and whether there are several places for it. */
static const struct capture_link *find_link(const struct capture *capture, const char *name, bool *several)
{
	const struct capture_link *found = NULL;
	for (size_t i = 0; i < capture->n_links; i++) {
		const struct capture_link *link = &capture->links[i];
		if (!is_called(link->path, name) || link->relocatable)
			continue;
		*several |= found && strcmp(found->path, link->path);
		found = link;
	}
	return found;
}

static const struct capture_input *find_input(const struct capture_link *link, const uint8_t *hash)
{
	for (size_t i = 0; i < link->n_inputs; i++)
		if (!memcmp(link->inputs[i].hash, hash, PAYLOAD_HASH_SIZE))
			return &link->inputs[i];
	return NULL;
}

static const struct capture_object *find_object(const struct capture *capture, const uint8_t *hash)
{
	for (size_t i = 0; i < capture->n_objects; i++)
		if (!memcmp(capture->objects[i].hash, hash, PAYLOAD_HASH_SIZE))
			return &capture->objects[i];
	return NULL;
}

/* The object of that path that is linked; paths of temporary ones tell nothing. */
static const struct capture_object *find_twin(const struct capture *capture, const struct capture_link *link,
					      const struct capture_object *object)
{
	for (size_t i = 0; i < capture->n_objects; i++)
		if (!strcmp(capture->objects[i].path, object->path) &&
		    find_input(link, capture->objects[i].hash))
			return &capture->objects[i];
	return NULL;
}

static struct usp_error *no_link(const struct build *build, const char *name)
{
	char *text = NULL;
	size_t size, n = 0;
	FILE *f = open_memstream(&text, &size);
	if (!f)
		return &usp_error_no_memory;
	for (size_t i = 0; i < build->after.n_links; i++)
		if (!build->after.links[i].relocatable && n++ < 8)
			fprintf(f, "%s%s", n > 1 ? ", " : "", build->after.links[i].path);
	struct usp_error *error =
		fclose(f) ? &usp_error_no_memory
			  : usp_errorf(USP_NOT_FOUND,
				       "the build links no %s; it links %s: say which with --built", name,
				       n ? text : "nothing");
	free(text);
	return error;
}

/* Some object that is in the target was made again, and is another one now. */
static bool was_rebuilt(const struct build *build)
{
	for (size_t i = 0; i < build->after.n_objects; i++) {
		const struct capture_object *after = &build->after.objects[i];
		const struct capture_object *before = find_twin(&build->before, build->linked_before, after);
		if (before && memcmp(before->hash, after->hash, sizeof(before->hash)) != 0)
			return true;
	}
	return false;
}

/* No build linked the target: then what changed must not be in it. A makefile may not know that it is. */
static struct usp_error *check_not_linked(struct build *build, const char *name)
{
	struct module *target = build->against.module;
	struct symbol_table *table;
	struct usp_error *error = symbol_table_full(target, &table);
	if (!error && !table->has_symtab)
		error = no_link(build, name);
	for (size_t i = 0; i < build->after.n_objects && !error; i++) {
		const struct capture_object *after = &build->after.objects[i];
		_cleanup_(object_closep) struct object *object = NULL;
		bool known;
		if (find_object(&build->before, after->hash))
			continue;
		error = object_open(after->stored, &object);
		if (!error)
			error = definitions_have(target, object, &known);
		if (!error && known)
			error = build->after.n_links
					? no_link(build, name)
					: usp_errorf(USP_NOT_FOUND,
						     "the patch changes %s, and the build did not link %s "
						     "again: "
						     "remove that before, as part of the build command",
						     after->path, name);
	}
	return error;
}

static struct usp_error *choose_links(struct build *build)
{
	_cleanup_free_ char *real = realpath(build->options.target, NULL);
	const char *name =
		build->options.built ? build->options.built : basename(real ? real : build->options.target);
	bool several = false;
	build->linked_after = find_link(&build->after, name, &several);
	if (several)
		return usp_errorf(USP_AMBIGUOUS,
				  "the build links several files called %s: say which with --built PATH",
				  name);
	build->linked_before =
		find_link(&build->before, build->linked_after ? build->linked_after->path : name, &several);
	if (!build->linked_after)
		return !build->linked_before ? check_not_linked(build, name)
		       : was_rebuilt(build)  ? no_link(build, name)
					     : NULL;
	if (!build->linked_before)
		return usp_errorf(USP_NOT_FOUND, "the build as it is does not link %s",
				  build->linked_after->path);
	build->report->linked = build_report_keep(build->report, build->linked_after->path);
	return build->report->linked ? NULL : &usp_error_no_memory;
}

/* What the patched build left as the one before it had made it, and may read what the patch changes; how many are. */
static struct usp_error *find_unmade(struct build *build, const char **first, size_t *n)
{
	struct reach *reach = NULL;
	struct usp_error *error = NULL;
	for (size_t i = 0; build->linked_after && i < build->linked_after->n_inputs && !error; i++) {
		const struct capture_input *input = &build->linked_after->inputs[i];
		const struct capture_object *before = find_object(&build->before, input->hash);
		bool may;
		if (find_object(&build->after, input->hash) || !before)
			continue;
		error = reach ? NULL : reach_open(build->options.source, &reach);
		if (!error)
			error = reach_may_read(reach, before, build->changed, build->n_changed, &may);
		if (error || !may)
			continue;
		*first = *first ? *first : input->path;
		++*n;
	}
	reach_close(reach);
	return error;
}

/* All was to be compiled with the patch, and some was not: a build that goes by contents, or cannot do it. */
static struct usp_error *check_remade(struct build *build)
{
	_cleanup_free_ char *text = NULL;
	const char *first = NULL;
	size_t n = 0;
	struct usp_error *error = build->remade ? find_unmade(build, &first, &n) : NULL;
	if (error)
		return error;
	if (!build->remade || (!n && build->after.n_objects))
		return NULL;
	if (asprintf(
		    &text,
		    "may be read by what the build did not compile again, though every source has a new date "
		    "(%zu objects%s%s)",
		    n, first ? ", the first: " : "", first ? first : "") < 0) {
		text = NULL;
		return &usp_error_no_memory;
	}
	return build_report_finding(build, "input", false, "", build->remade, text);
}

static bool is_linked_from(const struct capture_link *link, const char *path)
{
	for (size_t i = 0; i < link->n_inputs; i++)
		if (!strcmp(link->inputs[i].path, path))
			return true;
	return false;
}

/* What is linked no more and no compiler of this build wrote cannot be compared: what it defined is gone unseen. */
static struct usp_error *check_gone(struct build *build)
{
	struct usp_error *error = NULL;
	for (size_t i = 0; i < build->linked_before->n_inputs && !error; i++) {
		const struct capture_input *input = &build->linked_before->inputs[i];
		if (!find_object(&build->before, input->hash) &&
		    !is_linked_from(build->linked_after, input->path))
			error = build_report_finding(
				build, "input", true, input->path, basename(input->path),
				"was linked, is no more, and no compiler of this build wrote it");
	}
	return error;
}

/* What was linked both times from one place, and is another thing now, must have been compiled meanwhile. */
static struct usp_error *check_inputs(struct build *build)
{
	for (size_t i = 0; i < build->linked_after->n_inputs; i++) {
		const struct capture_input *input = &build->linked_after->inputs[i];
		if (find_object(&build->after, input->hash) || find_input(build->linked_before, input->hash))
			continue;
		struct usp_error *error = build_report_finding(
			build, "input", false, input->path, basename(input->path),
			"is linked, differs from before, and no compiler of this build wrote it");
		if (error)
			return error;
	}
	return check_gone(build);
}

/* What the object's own symbol table calls its source; "" if nothing does. */
static const char *source_name(const struct object *object)
{
	for (uint32_t i = 1; object && i < object->n_symbols; i++)
		if (object->symbols[i].type == STT_FILE)
			return object->symbols[i].name;
	return "";
}

/* For people. NULL: out of memory. */
static const char *short_path(const struct build *build, const char *path, const char *stored)
{
	_cleanup_free_ char *root = realpath(build->options.source, NULL);
	size_t n = root ? strlen(root) : 0;
	if (n && !strncmp(path, root, n) && path[n] == '/')
		return build_report_keep(build->report, path + n + 1);
	/* A temporary object's name says nothing, that of its source does. */
	_cleanup_(object_closep) struct object *object = NULL;
	usp_error_destroy(object_open(stored, &object)); /* what cannot be read is judged later */
	return build_report_keep(build->report, *source_name(object) ? source_name(object) : path);
}

static struct usp_error *add_object(struct build *build, const struct capture_object *before,
				    const struct capture_object *after)
{
	struct build_object *grown = realloc(build->objects, (build->n_objects + 1) * sizeof(*grown));
	if (!grown)
		return &usp_error_no_memory;
	build->objects = grown;
	const struct capture_object *one = after ? after : before;
	const char *name = short_path(build, one->path, one->stored);
	if (!name)
		return &usp_error_no_memory;
	build->objects[build->n_objects++] =
		(struct build_object){.before = before, .after = after, .name = name};
	return NULL;
}

static struct usp_error *choose_objects(struct build *build)
{
	struct usp_build_report *report = build->report;
	struct usp_error *error = NULL;
	for (size_t i = 0; i < build->after.n_objects && !error; i++) {
		const struct capture_object *after = &build->after.objects[i];
		report->n_rebuilt++;
		if (!find_input(build->linked_after, after->hash))
			report->n_elsewhere++;
		else if (find_input(build->linked_before, after->hash))
			report->n_identical++;
		else
			error = add_object(build, find_twin(&build->before, build->linked_before, after),
					   after);
	}
	return error;
}

static bool is_function(const struct object_symbol *s)
{
	return s->binding == STB_GLOBAL && s->type == STT_FUNC && s->section != SHN_UNDEF;
}

/* A program has one function of a global name. */
static bool share_a_function(const struct object *x, const struct object *y)
{
	for (uint32_t i = 1; i < x->n_symbols; i++)
		for (uint32_t k = 1; k < y->n_symbols && is_function(&x->symbols[i]); k++)
			if (is_function(&y->symbols[k]) && !strcmp(x->symbols[i].name, y->symbols[k].name))
				return true;
	return false;
}

/* Of one source, or of one that was renamed. */
static bool same_source(const struct capture_object *a, const struct capture_object *b)
{
	_cleanup_(object_closep) struct object *x = NULL, *y = NULL;
	usp_error_destroy(object_open(a->stored, &x)); /* what cannot be read is judged later */
	usp_error_destroy(object_open(b->stored, &y));
	return x && y &&
	       ((*source_name(x) && !strcmp(source_name(x), source_name(y)) &&
		 !strcmp(a->directory, b->directory)) ||
		share_a_function(x, y));
}

/* Of temporary objects (cc a.c b.c -o x) the names say nothing, and files are renamed: those that are left are matched by
 * what their source is called, or by what they define. */
static struct usp_error *match_temporaries(struct build *build)
{
	for (size_t i = 0; i < build->before.n_objects; i++) {
		const struct capture_object *before = &build->before.objects[i];
		bool used = !find_input(build->linked_before, before->hash) ||
			    find_input(build->linked_after, before->hash);
		for (size_t k = 0; k < build->n_objects && !used; k++)
			used = build->objects[k].before == before;
		for (size_t k = 0; k < build->n_objects && !used; k++) {
			struct build_object *o = &build->objects[k];
			used = !o->before && same_source(before, o->after);
			if (used)
				o->before = before;
		}
		struct usp_error *error = used ? NULL : add_object(build, before, NULL);
		if (error)
			return error;
	}
	return NULL;
}

/* The target has symbols, or its twin from this build has them. */
static struct usp_error *choose_names(struct build *build)
{
	struct module *target = build->against.module;
	struct symbol_table *table;
	struct usp_error *error = symbol_table_full(target, &table);
	if (error)
		return error;
	build->names = target;
	if (table->has_symtab)
		return NULL;
	error = module_open_file(build->linked_before->stored, &build->twin);
	if (error)
		return error;
	error = twin_check(build->twin, target);
	if (error == &usp_error_no_memory)
		return error;
	if (error) {
		struct usp_error *told = usp_errorf(
			USP_NOT_FOUND,
			"%s has no symbol table, there is no debug file for it (%s), and the file that "
			"this build links is another program: %s. Without names nothing can be found in "
			"it. Install its debug symbols, or build it exactly as it was built",
			build->options.target, table->where ? table->where : "looked for nowhere",
			error->message);
		usp_error_destroy(error);
		return told;
	}
	error = symbol_table_full(build->twin, &table);
	if (!error && !table->has_symtab)
		error = usp_errorf(
			USP_NOT_FOUND,
			"neither %s nor the file that this build links, %s, has a symbol table: without "
			"names nothing can be found in it. Have the build link it without -s",
			build->options.target, build->linked_before->path);
	build->names = build->twin;
	return error;
}

/* An object that the build compiled is of a source of this name. */
static bool is_compiled(const struct capture *capture, const char *name)
{
	for (size_t i = 0; i < capture->n_objects; i++) {
		_cleanup_(object_closep) struct object *object = NULL;
		usp_error_destroy(
			object_open(capture->objects[i].stored, &object)); /* that is judged later */
		if (object && !strcmp(source_name(object), name))
			return true;
	}
	return false;
}

/* Sources of the patch that are not compiled are nothing to the target; unless it may have been made of them. */
static struct usp_error *check_unread(struct build *build)
{
	struct usp_error *error = NULL;
	for (size_t i = 0; i < build->n_unread && !error; i++) {
		const char *name = basename(build->unread[i]);
		bool in_target;
		error = definitions_have_source(build->names ? build->names : build->against.module, name,
						&in_target);
		if (error)
			return error;
		in_target =
			in_target && !is_compiled(&build->before, name) && !is_compiled(&build->after, name);
		error = build_report_finding(
			build, "input", !in_target, "", build->unread[i],
			in_target
				? "is changed by the patch, the target may be made of a source of this "
				  "name, and the build compiles none: have the build command build that, too"
				: "is changed by the patch, and the build compiles nothing from it by its "
				  "name");
	}
	return error;
}

static struct usp_error *choose_all(struct build *build)
{
	if (!build->after.n_objects)
		return check_remade(build);
	struct usp_error *error = choose_links(build);
	/* The patch is about other programs of this build. */
	if (!error && !build->linked_after) {
		build->report->n_rebuilt = build->report->n_elsewhere = build->after.n_objects;
		return NULL;
	}
	if (!error)
		error = check_inputs(build);
	if (!error)
		error = check_remade(build);
	if (!error)
		error = choose_objects(build);
	if (!error)
		error = match_temporaries(build);
	return error ? error : choose_names(build);
}

struct usp_error *build_link(struct build *build)
{
	struct usp_error *error = choose_all(build);
	return error ? error : check_unread(build);
}
