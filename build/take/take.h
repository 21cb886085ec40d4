/* SPDX-License-Identifier: MIT */
/*
 * What goes into the payload, and what everything that it refers to is called there: the functions that changed, what is
 * new and reached from them, the constants that they use. Whatever the running program has stays the program's own: its
 * functions are reached by their original entries, its variables and named constants where they are. Writes nothing
 * (emit.h does).
 */
#ifndef BUILD_TAKE_TAKE_H
#define BUILD_TAKE_TAKE_H

#include "build/object/diff.h"
#include "build/place/place.h"

struct take_object {
	const struct object_diff *diff;
	const struct place *place; /* of the object before, in the target; NULL: the object is new */
	const char *file;	   /* its source file, for names */
	bool *taken;		   /* of each piece after */
};

/* Something of the target's that the payload refers to. */
struct take_import {
	char *name; /* no other import's */
	bool by_address, weak;
	uint64_t address; /* link-time; thread-local: in the TLS segment */
};

enum take_where {
	TAKE_COPY,    /* a piece that is taken in */
	TAKE_IMPORT,  /* the target's */
	TAKE_CONTENT, /* a string or constant of a merged section: copied by content */
	TAKE_NUMBER,  /* an absolute value */
};

struct take_meaning {
	enum take_where where;
	size_t object;	/* COPY, CONTENT: index */
	uint32_t piece; /* COPY */
	size_t import;	/* IMPORT: index */
	uint32_t section;
	int64_t at;	/* CONTENT: where in the section */
	int64_t addend; /* from there, or the number */
};

struct take {
	struct take_object *objects;
	size_t n;
	struct module *target, *names; /* as for place_object() */
	struct take_import *imports;
	size_t n_imports, import_capacity;
};

/*
 * Decides. objects: n of them with diff, place and file set; not owned, but what `taken` gets is. USP_UNSUPPORTED and
 * USP_MISMATCH name who refers to what.
 */
_must_check_ struct usp_error *take_init(struct take_object *objects, size_t n, struct module *target,
					 struct module *names, struct take *ret);
void take_deinit(struct take *take);

/* What this reference of a taken piece means. */
_must_check_ struct usp_error *take_meaning(struct take *take, size_t object, uint32_t piece,
					    const struct object_reference *reference,
					    struct take_meaning *ret);

/* Where the target has what became this piece after: PLACE_NONE: nowhere. */
uint64_t take_original(const struct take_object *object, uint32_t piece);

/* A function of the target's that this piece after replaces. */
bool take_replaces(const struct take_object *object, uint32_t piece);

const struct object *take_after(const struct take_object *object);
/* Not changed, as far as code and content go. */
bool take_is_same(const struct take_object *object, uint32_t piece);
/* The function that a part was split off, else itself. */
uint32_t take_owner(const struct object *object, uint32_t piece);
/* For messages. */
const char *take_name(const struct object_piece *piece);

#endif
