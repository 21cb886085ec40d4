/* SPDX-License-Identifier: MIT */
/*
 * The libraries that an ELF file which is not running would be linked with, as far as they are found on disk:
 * what it needs, and what those need, in the usual directories and beside the file. Only for the question
 * "will that name be there?"; at run time the answer is the process'.
 */
#ifndef BUILD_LIBRARIES_H
#define BUILD_LIBRARIES_H

#include <stdbool.h>
#include <stddef.h>

#include "process/elf/module.h"

struct libraries {
	struct module **v;
	size_t n;
	char *found;   /* their names, ", " between; "" when there are none */
	char *missing; /* names of those that are needed and not found; "" when there are none */
};

_must_check_ struct usp_error *libraries_open(struct module *module, struct libraries *ret);
void libraries_close(struct libraries *libraries);

/* Whether one of them exports name. */
bool libraries_export(const struct libraries *libraries, const char *name);

/* Whether the module's dynamic symbol table has name: exported, or (imported) as one that it expects of
 * others. */
bool module_exports(struct module *module, const char *name);
bool module_imports(struct module *module, const char *name);

#endif
