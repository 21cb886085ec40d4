/* SPDX-License-Identifier: MIT */
/*
 * Making one module object, for those who find the modules of a target. Not for the users of module.h.
 */
#ifndef PROCESS_ELF_MODULE_NEW_H
#define PROCESS_ELF_MODULE_NEW_H

#include "process/elf/elffile.h"
#include "process/elf/module.h"

/*
 * A module over elf (taken, also on failure; may be NULL when unusable says why), lying at bias. unusable is
 * copied. -ENOEXEC: it has no PT_LOAD, or one that cannot lie at this bias; -ENOMEM.
 */
_must_check_ int module_new(const struct target *target, struct elf_file *elf, const char *path,
			    uint64_t bias, struct module **ret);
/* From now on the file is not used: gives back elf and what came of it; keeps the headers and, if given, sets
 * why. */
_must_check_ int module_set_unusable(struct module *module, const char *why);

/* The segment with the lowest address, or NULL. */
const Elf64_Phdr *phdr_lowest_load(const Elf64_Phdr *phdr, size_t n);

/* Puts modules in link-map order, the executable first; sets n_linked and is_main. main_index: by auxv, or n.
 */
_must_check_ int modules_order(struct modules *modules, size_t main_index);

#endif
