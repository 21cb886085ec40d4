// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include "build/take/take.h"

#include <stdlib.h>

const struct object *take_after(const struct take_object *o)
{
	return o->diff->side[OBJECT_AFTER];
}

const char *take_name(const struct object_piece *p)
{
	return p->name ? p->name : "data without a name";
}

uint64_t take_original(const struct take_object *o, uint32_t piece)
{
	uint32_t twin = o->diff->pairs.other[OBJECT_AFTER][piece];
	if (twin == OBJECT_NONE || !o->place)
		return PLACE_NONE;
	return place_of_piece(o->diff->side[OBJECT_BEFORE], o->place, twin);
}

bool take_is_same(const struct take_object *o, uint32_t piece)
{
	return object_verdict_is_same(&o->diff->verdicts[OBJECT_AFTER][piece]);
}

uint32_t take_owner(const struct object *object, uint32_t piece)
{
	uint32_t parent = object->pieces[piece].parent;
	return parent == OBJECT_NONE ? piece : parent;
}

bool take_replaces(const struct take_object *o, uint32_t piece)
{
	const struct object_piece *p = &take_after(o)->pieces[piece];
	return object_piece_is_code(take_after(o), p) && p->parent == OBJECT_NONE &&
	       !take_is_same(o, piece) && take_original(o, piece) != PLACE_NONE;
}

/* ---- all that is reached ---- */

struct queue {
	struct {
		size_t object;
		uint32_t piece;
	} * v;
	size_t n, capacity;
};

static struct usp_error *enter_one(struct take *take, struct queue *queue, size_t index, uint32_t piece)
{
	bool *taken = &take->objects[index].taken[piece];
	if (*taken)
		return NULL;
	if (!object_grow(&queue->v, queue->n, &queue->capacity, sizeof(*queue->v)))
		return &usp_error_no_memory;
	*taken = true;
	queue->v[queue->n].object = index;
	queue->v[queue->n++].piece = piece;
	return NULL;
}

/* A function's parts come along with it, and a constant with what may belong to it. */
static struct usp_error *enter(struct take *take, struct queue *queue, size_t index, uint32_t piece)
{
	const struct object *object = take_after(&take->objects[index]);
	const struct object_piece *p = &object->pieces[piece];
	struct usp_error *error = NULL;
	if (object_piece_is_code(object, p)) {
		uint32_t whole = take_owner(object, piece);
		for (uint32_t i = 0; i < object->n_pieces && !error; i++)
			if (i == whole || object->pieces[i].parent == whole)
				error = enter_one(take, queue, index, i);
		return error;
	}
	for (; p && !error; p = p->symbol ? NULL : object_piece_goes_on(object, p))
		error = enter_one(take, queue, index, (uint32_t)(p - object->pieces));
	return error;
}

static struct usp_error *follow(struct take *take, struct queue *queue, size_t index, uint32_t piece)
{
	const struct object_piece *p = &take_after(&take->objects[index])->pieces[piece];
	if (p->opaque)
		return usp_errorf(USP_UNSUPPORTED,
				  "the code of %s cannot be read: its bytes are not all instructions",
				  take_name(p));
	for (size_t i = 0; i < p->n_references; i++) {
		struct take_meaning meaning;
		struct usp_error *error = take_meaning(take, index, piece, &p->references[i], &meaning);
		if (!error && meaning.where == TAKE_COPY)
			error = enter(take, queue, meaning.object, meaning.piece);
		if (error)
			return error;
	}
	return NULL;
}

/* What the patch itself says to usplice: hooks, a name. */
static bool is_record(const struct take_object *o, uint32_t piece)
{
	const struct object *object = take_after(o);
	return object_piece_section(object, &object->pieces[piece])->kind == OBJECT_KIND_RECORDS;
}

struct usp_error *take_init(struct take_object *objects, size_t n, struct module *target,
			    struct module *names, struct take *ret)
{
	*ret = (struct take){.objects = objects, .n = n, .target = target, .names = names};
	struct queue queue = {0};
	struct usp_error *error = NULL;
	for (size_t i = 0; i < n; i++) {
		objects[i].taken = calloc(take_after(&objects[i])->n_pieces + (size_t)1, sizeof(bool));
		if (!objects[i].taken)
			error = &usp_error_no_memory;
	}
	for (size_t i = 0; i < n && !error; i++)
		for (uint32_t k = 0; k < take_after(&objects[i])->n_pieces && !error; k++)
			if (take_replaces(&objects[i], k) || is_record(&objects[i], k))
				error = enter(ret, &queue, i, k);
	for (size_t i = 0; i < queue.n && !error; i++)
		error = follow(ret, &queue, queue.v[i].object, queue.v[i].piece);
	free(queue.v);
	if (error)
		take_deinit(ret);
	return error;
}

void take_deinit(struct take *take)
{
	for (size_t i = 0; i < take->n; i++) {
		free(take->objects[i].taken);
		take->objects[i].taken = NULL;
	}
	for (size_t i = 0; i < take->n_imports; i++)
		free(take->imports[i].name);
	free(take->imports);
	*take = (struct take){0};
}
