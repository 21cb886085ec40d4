/* SPDX-License-Identifier: MIT */
/*
 * Names and addresses: .symtab, .dynsym, separate debug files (by build-id and debuglink, in the target's
 * mount namespace, then the controller's), and the FDEs of .eh_frame for what has no name. Never the first of
 * several.
 */
#ifndef PROCESS_ELF_SYMBOLS_H
#define PROCESS_ELF_SYMBOLS_H

#include "base/range.h"
#include "process/elf/module.h"

struct symbol {
	const char *name;    /* without version; owned by the module */
	const char *file;    /* source file of a local symbol (STT_FILE), else NULL */
	const char *version; /* symbol version, else NULL */
	struct module *module;
	uint64_t address; /* runtime (link-time + bias); for TLS: the offset in the module's TLS segment */
	uint64_t size;
	unsigned char type;    /* STT_… */
	unsigned char binding; /* STB_… */
};

/* Gives back what was loaded for module->symbols; module_close() calls it. NULL is fine. */
void symbol_table_destroy(struct symbol_table *table);

/*
 * The one defined symbol `name` in module, of the given type class (STT_FUNC also takes IFUNC and NOTYPE with
 * a size; STT_OBJECT, STT_TLS; STT_NOTYPE takes all). file (or NULL) picks among same-named locals: "a.c"
 * matches "src/a.c". Symbols at the same address are one. USP_NOT_FOUND names the nearest names (edit
 * distance) and says whether the module has only .dynsym and where a debug file was looked for; USP_AMBIGUOUS
 * lists file and address of each match.
 */
_must_check_ struct usp_error *symbol_find(struct module *module, const char *name, const char *file,
					   unsigned char type, struct symbol *ret);

/*
 * Functions made from `name` by the compiler that are not replaced with it: NAME.constprop.N, NAME.isra.N,
 * NAME.lto_priv.N and the like, not its split-off parts. Calls fn for each until it returns non-zero; *ret_n
 * (or NULL) gets the number.
 */
_must_check_ struct usp_error *symbol_clones(struct module *module, const char *name, const char *file,
					     int (*fn)(void *context, const struct symbol *symbol),
					     void *context, size_t *ret_n);

/* The function that covers a runtime address (symbol, else FDE with name ""); false when none does. */
bool symbol_at(struct module *module, uint64_t address, struct symbol *ret);

/*
 * Everything that counts as inside the function at [address, address + size): its range, and its split-off
 * parts
 * (.cold, .part.N and what it jumps to that no other function's entry begins at; FDEs and decoded jumps
 * decide where names are missing). Adds runtime ranges to set; errs towards more. Not sealed.
 */
_must_check_ struct usp_error *function_ranges(struct module *module, uint64_t address, uint64_t size,
					       struct range_set *set);

/* Calls fn for each defined function symbol of the module until it returns non-zero; returns that. */
int symbols_each_function(struct module *module, int (*fn)(void *context, const struct symbol *symbol),
			  void *context);

/*
 * What a reference from new code in `from` (or NULL: in no module) means, as the target's dynamic linker
 * would bind it: with a file, the local symbol of that file; without (NULL), from's global, else its only
 * local; then the link-map order, with symbol versions. What the target's own slots say goes before all
 * order. file "": no local one. A function that is an IFUNC gives the implementation that the target chose,
 * taken from a GOT slot it has filled; where there is none, ret->ifunc_resolver is set and address is 0 (the
 * caller calls the resolver in the target). A COPY-relocated object gives the executable's copy.
 */
struct resolved {
	uint64_t address; /* runtime */
	uint64_t size;
	uint64_t ifunc_resolver; /* runtime, 0: not needed */
	struct module *module;
	unsigned char type;
	/* STT_TLS (address is 0): */
	uint64_t tls_module; /* for __tls_get_addr, 0: unknown */
	uint64_t tls_offset; /* in the module's block */
	bool tls_static;     /* tls_tpoff is valid in every thread */
	int64_t tls_tpoff;   /* from the thread pointer (%fs:0) */
};
_must_check_ struct usp_error *symbol_resolve(const struct modules *modules, struct module *from,
					      const char *name, const char *file, const char *version,
					      struct resolved *ret);

#endif
