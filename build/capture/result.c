// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include "build/capture/result.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "build/capture/file.h"
#include "build/capture/link.h"
#include "build/object/object.h"

static bool same_hash(const uint8_t *a, const uint8_t *b)
{
	return !memcmp(a, b, PAYLOAD_HASH_SIZE);
}

static void object_deinit(struct capture_object *object)
{
	free(object->path);
	free(object->stored);
	free(object->directory);
	free(object->command);
}

static void link_deinit(struct capture_link *link)
{
	free(link->path);
	free(link->stored);
	capture_inputs_free(link->inputs, link->n_inputs);
}

void capture_deinit(struct capture *capture)
{
	for (size_t i = 0; i < capture->n_objects; i++)
		object_deinit(&capture->objects[i]);
	for (size_t i = 0; i < capture->n_links; i++)
		link_deinit(&capture->links[i]);
	free(capture->objects);
	free(capture->links);
	*capture = (struct capture){0};
}

/* ---- one record ---- */

/* Whether the newest object at this path has this content. */
static bool known_object(const struct capture *capture, const char *path, const uint8_t *hash)
{
	size_t i = capture->n_objects;
	while (i > 0 && !same_hash(capture->objects[i - 1].hash, hash))
		i--;
	if (!i) /* the common case of a new one, without a look at the paths */
		return false;
	for (i = capture->n_objects; i-- > 0;) {
		if (!strcmp(capture->objects[i].path, path))
			return same_hash(capture->objects[i].hash, hash);
	}
	return false;
}

/* The same of links: gcc -r has seen what ld -r wrote. */
static bool known_link(const struct capture *capture, const char *path, const uint8_t *hash)
{
	for (size_t i = capture->n_links; i-- > 0;) {
		if (!strcmp(capture->links[i].path, path))
			return same_hash(capture->links[i].hash, hash);
	}
	return false;
}

static struct usp_error *broken(void)
{
	return usp_errorf(USP_FAILED, "what the capture of the build reported is not whole");
}

static struct usp_error *add_object(struct capture_result *result, struct capture_fields *fields, char **text)
{
	struct capture *capture = result->capture;
	struct capture_object object;
	capture_fields_hash(fields, object.hash);
	const char *path = capture_fields_string(fields), *directory = capture_fields_string(fields);
	const char *command = capture_fields_string(fields), *tool = capture_fields_string(fields);
	if (fields->bad)
		return broken();
	if (known_object(capture, path, object.hash) || known_link(capture, path, object.hash))
		return NULL;
	if (!object_grow(&capture->objects, capture->n_objects, &result->objects_capacity, sizeof(object)))
		return &usp_error_no_memory;
	object.path = strdup(path);
	object.stored = capture_stored_path(result->store, object.hash);
	object.directory = strdup(directory);
	object.command = strdup(command);
	capture->objects[capture->n_objects++] = object;
	if (asprintf(text, "%s %s", tool, path) < 0)
		*text = NULL;
	bool complete = object.path && object.stored && object.directory && object.command && *text;
	return complete ? NULL : &usp_error_no_memory;
}

static struct usp_error *add_link(struct capture_result *result, struct capture_fields *fields, char **text)
{
	struct capture *capture = result->capture;
	struct capture_link link = {0};
	capture_fields_hash(fields, link.hash);
	const char *path = capture_fields_string(fields), *tool = capture_fields_string(fields);
	link.relocatable = capture_fields_number(fields);
	size_t n = capture_fields_number(fields);
	if (fields->bad || n > (size_t)(fields->end - fields->at) / PAYLOAD_HASH_SIZE)
		return broken();
	if (!object_grow(&capture->links, capture->n_links, &result->links_capacity, sizeof(link)))
		return &usp_error_no_memory;
	link.path = strdup(path);
	link.stored = capture_stored_path(result->store, link.hash);
	link.inputs = calloc(n + 1, sizeof(*link.inputs));
	bool complete = link.path && link.stored && link.inputs;
	for (size_t i = 0; complete && i < n; i++) {
		capture_fields_hash(fields, link.inputs[i].hash);
		link.inputs[i].path = strdup(capture_fields_string(fields));
		complete = link.inputs[i].path;
		link.n_inputs += complete;
	}
	capture->links[capture->n_links++] = link;
	if (asprintf(text, "%s %s", tool, path) < 0)
		*text = NULL;
	if (fields->bad)
		return broken();
	return complete && *text ? NULL : &usp_error_no_memory;
}

struct usp_error *capture_result_add(struct capture_result *result, struct capture_fields *fields,
				     char **text)
{
	*text = NULL;
	return fields->type == CAPTURE_RECORD_OBJECT ? add_object(result, fields, text)
						     : add_link(result, fields, text);
}

/* ---- all of them ---- */

static int compare_hashes(const void *a, const void *b)
{
	return memcmp(a, b, PAYLOAD_HASH_SIZE);
}

static bool is_object(const struct capture *capture, const uint8_t *hash)
{
	for (size_t i = 0; i < capture->n_objects; i++) {
		if (same_hash(capture->objects[i].hash, hash))
			return true;
	}
	return false;
}

