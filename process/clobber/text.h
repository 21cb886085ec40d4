/* SPDX-License-Identifier: MIT */
/*
 * The executable bytes of a module, or of a buffer, with each instruction decoded once. Addresses are
 * link-time ones, or offsets in the buffer.
 */
#ifndef PROCESS_CLOBBER_TEXT_H
#define PROCESS_CLOBBER_TEXT_H

#include "process/address_map.h"
#include "process/clobber/decode.h"

struct text_piece {
	const uint8_t *bytes;
	uint64_t address, size;
};

#define TEXT_PIECES 16
struct text {
	struct text_piece pieces[TEXT_PIECES];
	size_t n_pieces;
	struct module *module;	  /* NULL: a buffer */
	struct address_map index; /* address -> place in v + 1, UINT64_MAX: cannot be decoded */
	struct insn **blocks;	  /* of TEXT_BLOCK each, so that pointers stay */
	size_t n, n_blocks;
	bool no_memory; /* an allocation failed: every answer since is void */
};
#define TEXT_BLOCK 1024

/* Loads the module's file. */
_must_check_ struct usp_error *text_init_module(struct text *text, struct module *module);
void text_init_buffer(struct text *text, const uint8_t *bytes, size_t size);
void text_deinit(struct text *text);

/* Whether code can lie at address (link-time; in a buffer: offset). */
bool text_has(const struct text *text, uint64_t address);
/* The instruction at address, or NULL when there is none. */
const struct insn *text_at(struct text *text, uint64_t address);

#endif
