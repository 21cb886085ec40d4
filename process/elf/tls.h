/* SPDX-License-Identifier: MIT */
/*
 * Where thread-local variables lie (x86-64, variant II): the module id for __tls_get_addr, and the distance
 * from the thread pointer where that is the same in every thread. Only what follows from the file or from
 * slots that the dynamic linker has filled in is said to be known; the private structures of C libraries are
 * not looked into.
 */
#ifndef PROCESS_ELF_TLS_H
#define PROCESS_ELF_TLS_H

#include "process/elf/symbols.h"

/* Fills the tls_ fields of ret for the variable at `offset` of module's TLS segment. 0 or -ENOMEM. */
_must_check_ int tls_resolve(const struct modules *modules, struct module *module, const char *name,
			     uint64_t offset, struct resolved *ret);

#endif
