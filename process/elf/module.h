/* SPDX-License-Identifier: MIT */
/*
 * The ELF files that make up a target: the executable, its libraries, the vdso. Each is opened through the
 * target's own mount namespace (map_files, else root with device and inode compared), and nothing it says is
 * trusted.
 */
#ifndef PROCESS_ELF_MODULE_H
#define PROCESS_ELF_MODULE_H

#include <elf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "process/maps.h"

#define BUILD_ID_MAX 64 /* bytes; 20 is usual */

struct symbol_table; /* process/elf/symbols.c's, loaded on first use */
struct elf_file;     /* process/elf/elffile.h: the bytes, read on demand */
struct dynamic;	     /* process/elf/dynamic.h: the dynamic section, read on first use */

struct module {
	const char *path;    /* as the maps show it (without " (deleted)"), or the file given to
				module_open_file() */
	const char *name;    /* last component of path */
	bool is_main;	     /* the executable */
	bool deleted;	     /* the file's name is gone or is another file now */
	uint64_t bias;	     /* runtime address - link-time address; 0 for a file that is not loaded */
	uint64_t start, end; /* runtime addresses that its segments cover */
	uint8_t build_id[BUILD_ID_MAX];
	size_t build_id_size; /* 0: has none */
	/*
	 * Why the file is not used (it is not what runs, or cannot be opened), a sentence part for messages;
	 * NULL when all is well. If set, elf is NULL, fd is -1, there are no symbols, and phdr may be NULL
	 * (n_phdr 0).
	 */
	char *unusable;
	int fd;		     /* the file, owned by elf; -1 for the vdso */
	const uint8_t *file; /* its whole contents, a private copy; NULL until module_load() */
	size_t file_size;
	Elf64_Ehdr ehdr; /* checked */
	const Elf64_Phdr
		*phdr; /* n_phdr of them, checked: no segment wraps around or reaches out of the file */
	size_t n_phdr;
	const Elf64_Shdr *shdr; /* n_shdr of them, or NULL when the file has none (or unusable ones) */
	size_t n_shdr;
	const struct target *target; /* whose memory it lies in; not owned; NULL for module_open_file() */
	struct elf_file *elf;
	struct dynamic *dynamic;
	struct symbol_table *symbols;
};

struct modules {
	struct module *
		*v; /* in link-map order where that is known, else in address order; the executable first */
	size_t n;
	size_t n_linked;	     /* the first so many are in link-map order; 0: no link map was found */
	const struct target *target; /* not owned; NULL for module_open_file() */
};

/* All modules of the target. A mapping that is no ELF file is left out. */
_must_check_ struct usp_error *modules_open(const struct target *target, const struct maps *maps,
					    struct modules **ret);
void modules_close(struct modules *modules);

/* One ELF file that is not running, for the builder: bias 0. */
_must_check_ struct usp_error *module_open_file(const char *path, struct module **ret);
void module_close(struct module *module);

/*
 * Reads the whole file into module->file (a private copy that nobody can change or shrink under us). Until
 * then only what was asked for has been read, so opening a target is quick.
 */
_must_check_ struct usp_error *module_load(struct module *module);

/* The module with this build-id (exactly one), else NULL. */
struct module *modules_find_build_id(const struct modules *modules, const uint8_t *build_id, size_t size);
/* The module that holds a runtime address, else NULL. */
struct module *modules_find_address(const struct modules *modules, uint64_t address);

/*
 * Reads n bytes of the module's *file* as they would lie at link-time address (zero-filled past p_filesz,
 * within a PT_LOAD). -EFAULT when not all of it lies in one segment.
 */
_must_check_ int module_read_file(const struct module *module, uint64_t link_address, void *buf, size_t n);

/*
 * Whether the build-id that lies in the target's memory is (still) the one of the file. False when memory
 * cannot be read. What modules_open() has checked already; for checking again later.
 */
bool module_same_in_memory(const struct module *module);

/* A program, as against a library, whose names a program may bring or replace. */
bool module_is_program(const struct module *module);

/* Hex of a build-id into buf (2 * size + 1 bytes). */
void build_id_format(const uint8_t *build_id, size_t size, char *buf);

#endif
