/* SPDX-License-Identifier: MIT */
/*
 * Writing a payload in C. Include this in the payload's source and compile it with `usplice cc`.
 *
 *     #include <usplice/payload.h>
 *     void addReplyBulkCString(void *c, const char *s);      // the target's own function
 *     static void echo_fixed(void *c) { addReplyBulkCString(c, "patched"); }
 *     USPLICE_REPLACE(echoCommand, echo_fixed);
 *
 * Each macro puts a record into a section of its own; docs/payload-format.md describes them. Sections named
 * `.usplice.*` are read by the loader and never mapped into the target.
 */
#ifndef USPLICE_PAYLOAD_H
#define USPLICE_PAYLOAD_H

#include <stdint.h>

#define USPLICE_FORMAT_VERSION 1

#define USPLICE_EXPECTED_MAX 31 /* bytes: also the most that a NOP record may blank */
#define USPLICE_HASH_SIZE    32 /* BLAKE2b-256 over the whole old function */

/*
 * `.usplice.funcs`: an array of these, 128 bytes each. In a source, only the first four members are set;
 * `usplice cc` fills in the rest from the target binary. Pointers are R_X86_64_64 relocations in the file.
 */
struct usplice_function {
	const char *name; /* the target's function, as its symbol table has it; NULL: old_address counts */
	const char *file; /* source file of a local symbol that is not unique; or NULL */
	const void *replacement; /* the new function, in this payload; NULL: blank bytes (NOP record) */
	uint32_t nop_offset;	 /* NOP record: where in the old function, bytes */
	uint32_t nop_length;	 /* NOP record: how many bytes, 1 to 31, whole instructions */

	uint64_t old_address;	 /* link-time address in the target's module; 0: by name */
	uint64_t old_size;	 /* bytes; never 0 in a finished payload */
	uint8_t expected_length; /* how many of expected[] count, from the function's start (NOP: from
				    nop_offset) */
	uint8_t expected[USPLICE_EXPECTED_MAX];
	uint8_t has_hash; /* 1: hash counts */
	/* 1: who relies on its registers was compiled with both versions in sight (`usplice build`) */
	uint8_t has_witness;
	uint8_t reserved[14]; /* 0 */
	uint8_t hash[USPLICE_HASH_SIZE];
};

/*
 * `.usplice.symbols`: which symbol of the target an undefined one means: the local one of a source file, or what is at
 * an address. 32 bytes.
 */
struct usplice_symbol {
	const char *name;
	const char *file; /* or NULL: by address */
	uint64_t
		address; /* link-time, in the target's module; of a thread-local variable: in its TLS segment */
	uint8_t by_address;  /* 1: address counts, and there is no file */
	uint8_t reserved[7]; /* 0 */
};

#define USPLICE_CAT_(a, b)	      a##b
#define USPLICE_CAT(a, b)	      USPLICE_CAT_(a, b)
#define USPLICE_RECORD_(section_name) __attribute__((used, aligned(8), section(section_name)))
#define USPLICE_UNIQUE_(prefix)	      USPLICE_CAT(prefix, __COUNTER__)

