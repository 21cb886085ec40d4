/* SPDX-License-Identifier: MIT */
/*
 * Where the dynamic linker looks for the symbols of one module, and in which order, as far as public data
 * tells: first what was loaded at start (the global scope), then what the module itself needs, then the rest
 * (opened meanwhile, visible or not: what only those define must be defined once).
 */
#ifndef PROCESS_ELF_SCOPE_H
#define PROCESS_ELF_SCOPE_H

#include "process/elf/module.h"

struct scope {
	struct module **v;
	size_t n;
	size_t n_certain; /* the first so many are in the order of the dynamic linker; after them, order means
			     nothing */
};

_must_check_ int scope_init(const struct modules *modules, struct module *from, struct scope *ret);
void scope_deinit(struct scope *scope);

#endif
