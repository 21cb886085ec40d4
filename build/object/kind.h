/* SPDX-License-Identifier: MIT */
/*
 * What a section of an object is for, by its type, flags and name, and why some need no comparison.
 */
#ifndef BUILD_OBJECT_KIND_H
#define BUILD_OBJECT_KIND_H

#include <stdbool.h>
#include <stdint.h>

enum object_kind {
	OBJECT_KIND_IGNORED, /* needs no comparison; object_kind_reason() says why */
	OBJECT_KIND_CODE,
	OBJECT_KIND_CONSTANT, /* read-only, also after relocation: tables, strings that are not merged, jump tables */
	OBJECT_KIND_STRINGS, /* merged strings */
	OBJECT_KIND_MERGED,  /* merged constants */
	OBJECT_KIND_DATA,
	OBJECT_KIND_BSS,
	OBJECT_KIND_TLS,     /* .tdata and .tbss */
	OBJECT_KIND_START,   /* .init_array and its kin: runs when the program starts or ends */
	OBJECT_KIND_RECORDS, /* .usplice.*: what <usplice/payload.h> puts there */
	OBJECT_KIND_SPECIAL, /* anything else: may mean anything, so it is compared as a whole */
	OBJECT_KIND_LTO,
};

enum object_kind object_kind(const char *name, uint32_t type, uint64_t flags);

/* Of an ignored one: why that is right. */
const char *object_kind_reason(const char *name, uint32_t type, uint64_t flags);

/* Whether a variable in a section of this name is only that: in others it is an entry of somebody's table, too. */
bool object_kind_is_plain(const char *name);

#endif
