/* SPDX-License-Identifier: MIT */
/*
 * A relocatable object as a compiler made it, cut into what can be compared: functions, variables, constants. Sections
 * hold many of each; where one ends and what an instruction points at is found out here, once, so that whoever compares
 * two objects (diff.h) or takes parts out of one sees pieces and references between them, no addresses. Every
 * offset of the file is checked before use. Knows nothing of payloads nor of other objects.
 */
#ifndef BUILD_OBJECT_OBJECT_H
#define BUILD_OBJECT_OBJECT_H

#include <elf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "build/object/kind.h"

#define OBJECT_FILE_MAX ((size_t)512 << 20) /* bytes */
#define OBJECT_NONE	UINT32_MAX

struct object_relocation {
	uint64_t offset; /* in its section; all of its width lies inside */
	uint32_t type;	 /* one that payload/relocation.h knows */
	uint32_t symbol;
	int64_t addend;
};

struct object_section {
	const char *name;
	uint32_t type, link, info;
	uint64_t flags, size, align, entry_size, file_offset;
	const uint8_t *data; /* size bytes; NULL for SHT_NOBITS and empty ones */
	enum object_kind kind;
	uint32_t group;			       /* the COMDAT group that it is in, 0: none */
	struct object_relocation *relocations; /* by offset */
	size_t n_relocations;
	uint32_t first_piece, n_pieces;
};

struct object_symbol {
	const char *name;
	uint32_t section; /* an index that exists, SHN_UNDEF, SHN_ABS or SHN_COMMON */
	uint64_t value, size;
	unsigned char type, binding, visibility;
};

/* What a reference points at. */
enum object_target {
	OBJECT_TARGET_NAME,	/* a symbol that this object does not define, or a common one */
	OBJECT_TARGET_PIECE,	/* a place in a piece */
	OBJECT_TARGET_STRING,	/* a string of a merged section: the same wherever it has the same content */
	OBJECT_TARGET_CONSTANT, /* likewise a constant */
	OBJECT_TARGET_VALUE,	/* an absolute symbol, or none: addend is all there is */
	OBJECT_TARGET_UNKNOWN,	/* cannot be told: equal to nothing */
};

struct object_reference {
	uint64_t offset; /* of the field, in the piece */
	uint8_t width;	 /* of the field; 0: it only marks an instruction */
	uint8_t access;	 /* bytes that the instruction reads or writes there; 0: it forms the address */
	bool branch;	 /* of a direct call or jump */
	bool by_section; /* given by its section's symbol or by distance: what it points at is concluded from the place */
	bool edge;     /* points where a variable begins and another one ends: may mean the end of that one */
	uint32_t type; /* the relocation's, those of a branch all as R_X86_64_PLT32 */
	enum object_target target;
	uint32_t symbol; /* of a TARGET_NAME and of what is defined as a global one; else 0 */
	uint32_t piece;	 /* of a TARGET_PIECE */
	uint32_t section;
	int64_t at; /* in the section: of a string or constant, or the place that decides which piece is meant */
	int64_t addend; /* from what it points at */
	int64_t skew;	/* a relocation that says the same about that has `addend` - `skew` */
};

struct object_insn {
	uint32_t offset; /* in the piece */
	uint32_t index;	 /* how many instructions that are no NOP come before */
	uint8_t length;
	uint8_t jump; /* 0x70 to 0x7f: conditional, 0xeb: unconditional, whatever its width; 0: neither, or prefixed */
	bool nop;
};

struct object_piece {
	uint32_t section;
	uint64_t offset, size;
	uint32_t symbol;   /* its name's; 0: it has none */
	const char *name;  /* NULL: it has none */
	char *base;	   /* the name without ".<digits>" (name.h), NULL likewise; owned */
	bool numbered;	   /* there were digits: a static variable of a function, a clone */
	bool global;	   /* some symbol of it is not local */
	bool strong, weak; /* has a global name that is not weak; has one that is */
	bool ifunc;
	bool labels; /* a table of places inside functions, for computed goto: a constant, wherever it lies */
	bool opaque; /* code that could not be decoded: its references are not all known */
	uint32_t parent;	   /* of a .cold part: the piece that it belongs to, else OBJECT_NONE */
	struct object_insn *insns; /* code only */
	size_t n_insns;
	struct object_reference *references; /* by offset */
	size_t n_references;
};

/* A row of the line table. */
struct object_line {
	uint32_t section;
	uint32_t line;
	uint64_t offset;
};

struct object {
	char *path;
	uint8_t *data;
	size_t size;
	struct object_section *sections;
	uint32_t n_sections;
	uint32_t symbol_section;
	struct object_symbol *symbols;
	uint32_t n_symbols;
	struct object_piece *pieces; /* by section and offset */
	uint32_t n_pieces;
	struct object_line *lines; /* by section and offset */
	size_t n_lines;
	struct object_calls *calls; /* calls.h */
};

/*
 * Reads and takes apart the object. USP_BAD_PAYLOAD: not an ELF file, or broken; USP_UNSUPPORTED: sound, and
 * not something that can be compared (other machine, not relocatable, LTO, functions that overlap).
 */
_must_check_ struct usp_error *object_open(const char *path, struct object **ret);
/* The same from a copy of size bytes; path is for messages. */
_must_check_ struct usp_error *object_from_memory(const char *path, const void *data, size_t size,
						  struct object **ret);
/* One without anything in it. */
_must_check_ struct usp_error *object_empty(const char *path, struct object **ret);
void object_close(struct object *object); /* NULL is fine */
void object_closep(struct object **object);

/* The steps of it, in this order (symbols.c, split.c, code.c, lines.c). */
_must_check_ struct usp_error *object_read_symbols(struct object *object);
_must_check_ struct usp_error *object_read_relocations(struct object *object);
_must_check_ struct usp_error *object_split(struct object *object);
_must_check_ struct usp_error *object_read_lines(struct object *object);

/* Index of the first relocation of the section that is not before offset. */
size_t object_relocation_from(const struct object_section *section, uint64_t offset);

const struct object_section *object_piece_section(const struct object *object,
						  const struct object_piece *piece);
bool object_piece_is_code(const struct object *object, const struct object_piece *piece);
/* The piece that holds this place of the section, or NULL. */
const struct object_piece *object_piece_at(const struct object *object, uint32_t section, uint64_t offset);
/* How many instructions that are no NOP come before this place of a code piece; -1: no instruction begins there. */
int64_t object_piece_index(const struct object_piece *piece, int64_t offset);
/* Whether it holds one string and nothing else: nothing but text up to its end. */
bool object_piece_is_string(const struct object *object, const struct object_piece *piece);
/* What follows a constant without a name and may be a part of it: the next piece, if nothing shows that this one ends
 * where it begins; or NULL. */
const struct object_piece *object_piece_goes_on(const struct object *object,
						const struct object_piece *piece);
/* The bytes of a piece; NULL when it has none in the file. */
const uint8_t *object_piece_bytes(const struct object *object, const struct object_piece *piece);

/* Room for one more element in a growing array. False: out of memory, nothing has changed. */
_must_check_ bool object_grow(void *array, size_t n, size_t *capacity, size_t size);

#define object_bad(...) usp_errorf(USP_BAD_PAYLOAD, __VA_ARGS__)

#endif
