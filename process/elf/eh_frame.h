/* SPDX-License-Identifier: MIT */
/*
 * Where functions begin and end according to .eh_frame: every frame description entry's extent, and the
 * landing pads of its exception table. Says nothing about how to unwind. Hostile input.
 */
#ifndef PROCESS_ELF_EH_FRAME_H
#define PROCESS_ELF_EH_FRAME_H

#include "process/elf/elffile.h"

struct fde {
	uint64_t start, end; /* link-time */
	uint64_t lsda;	     /* link-time address of its exception table, 0: none */
};

struct fde_table {
	struct fde *v; /* ascending by start; they may overlap in a hostile file */
	size_t n;
	bool complete; /* false: some part could not be understood, so there may be more */
};

/* 0 or -ENOMEM. A file without .eh_frame gives an empty table that is complete. */
_must_check_ int fde_table_read(struct elf_file *file, struct fde_table *ret);
void fde_table_deinit(struct fde_table *table);

/* The entry that holds address, or NULL. */
const struct fde *fde_table_find(const struct fde_table *table, uint64_t address);
/* Whether one begins exactly there. */
const struct fde *fde_table_starting(const struct fde_table *table, uint64_t address);

/*
 * Calls fn with each landing pad (link-time) of an entry's exception table. 0, what fn returned when that is
 * not 0, or -EBADMSG when the table cannot be understood.
 */
_must_check_ int fde_each_landing_pad(struct elf_file *file, const struct fde *fde,
				      int (*fn)(void *context, uint64_t address), void *context);

#endif
