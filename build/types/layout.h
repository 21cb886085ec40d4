/* SPDX-License-Identifier: MIT */
/*
 * What of a type, a variable or a function matters to code that was compiled for it: members at their
 * places, enumerators and their values, and types in words ("struct foo *[4]", "int (*)(char *)"). Two that
 * are equal here mean the same to compiled code. Struct, union and enumeration are named by their tag or,
 * without one, by their typedef; of a structure inside another one by value the words have the size too.
 * What has neither tag nor typedef is a part of what holds it: its members appear there with a path ("u.x",
 * "list[].x", "p->x").
 */
#ifndef BUILD_TYPES_LAYOUT_H
#define BUILD_TYPES_LAYOUT_H

#include "build/types/die.h"
#include "build/types/pool.h"

enum types_member_kind {
	TYPES_MEMBER,
	TYPES_BASE,    /* a base class */
	TYPES_VIRTUAL, /* a virtual function */
	TYPES_ENUMERATOR,
};

struct types_member {
	enum types_member_kind kind;
	const char *path;
	int64_t at;    /* bit; slot; value */
	uint64_t bits; /* of a bit-field, else 0 */
	const char *type;
};

struct types_layout {
	unsigned tag; /* as the keyword goes: a class is a struct; 0: a variable, a function */
	bool has_size;
	uint64_t size, alignment; /* alignment 0: none is written */
	const char *type;	  /* of a variable, a function */
	bool constant;		  /* a variable that holds the same always */
	struct types_member *members;
	size_t n_members, capacity;
	const struct types_layout *told; /* the other build's, once their difference is in the report */
};

/*
 * Reading many: where the strings go, and how much was read. Hostile files make small DWARF stand for much.
 */
#define TYPES_STEPS_MAX ((size_t)1 << 23)
#define TYPES_TEXT_MAX	((size_t)1 << 28) /* bytes */
#define TYPES_NAME_MAX	((size_t)1 << 16) /* bytes */
#define TYPES_DEPTH_MAX 64		  /* of types in types that have no name */

struct types_reader {
	struct types_pool *pool;
	struct types_text text;
	size_t steps, bytes;
};

/* "struct", "union", "enum". */
const char *types_keyword(unsigned tag);

/* Of a struct, union, class or enumeration that is a definition; of a variable; of a function. */
_must_check_ struct usp_error *types_layout_read(struct types_reader *reader, const struct types_die *d,
						 struct types_layout *ret);
void types_layout_deinit(struct types_layout *layout);
bool types_layout_equal(const struct types_layout *a, const struct types_layout *b);

/* One more step. USP_BAD_PAYLOAD: too many. */
_must_check_ struct usp_error *types_reader_step(struct types_reader *reader, unsigned depth);
/* What is in reader->text, kept. */
_must_check_ struct usp_error *types_reader_take(struct types_reader *reader, const char **ret);

/* The type that d's DW_AT_type names, in words, to reader->text (words.c). */
_must_check_ struct usp_error *types_words(struct types_reader *reader, const struct types_die *d);
/* The same of a function or function type: result and parameters. */
_must_check_ struct usp_error *types_words_function(struct types_reader *reader, const struct types_die *d);

#endif
