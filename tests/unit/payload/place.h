/* SPDX-License-Identifier: MIT */
/* Builds images at real addresses of this very process and makes them callable; plays the host and its
 * resolver. */
#ifndef TESTS_PLACE_H
#define TESTS_PLACE_H

#include "payload/image.h"
#include "sample_target.h"

/* Where the image lies, seen from "the target" (the arena: its data, and stubs that lead to its functions).
 */
enum place_kind {
	PLACE_LOW,
	PLACE_NEAR,
	PLACE_FAR,
	PLACE_KINDS
};

struct arena {
	struct target_state state;
	const char *words[4];
	uint8_t stubs[4][16];
};

struct place {
	enum place_kind kind;
	struct arena *arena;
	struct payload *payload;
	struct payload_image *image;
	bool mapped;
	/* target_tls, _ld and _ld2 are taken for ones of a library that was loaded later. */
	bool late_tls;
	bool asked_tls_call; /* for __tls_get_addr */
};

/* Reserves an arena. */
void place_init(struct place *place, enum place_kind kind);
void place_deinit(struct place *place); /* unmaps everything */

/* Reads the payload file, lays it out near or far from the arena, resolves and maps it. */
struct usp_error *place_load(struct place *place, const char *path, bool finished);

/* The mapped address of the function that replaces old_name; NULL when none does. */
void *place_function(const struct place *place, const char *old_name);

/* More symbols of "the target", for one test; ended by a NULL name. */
struct place_symbol {
	const char *name;
	const void *address;
};
extern const struct place_symbol *place_symbols;

extern struct target_state target_state_initial;
void target_reset(void); /* the test's own state, and thread-local variables */

/* A file's contents, allocated. */
void *read_file(const char *path, size_t *size);

#endif
