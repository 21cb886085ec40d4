/* SPDX-License-Identifier: MIT */
/*
 * A module's dynamic section as its *file* has it (link-time addresses, no one has touched it): names,
 * versions, and the relocations whose slots tell what the dynamic linker decided. Hostile input; every table
 * is checked to lie in the file before it is used.
 */
#ifndef PROCESS_ELF_DYNAMIC_H
#define PROCESS_ELF_DYNAMIC_H

#include "process/elf/module.h"

/* A relocation that the dynamic linker fills in by decision: JUMP_SLOT, GLOB_DAT, 64, COPY, IRELATIVE and the
 * TLS ones. */
struct slot {
	uint64_t address; /* link-time */
	int64_t addend;
	uint32_t type;	 /* R_X86_64_… */
	uint32_t symbol; /* index in .dynsym, 0: none */
};

struct dynamic {
	const Elf64_Sym *symbols; /* unaligned reads are fine on x86-64; NULL: none */
	size_t n_symbols;
	const char *strings; /* ends in NUL when string_size > 0 */
	size_t string_size;
	const uint16_t *versym; /* n_symbols of them, or NULL */
	const char **versions;	/* by version index; NULL where there is none */
	size_t n_versions;
	const char **needed;
	size_t n_needed;
	const char *soname; /* or NULL */
	bool symbolic;	    /* DT_SYMBOLIC or DF_SYMBOLIC */
	bool has_debug;	    /* a DT_DEBUG entry, at debug_address (link-time, of the d_ptr) */
	uint64_t debug_address;
	struct slot *slots;
	size_t n_slots;
};

/* Read on first use, kept in module->dynamic. NULL: out of memory. A module with no dynamic section gets an
 * empty one. */
const struct dynamic *module_dynamic(struct module *module);
void dynamic_destroy(struct dynamic *dynamic); /* NULL is fine */

/* The name of a dynamic symbol; "" when it is not a sound one. */
const char *dynamic_symbol_name(const struct dynamic *dynamic, size_t index);
/* Its version, or NULL. *hidden (or NULL): not the default version of its name. */
const char *dynamic_symbol_version(const struct dynamic *dynamic, size_t index, bool *hidden);

#endif
