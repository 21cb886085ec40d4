/* SPDX-License-Identifier: MIT */
/*
 * A payload file, read and checked. Input is hostile until payload_read() has returned it. Knows nothing of
 * any target.
 */
#ifndef PAYLOAD_PAYLOAD_H
#define PAYLOAD_PAYLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define PAYLOAD_FILE_MAX      (64u << 20) /* bytes */
#define PAYLOAD_NAME_MAX      63
#define PAYLOAD_BUILD_ID_MAX  64
#define PAYLOAD_FUNCTIONS_MAX 16384
#define PAYLOAD_NOP_MAX	      31
#define PAYLOAD_STATES_MAX    64

/* What usplice/shadow.h refers to: the process' shadow data. The number is the version of its layout. */
#define PAYLOAD_SHADOW_SYMBOL "usplice_shadow_1"

enum payload_hook_kind {
	PAYLOAD_HOOK_LOAD,
	PAYLOAD_HOOK_UNLOAD,
	PAYLOAD_HOOK_PRE_APPLY,
	PAYLOAD_HOOK_POST_APPLY,
	PAYLOAD_HOOK_PRE_REVERT,
	PAYLOAD_HOOK_POST_REVERT,
	PAYLOAD_HOOK_APPLY,
	PAYLOAD_HOOK_REVERT,
	PAYLOAD_HOOK_KINDS
};

/* A place inside the payload: section index and offset, until the image gives it an address. */
struct payload_place {
	unsigned section;
	uint64_t offset;
};

struct payload_function {
	const char *name; /* NULL: by address */
	const char *file; /* or NULL */
	bool is_nop;
	struct payload_place replacement; /* not for a NOP */
	uint64_t replacement_size;	  /* from the symbol that covers it, bytes */
	uint32_t nop_offset, nop_length;
	uint64_t old_address; /* link-time, 0: by name */
	uint64_t old_size;    /* 0: not filled in yet (a file that has not been through `usplice cc`) */
	const uint8_t *expected;
	uint8_t expected_length;
	const uint8_t *hash; /* 32 bytes, or NULL */
	bool has_witness; /* registers that callers rely on need no look: both versions' callers were compared */
	uint64_t record_offset; /* of its struct usplice_function in the file: `usplice cc` fills it in there
				 */
};

/* What it makes of the target's data: docs/shadow.md. */
struct payload_data_state {
	char name[PAYLOAD_NAME_MAX + 1];
	uint32_t version; /* not 0 */
};

struct payload_hook {
	enum payload_hook_kind kind;
	struct payload_place place;
};

struct payload {
	char name[PAYLOAD_NAME_MAX + 1]; /* "" when the file names none */
	const char *version;		 /* or NULL */
	const char *description;	 /* or NULL */
	const char *target_name; /* base name of the module it was made for, or NULL: for messages only */
	uint8_t build_id[PAYLOAD_BUILD_ID_MAX];
	uint8_t build_id_size;
	uint8_t target_build_id[PAYLOAD_BUILD_ID_MAX]; /* of the module whose functions it replaces */
	uint8_t target_build_id_size;
	uint8_t depends[PAYLOAD_BUILD_ID_MAX]; /* of the payload it goes on top of */
	uint8_t depends_size;		       /* 0: on whatever is there */
	struct payload_function *functions;
	size_t n_functions;
	struct payload_hook *hooks; /* in link order, by kind */
	size_t n_hooks;
	const char **exports; /* global (not weak, not hidden) names that it defines: the target may have none
				 of them */
	size_t n_exports;
	struct payload_data_state *states;
	size_t n_states;
	bool needs_shadow;	/* refers to PAYLOAD_SHADOW_SYMBOL */
	bool has_writable_data; /* .data or .bss not empty: may be applied only once (its data may be stale)
				 */
	struct payload_file *file; /* payload/'s own: sections, symbols, relocations, checked */
};

/*
 * Checks everything that can be checked without a target: every row of docs/payload-format.md, "What is
 * refused". data is copied. finished: also refuse what `usplice cc` has to fill in (build-ids, old sizes,
 * expected bytes or hash). USP_BAD_PAYLOAD; the message names the section, symbol or record.
 */
_must_check_ struct usp_error *payload_read(const void *data, size_t size, bool finished,
					    struct payload **ret);
void payload_destroy(struct payload *payload); /* NULL is fine */

#endif
