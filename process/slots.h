/* SPDX-License-Identifier: MIT */
/*
 * What the target's dynamic linker has decided already, read from the slots it filled in the target's memory.
 * A value is believed only if it fits what the defining module's file says.
 */
#ifndef PROCESS_SLOTS_H
#define PROCESS_SLOTS_H

#include "process/elf/dynamic.h"
#include "process/elf/symbol_table.h"

/* The 8 bytes at a slot (plus offset) now; false when they cannot be read. */
bool slot_read(const struct module *module, const struct slot *slot, uint64_t offset, uint64_t *ret);

/* Whether the slot names this symbol: name, and version unless that is NULL. */
bool slot_names(const struct dynamic *dynamic, const struct slot *slot, const char *name,
		const char *version);

/* Whether module's file has any slot that binds name (a call or an address), filled in or not. */
bool slots_bind(struct module *module, const char *name);

/*
 * To which module's definition of `name` (its dynamic symbol in *entry) module's own slots were bound; NULL
 * when none says so, be it for want of a slot or because of lazy binding.
 */
struct module *slots_bound(const struct modules *modules, struct module *module, const char *name,
			   const char *version, const struct entry **entry);

/* The implementation that the target chose for an IFUNC of module, runtime; 0 when no slot tells. */
uint64_t slots_ifunc(const struct modules *modules, struct module *module, const struct entry *ifunc);

/* Whether a link-time address lies in a linkage stub of module rather than in a function. */
bool is_linkage_stub(struct module *module, uint64_t address);

#endif
