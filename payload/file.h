/* SPDX-License-Identifier: MIT */
/*
 * A payload's ELF file in memory: sections, symbols and relocations, each checked once, here, so that nobody
 * after has to. payload_file_open() reads header and section table; payload_file_symbols() and _relocations()
 * what hangs off them. It reads Elf64 structures by memcpy out of its own copy: every offset is checked
 * before use, and there is no second reader whose idea of the file could differ. It never looks at a target.
 */
#ifndef PAYLOAD_FILE_H
#define PAYLOAD_FILE_H

#include <elf.h>

#include "payload/payload.h"

#define PAYLOAD_SYMBOLS_MAX	(1u << 18)
#define PAYLOAD_RELOCATIONS_MAX (1u << 21)   /* of sections that are loaded */
#define PAYLOAD_IMAGE_MAX	(128u << 20) /* everything mapped, .bss too; far below the reach of a jump */
#define PAYLOAD_STRING_MAX	4095	     /* bytes of a symbol's, section's or file's name */
#define PAYLOAD_ALIGN_MAX	4096	     /* a page: the image itself is aligned no better */

#define PAYLOAD_NO_OFFSET UINT32_MAX

/* What becomes of a section. */
enum payload_section_kind {
	PAYLOAD_SECTION_IGNORED, /* not mapped (.debug_*, .comment, …); nothing that is mapped may refer to it
				  */
	PAYLOAD_SECTION_RECORDS, /* .usplice.*: read here, not mapped */
	PAYLOAD_SECTION_NOTE,	 /* .note.gnu.build-id */
	PAYLOAD_SECTION_RODATA,
	PAYLOAD_SECTION_EH_FRAME,
	PAYLOAD_SECTION_TEXT,
	PAYLOAD_SECTION_DATA,
	PAYLOAD_SECTION_BSS,
	PAYLOAD_SECTION_KINDS
};

struct payload_relocation {
	uint64_t offset; /* in its section; all of its width lies inside */
	uint32_t type;	 /* a supported one */
	uint32_t symbol;
	int64_t addend;
};

struct payload_section {
	const char *name;
	uint32_t type, link, info;
	uint64_t flags, size, align, entry_size;
	uint64_t file_offset;
	const uint8_t *data; /* size bytes, NULL for SHT_NOBITS */
	enum payload_section_kind kind;
	uint32_t relocation_section;		/* its SHT_RELA, 0: none */
	struct payload_relocation *relocations; /* of mapped sections and records only */
	size_t n_relocations;
	uint64_t image_offset; /* of mapped ones, set by payload_layout() */
};

/* How a symbol is used by the relocations of mapped sections: says what it needs in the image. */
#define PAYLOAD_USE_VALUE   1u	/* its address */
#define PAYLOAD_USE_SLOT    2u	/* a branch that may not reach */
#define PAYLOAD_USE_WORD    4u	/* a GOT entry */
#define PAYLOAD_USE_TPOFF   8u	/* offset from the thread pointer, in the instruction */
#define PAYLOAD_USE_GOTTP   16u /* the same in a word */
#define PAYLOAD_USE_TLSGD   32u /* a {module, offset} pair */
#define PAYLOAD_USE_TLSLD   64u /* the module's {module, 0} pair */
#define PAYLOAD_USE_DTPOFF  128u
#define PAYLOAD_USE_SIZE    256u
#define PAYLOAD_USE_TLSDESC 512u
#define PAYLOAD_USE_TLS                                                                  \
	(PAYLOAD_USE_TPOFF | PAYLOAD_USE_GOTTP | PAYLOAD_USE_TLSGD | PAYLOAD_USE_TLSLD | \
	 PAYLOAD_USE_DTPOFF | PAYLOAD_USE_TLSDESC)

struct payload_symbol {
	const char *name; /* with its version; "" when it has none */
	const char *file; /* from .usplice.symbols, or NULL */
	bool by_address;  /* likewise: */
	uint64_t address; /* link-time, in the target's module */
	uint32_t section; /* SHN_UNDEF, SHN_ABS or an index that exists */
	uint64_t value, size;
	unsigned char type, binding, visibility;
	unsigned uses; /* PAYLOAD_USE_… */
	/* Offsets in the image, PAYLOAD_NO_OFFSET: none; set by payload_layout(). */
	uint32_t slot, word, tp_word, gd_pair;
};

/* Where things of the image's own lie in it. Depends on the file alone, not on the base nor on what is
 * resolved. */
struct payload_layout {
	uint64_t size; /* page multiple */
	uint64_t segment[3], segment_size[3];
	uint64_t kind_offset[PAYLOAD_SECTION_KINDS], kind_size[PAYLOAD_SECTION_KINDS],
		kind_align[PAYLOAD_SECTION_KINDS];
	uint64_t eh_frame_hdr, eh_frame_hdr_size;
	uint64_t slots, slots_size; /* "jmp *word(%rip)" each */
	uint64_t words, words_size; /* what they jump to, GOT entries, TLS pairs */
	uint32_t ld_pair;	    /* of TLSLD, PAYLOAD_NO_OFFSET: none */
	uint64_t symtab, n_symbols, n_local_symbols;
	uint64_t strtab, strtab_size;
	uint64_t section_table;
	size_t n_frames; /* FDEs */
};

struct payload_file {
	uint8_t *data; /* copy of the file */
	size_t size;
	struct payload_section *sections;
	uint32_t n_sections;
	uint32_t symbol_section;
	struct payload_symbol *symbols;
	uint32_t n_symbols;
	uint32_t *functions; /* symbols that are defined functions, by section and value */
	uint32_t n_functions;
	struct payload_layout layout;
};

/* Copies data, checks the ELF header and every section header, sorts the sections into kinds. */
_must_check_ struct usp_error *payload_file_open(const void *data, size_t size, struct payload_file **ret);
_must_check_ struct usp_error *payload_file_symbols(struct payload_file *file);
_must_check_ struct usp_error *payload_file_relocations(struct payload_file *file);
void payload_file_close(struct payload_file *file); /* NULL is fine */

bool payload_section_is_mapped(const struct payload_section *section);

/* The function symbol that begins exactly at place, or NULL. */
const struct payload_symbol *payload_file_function(const struct payload_file *file,
						   struct payload_place place);
/* The one that place lies in, or NULL. */
const struct payload_symbol *payload_file_function_around(const struct payload_file *file,
							  struct payload_place place);

/* Offset of the first byte that a name or text may not have (control character, not UTF-8), or size. */
size_t payload_text_check(const uint8_t *text, size_t size);

/* How many bytes of text a message shows: all, or at most max, not ending within a UTF-8 sequence. For
 * "%.*s". */
int payload_text_cut(const char *text, size_t max);

/* Section index is a string table: begins and ends with NUL, no bad text in it. what: how the message calls
 * it. */
_must_check_ struct usp_error *payload_string_table_check(const struct payload_file *file, uint32_t index,
							  const char *what);

/* How a symbol is called in messages: its name, or its section's. */
const char *payload_symbol_name(const struct payload_file *file, const struct payload_symbol *symbol);

#define payload_bad(...) usp_errorf(USP_BAD_PAYLOAD, __VA_ARGS__)

#endif
