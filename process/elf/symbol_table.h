/* SPDX-License-Identifier: MIT */
/*
 * A module's symbols as loaded: two sets (what the linker left in .symtab or a debug file, and .dynsym), an
 * index by name, the functions by address, and the FDEs. Inside view, shared by symbols.c, ranges.c and
 * resolve.c.
 */
#ifndef PROCESS_ELF_SYMBOL_TABLE_H
#define PROCESS_ELF_SYMBOL_TABLE_H

#include "process/elf/eh_frame.h"
#include "process/elf/symbols.h"

struct entry {
	const char *name;
	const char *file;	/* of a local one, or NULL */
	const char *version;	/* or NULL */
	uint64_t value, size;	/* link-time; TLS: in the segment */
	uint32_t dynamic_index; /* in .dynsym, 0: from .symtab */
	uint32_t group; /* of a local one: position + 1 of its STT_FILE in files, 0: before the first */
	unsigned char type, binding, visibility;
	bool hidden_version; /* not the default version of its name */
};

struct symbol_set {
	struct entry *v;
	size_t n, capacity;
	uint32_t *heads, *next; /* index by name: position + 1, 0 ends a chain */
	size_t n_heads;		/* power of two */
	bool loaded;
};

/* One for each address where a function begins, the best of its names. */
struct function {
	uint64_t start, end; /* link-time; end == start: nobody says how long it is */
	uint64_t reach;	     /* the largest end up to here: how far back a search has to look */
	const struct entry *entry;
};

/* A direct jump out of an unnamed FDE into the middle of other code (ranges.c). */
struct crossing {
	size_t fde; /* in the table */
	uint64_t target;
};

struct symbol_table {
	struct symbol_set full, dynamic;
	struct elf_file *debug; /* the separate debug file, or NULL */
	char *where;		/* that, or where it was looked for; NULL when there was no need */
	bool has_symtab;	/* full is filled, from the module or its debug file */
	char **strings;		/* names that had to be cut */
	size_t n_strings;
	const char **
		files; /* the names of .symtab's STT_FILE symbols in their order: one for each object linked */
	size_t n_files;
	struct fde_table fdes;
	bool fdes_loaded;
	struct function *functions;
	size_t n_functions;
	bool functions_loaded;
	struct crossing *crossings;
	size_t n_crossings;
	bool crossings_loaded;
};

/* Each loads on first use. USP_MISMATCH when the module's file is not used. */
_must_check_ struct usp_error *symbol_table_dynamic(struct module *module, struct symbol_table **ret);
_must_check_ struct usp_error *symbol_table_full(struct module *module, struct symbol_table **ret);
_must_check_ struct usp_error *symbol_table_functions(struct module *module, struct symbol_table **ret);

/* The first entry of this name, and the one after entry; NULL at the end. */
const struct entry *symbol_set_first(const struct symbol_set *set, const char *name);
const struct entry *symbol_set_next(const struct symbol_set *set, const struct entry *entry);

/* Whether an entry belongs to the type class (symbol_find()). */
bool entry_is_class(const struct entry *entry, unsigned char type);
/* "a.c" and "src/a.c" name the same file as far as one can tell: one is the end of the other, by whole
 * components. */
bool file_matches(const char *a, const char *b);
void entry_to_symbol(struct module *module, const struct entry *entry, struct symbol *ret);

/* The last function that starts at or before a link-time address, else -1. */
ssize_t function_before(const struct symbol_table *table, uint64_t address);
/* The innermost function that covers it, or NULL. */
const struct function *function_covering(const struct symbol_table *table, uint64_t address);

#endif
