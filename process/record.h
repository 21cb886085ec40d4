/* SPDX-License-Identifier: MIT */
/*
 * A payload's record: what usplice must know of a payload after the upload, laid beside its image in the
 * target and never changed again. What does change (state, position, results) is in the registry's table.
 */
#ifndef PROCESS_RECORD_H
#define PROCESS_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/range.h"

#define RECORD_SITE_MAX 32 /* room for a site's bytes; 31 at most are used */
#define RECORD_SIZE_MAX (64u << 20)

struct record_function {
	const char *name;
	const char *file;     /* or NULL */
	uint64_t old_address; /* runtime */
	uint64_t old_size;
	uint64_t new_address; /* 0: NOP */
	uint64_t new_size;
	uint64_t site;			   /* runtime address of the bytes that are rewritten */
	uint32_t site_length;		   /* 1 to 31 */
	uint8_t original[RECORD_SITE_MAX]; /* what is there when nothing is applied */
	uint8_t patched[RECORD_SITE_MAX];  /* what is there when this payload is on top */
	uint64_t pad; /* displaced copy of the original instructions (process/displace.h); 0: there can be
			 none */
	uint32_t pad_size; /* bytes */
	bool enterable; /* the old code may enter the site behind its first byte: see displace_enters_site()
			 */
	struct range *ranges; /* all that counts as inside the old function, entry included */
	size_t n_ranges;
};

struct record_hook {
	uint32_t kind; /* enum payload_hook_kind */
	uint64_t address;
};

/* A function of the payload's own, for perf. */
struct record_code {
	const char *name;
	uint64_t address, size;
};

struct record_state {
	const char *name;
	uint32_t version;
};

struct record {
	const char *name;
	const char *version;	 /* or NULL */
	const char *description; /* or NULL */
	const char *module;	 /* base name */
	uint8_t build_id[64], module_build_id[64], depends[64];
	uint32_t build_id_size, module_build_id_size, depends_size;
	bool writable_data;
	uint64_t image_base, image_size;
	uint64_t pads_size; /* bytes of pads, behind the image; whole pages */
	uint64_t text_start, text_end;
	uint64_t eh_frame, eh_frame_size;
	struct record_function *functions;
	size_t n_functions;
	struct record_hook *hooks;
	size_t n_hooks;
	struct record_code *code; /* every function of the image */
	size_t n_code;
	const char **symbols; /* new global symbols that the payload brings */
	size_t n_symbols;
	struct record_state *states;
	size_t n_states;
	void *storage; /* what the pointers above point into, when it was parsed */
};

/* Serialises; *bytes is the caller's (free). */
_must_check_ struct usp_error *record_pack(const struct record *record, uint8_t **bytes, size_t *size);
/* Parses bytes from a target's memory: hostile. The result does not point into bytes. */
_must_check_ struct usp_error *record_unpack(const uint8_t *bytes, size_t size, struct record **ret);
void record_destroy(struct record *record); /* one from record_unpack(); NULL is fine */

#endif
