/* SPDX-License-Identifier: MIT */
/*
 * What differs between architectures, as a table. Pure functions over bytes: both tables are in every build,
 * so that either can be tested anywhere; only `serialise` needs to run on the architecture itself (elsewhere
 * it is NULL).
 */
#ifndef CORE_ARCH_ARCH_H
#define CORE_ARCH_ARCH_H

#include <stddef.h>
#include <stdint.h>

#define ARCH_TRAP_MAX 4
#define ARCH_SITE_MAX 31

/* An instruction that one aligned or single-byte write can put anywhere, and that traps. */
struct arch_trap {
	const char *name;
	uint8_t bytes[ARCH_TRAP_MAX];
	uint8_t length;
	uint8_t saved_offset; /* the saved instruction pointer is this far behind the trap's address */
};

/* How to divert a function: `length` bytes at entry + `offset` become `bytes`. */
struct arch_jump {
	uint8_t offset;
	uint8_t length;
	uint8_t bytes[ARCH_SITE_MAX];
};

/* Length of the instruction at code (n bytes are there), or -errno. For architectures where that takes a
 * decoder. */
typedef int arch_decode_fn(void *context, const uint8_t *code, size_t n);

struct arch_ops {
	const char *name;
	uint8_t jump_length;
	uint8_t alignment;	       /* of instructions */
	const struct arch_trap *traps; /* [0] is the usual one */
	size_t n_traps;

	/* A jump from `at` to `to`, jump_length bytes. -CORE_ERANGE: out of reach (x86-64 ±2 GiB, AArch64
	 * ±128 MiB); -CORE_EINVAL: misaligned. */
	int (*encode_jump)(uint64_t at, uint64_t to, uint8_t *bytes);

	/*
	 * Diverts the function at entry to `to`. code: its first bytes, n of them; size: of the whole
	 * function. What makes the entry a legal target of an indirect branch stays (endbr64, bti c).
	 * -CORE_ENOSPC: the function is too short, or n is too small to tell. Errors of encode_jump.
	 */
	int (*divert)(uint64_t entry, const uint8_t *code, size_t n, uint64_t size, uint64_t to,
		      struct arch_jump *jump);

	/* n bytes (1 to ARCH_SITE_MAX) that do nothing. -CORE_EINVAL: impossible length. */
	int (*encode_nops)(uint8_t *bytes, size_t n);

	/*
	 * Whether [offset, offset + length) of the function's code begins and ends on instruction boundaries:
	 * 0 or -CORE_EINVAL. n: size of the whole function. x86-64 needs decode (NULL: -CORE_ENOTSUP).
	 */
	int (*check_boundaries)(const uint8_t *code, size_t n, size_t offset, size_t length,
				arch_decode_fn *decode, void *context);

	/* This core discards what it has fetched ahead. */
	void (*serialise)(void);
};

extern const struct arch_ops arch_x86_64;
extern const struct arch_ops arch_aarch64;

/* The architecture this was compiled for, or NULL. */
const struct arch_ops *arch_native(void);

#endif
