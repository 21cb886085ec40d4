/* SPDX-License-Identifier: MIT */
/*
 * The x86-64 relocation types: how each is computed, how wide it is, and why the ones that are not supported
 * are not. Only the table; apply.c applies it. Letters as in the psABI: S symbol, A addend, P place, L slot,
 * G word, GOT the words' start.
 */
#ifndef PAYLOAD_RELOCATION_H
#define PAYLOAD_RELOCATION_H

#include <stdbool.h>
#include <stdint.h>

enum payload_formula {
	PAYLOAD_FORMULA_REFUSED,
	PAYLOAD_FORMULA_NONE,
	PAYLOAD_FORMULA_ABSOLUTE,   /* S + A */
	PAYLOAD_FORMULA_PC,	    /* S + A - P */
	PAYLOAD_FORMULA_BRANCH,	    /* S + A - P, or L + A - P when that does not reach */
	PAYLOAD_FORMULA_WORD_PC,    /* G + A - P */
	PAYLOAD_FORMULA_WORD_GOT,   /* G - GOT + A */
	PAYLOAD_FORMULA_GOT_PC,	    /* GOT + A - P */
	PAYLOAD_FORMULA_GOT_OFFSET, /* S + A - GOT */
	PAYLOAD_FORMULA_SIZE,	    /* size of S, + A */
	PAYLOAD_FORMULA_TPOFF,	    /* offset from the thread pointer, + A */
	PAYLOAD_FORMULA_GOTTPOFF,   /* word with that offset, + A - P */
	/* of a variable at a fixed offset from the thread pointer, the code is written over instead (tls.h):
	 */
	PAYLOAD_FORMULA_TLSGD,	 /* pair {module, offset}, + A - P */
	PAYLOAD_FORMULA_TLSLD,	 /* pair {module, 0}, + A - P */
	PAYLOAD_FORMULA_DTPOFF,	 /* offset in the module's block, + A; in code written over as TPOFF */
	PAYLOAD_FORMULA_TLSDESC, /* only written over */
};

struct payload_relocation_type {
	const char *name;
	enum payload_formula formula;
	uint8_t width; /* bytes */
	bool is_signed;
	unsigned use;	 /* PAYLOAD_USE_… of its symbol */
	const char *why; /* of a refused one: what to do */
};

/* NULL for a number that no psABI has given out (as far as we know). */
const struct payload_relocation_type *payload_relocation_type(uint32_t type);

#endif