/* Replaces the target's function `old` by `new_function` of this payload. */
#define USPLICE_REPLACE(old, new_function)                                                       \
	static const struct usplice_function USPLICE_UNIQUE_(usplice_function_) USPLICE_RECORD_( \
		".usplice.funcs") = {.name = #old, .replacement = (const void *)(new_function)}

/* The same for a local (static) function that exists in several source files: `file` as the symbol table has
 * it. */
#define USPLICE_REPLACE_IN(file_name, old, new_function)                        \
	static const struct usplice_function USPLICE_UNIQUE_(usplice_function_) \
		USPLICE_RECORD_(".usplice.funcs") = {                           \
			.name = #old, .file = file_name, .replacement = (const void *)(new_function)}

/* Blanks `length` bytes (1 to 31, whole instructions) at `offset` in the target's function `old`. */
#define USPLICE_NOP(old, offset, length)                                                         \
	static const struct usplice_function USPLICE_UNIQUE_(usplice_function_) USPLICE_RECORD_( \
		".usplice.funcs") = {.name = #old, .nop_offset = (offset), .nop_length = (length)}

/* Says that the local symbol `symbol`, used by this payload, is the one of source file `file_name`. */
#define USPLICE_SYMBOL_IN(file_name, symbol)                                \
	static const struct usplice_symbol USPLICE_UNIQUE_(usplice_symbol_) \
		USPLICE_RECORD_(".usplice.symbols") = {.name = #symbol, .file = file_name}

/* `.usplice.info`: "key=value" strings, each ended by NUL. */
#define USPLICE_INFO_(key_value)                           \
	static const char USPLICE_UNIQUE_(usplice_info_)[] \
		__attribute__((used, aligned(1), section(".usplice.info"))) = key_value

/* 1 to 63 of [A-Za-z0-9._+-], not . or - first; else the file's name */
#define USPLICE_NAME(string)	    USPLICE_INFO_("name=" string)
#define USPLICE_VERSION(string)	    USPLICE_INFO_("version=" string)
#define USPLICE_DESCRIPTION(string) USPLICE_INFO_("description=" string) /* free text, a CVE number say */
/* Goes on top of the payload with this build-id (hex); may be given once. Without it: on top of whatever is
 * there. */
#define USPLICE_DEPENDS(hex) USPLICE_INFO_("depends=" hex)

/*
 * What the payload makes of the program's data: a name of the author's and a version, 1 or more, both literal. Another
 * payload on top of this one may know that state in the same version or a newer one, or not at all; one in its place has to
 * know it. Several may be given.
 */
#define USPLICE_STATE(name, version) USPLICE_INFO_("state=" name ":" USPLICE_TEXT_(version))
#define USPLICE_TEXT_(number)	     USPLICE_TEXT__(number)
#define USPLICE_TEXT__(number)	     #number

/*
 * Hooks. They run inside the target, on a thread of the target's, on a stack of their own; errno and all
 * registers of that thread are as before afterwards. A pre-hook returns 0 to go on, anything else vetoes the
 * action. The quiescent ones (load, unload, apply, revert) run while every thread stands still: they must not
 * take a lock that a stopped thread may hold (malloc's, stdio's).
 */
#define USPLICE_HOOK_(kind, function)                                                                     \
	static const void *const USPLICE_UNIQUE_(usplice_hook_) USPLICE_RECORD_(".usplice.hooks." kind) = \
		(const void *)(function)

#define USPLICE_LOAD_HOOK(function) \
	USPLICE_HOOK_("load", function) /* void f(void): quiescent, before patching */
#define USPLICE_UNLOAD_HOOK(function) \
	USPLICE_HOOK_("unload", function) /* void f(void): quiescent, after restoring */
/* One of each of the following at most. */
#define USPLICE_PRE_APPLY_HOOK(function)   USPLICE_HOOK_("pre-apply", function)	  /* int f(void): may veto */
#define USPLICE_POST_APPLY_HOOK(function)  USPLICE_HOOK_("post-apply", function)  /* void f(void) */
#define USPLICE_PRE_REVERT_HOOK(function)  USPLICE_HOOK_("pre-revert", function)  /* int f(void): may veto */
#define USPLICE_POST_REVERT_HOOK(function) USPLICE_HOOK_("post-revert", function) /* void f(void) */
/*
 * In place of the built-in switch: int f(void), quiescent. It is given no way to write text and need not:
 * when it returns 0, usplice looks whether all or none of the payload's sites are switched; anything between
 * is undone.
 */
#define USPLICE_APPLY_HOOK(function)  USPLICE_HOOK_("apply", function)
#define USPLICE_REVERT_HOOK(function) USPLICE_HOOK_("revert", function)

#include <usplice/shadow.h> /* usp_shadow_…: values on objects that exist */

#endif
