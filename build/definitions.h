/* SPDX-License-Identifier: MIT */
/*
 * What a module's symbol table has of one name: all that it defines, where symbol_find() wants exactly one. For the
 * question what a reference from another object of the module would have been linked with.
 */
#ifndef BUILD_DEFINITIONS_H
#define BUILD_DEFINITIONS_H

#include <stdbool.h>

#include "build/object/object.h"
#include "process/elf/module.h"
#include "process/elf/symbol_table.h"

struct definitions {
	const struct entry
		*shared;	   /* what all its objects mean: global, or made local because it is hidden */
	const struct entry *local; /* one object's own, as far as can be told */
	bool ambiguous;		   /* several local ones */
};

_must_check_ struct usp_error *definitions_find(struct module *names, const char *name,
						struct definitions *ret);

/*
 * Whether something of the object may be in the module: by the name of its source and by its global names, as far as there
 * are any. False: the linker has left it out (a member of an archive, sections that nobody uses), or never had it.
 */
_must_check_ struct usp_error *definitions_have(struct module *names, const struct object *object, bool *ret);

/*
 * Whether the module may be made of a source of this name (no path), as linkers list them; also if it lists none (-x, strip).
 */
_must_check_ struct usp_error *definitions_have_source(struct module *names, const char *source, bool *ret);

#endif
