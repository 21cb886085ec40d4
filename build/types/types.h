/* SPDX-License-Identifier: MIT */
/*
 * What a source patch did to types: the debug information of two builds of one object, compared. New code
 * works on what the old code made; if the layout of a structure changed, a payload is dangerous however
 * well its code was compared.
 *
 * It sees what DWARF says, and that is not all: a type that a function reaches by a cast alone (`((struct s
 * *)p)->x`), by sizeof or through a call whose result has no variable is not among the function's own. So a
 * change with no functions is not a harmless one. clang only declares C++ classes whose virtual functions
 * are in another file (unless -fstandalone-debug): nothing is seen of these. What a member *means* is seen
 * by nobody. What could not be found out is TYPES_UNKNOWN, never silence.
 */
#ifndef BUILD_TYPES_TYPES_H
#define BUILD_TYPES_TYPES_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

enum types_kind {
	TYPES_LAYOUT,	 /* of a struct, union or class: size, alignment, members, bases, virtual functions */
	TYPES_ENUM,	 /* an enumerator has another value or is gone */
	TYPES_SIGNATURE, /* parameters or result of a function that is known to both builds */
	TYPES_VARIABLE,	 /* the type of a variable with static storage, also of one inside a function */
	TYPES_UNKNOWN, /* could not find out; named is an asked function, a type, or the object by its path */
};

/*
 * Whether all that was there is where it was, and the size is the same. Objects that exist have room for what is new
 * then, but what they hold there is what happened to be there.
 */
enum types_kept {
	TYPES_KEPT_NOT,
	TYPES_KEPT,
	TYPES_KEPT_REREAD, /* but for integers that have another type of their size now */
};

struct types_change {
	enum types_kind kind;
	const char *name; /* "struct ngx_ssl_ocsp_ctx_s", "struct f()::s", "ngx_str_t" (of an unnamed one) */
	const char *text; /* "member ncert added at offset 48; size 160, was 152" */
	enum types_kept kept;
	/*
	 * Those of the asked that use it, in either build: their parameters, results, variables, those of
	 * what was inlined into them, signatures of what they call, everything reached from there, and all
	 * static variables of their unit.
	 */
	const char **functions;
	size_t n_functions;
};

struct types_report {
	struct types_change *v; /* by kind and name */
	size_t n;
	struct types_pool *pool;
};

const char *types_kind_word(enum types_kind kind);

/*
 * before and after are paths of relocatable objects; functions are names of symbols of after (the changed
 * and the added ones). In each build, what it uses is what the debug information says of the code at that
 * symbol; of a clone or part that is not there (f.part.0), of f's. Errors: a file that cannot be read or is no
 * object. Debug information that is missing or broken is no error but TYPES_UNKNOWN. Names in the report
 * are its own.
 */
_must_check_ struct usp_error *types_compare(const char *before, const char *after,
					     const char *const *functions, size_t n_functions,
					     struct types_report **ret);
void types_report_destroy(struct types_report *report); /* NULL is fine */

#endif