/* The last link before this one that made this content with ld -r, or NULL. */
static const struct capture_link *made_by(const struct capture *capture, size_t before, const uint8_t *hash)
{
	for (size_t i = before; i-- > 0;) {
		const struct capture_link *link = &capture->links[i];
		if (link->relocatable && same_hash(link->hash, hash))
			return is_object(capture, hash) ? NULL : link;
	}
	return NULL;
}

static struct usp_error *append(struct capture_link *link, size_t *capacity,
				const struct capture_input *input)
{
	if (!object_grow(&link->inputs, link->n_inputs, capacity, sizeof(*input)))
		return &usp_error_no_memory;
	char *path = strdup(input->path);
	if (!path)
		return &usp_error_no_memory;
	link->inputs[link->n_inputs] = *input;
	link->inputs[link->n_inputs++].path = path;
	return NULL;
}

/* Replaces inputs that were linked themselves. Links before this one are done, so one step is all the way. */
static struct usp_error *follow(struct capture *capture, size_t index)
{
	struct capture_link *link = &capture->links[index];
	struct capture_input *inputs = link->inputs;
	size_t n = link->n_inputs, capacity = 0;
	struct usp_error *error = NULL;
	link->inputs = NULL;
	link->n_inputs = 0;
	for (size_t i = 0; !error && i < n; i++) {
		const struct capture_link *from = made_by(capture, index, inputs[i].hash);
		for (size_t k = 0; from && !error && k < from->n_inputs; k++)
			error = append(link, &capacity, &from->inputs[k]);
		if (!from)
			error = append(link, &capacity, &inputs[i]);
	}
	capture_inputs_free(inputs, n);
	return error;
}

/* The hashes of all inputs of all links, sorted. */
static struct usp_error *all_inputs(const struct capture *capture, uint8_t (**ret)[PAYLOAD_HASH_SIZE],
				    size_t *n)
{
	*n = 0;
	for (size_t i = 0; i < capture->n_links; i++)
		*n += capture->links[i].n_inputs;
	*ret = calloc(*n + 1, PAYLOAD_HASH_SIZE);
	if (!*ret)
		return &usp_error_no_memory;
	size_t to = 0;
	for (size_t i = 0; i < capture->n_links; i++) {
		for (size_t k = 0; k < capture->links[i].n_inputs; k++)
			memcpy((*ret)[to++], capture->links[i].inputs[k].hash, PAYLOAD_HASH_SIZE);
	}
	qsort(*ret, *n, PAYLOAD_HASH_SIZE, compare_hashes);
	return NULL;
}

static int compare_paths(const void *a, const void *b)
{
	const struct capture_object *x = *(const struct capture_object *const *)a,
				    *y = *(const struct capture_object *const *)b;
	int order = strcmp(x->path, y->path);
	return order ? order : (x > y) - (x < y); /* pointers into one array: in the order of writing */
}

/* Whether a later one replaces by_path[i], and it was never linked or is the same as a later one. */
static bool replaced(struct capture_object *const *by_path, size_t n, size_t i,
		     uint8_t (*used)[PAYLOAD_HASH_SIZE], size_t n_used)
{
	const struct capture_object *object = by_path[i];
	bool later = false;
	for (size_t k = i + 1; k < n && !strcmp(object->path, by_path[k]->path); k++) {
		later = true;
		if (same_hash(object->hash, by_path[k]->hash))
			return true;
	}
	return later && !bsearch(object->hash, used, n_used, PAYLOAD_HASH_SIZE, compare_hashes);
}

static struct usp_error *drop_replaced(struct capture *capture)
{
	_cleanup_free_ uint8_t(*used)[PAYLOAD_HASH_SIZE] = NULL;
	size_t n_used, n = capture->n_objects;
	struct usp_error *error = all_inputs(capture, &used, &n_used);
	_cleanup_free_ struct capture_object **by_path = calloc(n + 1, sizeof(*by_path));
	if (error || !by_path)
		return error ? error : &usp_error_no_memory;
	for (size_t i = 0; i < n; i++)
		by_path[i] = &capture->objects[i];
	qsort(by_path, n, sizeof(*by_path), compare_paths);
	for (size_t i = 0; i < n; i++) {
		if (!replaced(by_path, n, i, used, n_used))
			continue;
		/* Nobody looks at it again: only what comes later in by_path is compared with. */
		object_deinit(by_path[i]);
		*by_path[i] = (struct capture_object){0};
	}
	size_t to = 0;
	for (size_t i = 0; i < n; i++) {
		if (capture->objects[i].path)
			capture->objects[to++] = capture->objects[i];
	}
	capture->n_objects = to;
	return NULL;
}

struct usp_error *capture_result_finish(struct capture_result *result)
{
	struct usp_error *error = NULL;
	for (size_t i = 0; !error && i < result->capture->n_links; i++)
		error = follow(result->capture, i);
	return error ? error : drop_replaced(result->capture);
}
