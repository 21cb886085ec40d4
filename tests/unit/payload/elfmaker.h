/* SPDX-License-Identifier: MIT */
/*
 * Makes ELF relocatable files in memory, so that a malformed payload costs a line or three. First add
 * (sections, symbols, relocations), then look at and spoil what was built: elf_ehdr(), elf_shdr() and the
 * like build on first use; after that nothing may be added. Aborts on misuse: it is for tests only.
 */
#ifndef TESTS_ELFMAKER_H
#define TESTS_ELFMAKER_H

#include <elf.h>
#include <stddef.h>
#include <stdint.h>

#define ELFMAKER_SECTIONS 48
#define ELFMAKER_SYMBOLS  128
#define ELFMAKER_RELAS	  128

struct elfmaker_section {
	char name[64];
	Elf64_Shdr header; /* type, flags, align, entry size; the rest is filled in */
	uint8_t *data;
	size_t size;
	unsigned rela; /* its relocation section, 0: none */
	struct {
		Elf64_Rela entry; /* symbol: a handle */
	} relas[ELFMAKER_RELAS];
	unsigned n_relas;
};

struct elfmaker {
	struct elfmaker_section sections[ELFMAKER_SECTIONS];
	unsigned n_sections;
	struct {
		Elf64_Sym entry;
		char name[256];
		unsigned index; /* in the file: locals come first */
	} symbols[ELFMAKER_SYMBOLS];
	unsigned n_symbols;
	uint8_t *bytes; /* built */
	size_t size;
	/* of elfmaker_payload(): section indices and symbol handles */
	unsigned text, strings, funcs, info, eh_frame, note, symtab, strtab, shstrtab;
	unsigned new_function, text_symbol, strings_symbol;
};

void elfmaker_init(struct elfmaker *e);
void elfmaker_deinit(struct elfmaker *e);

/* Adds a section; data NULL: zeros. Returns its index. */
unsigned elf_section(struct elfmaker *e, const char *name, Elf64_Word type, Elf64_Xword flags,
		     const void *data, size_t size);
/* Returns a handle (for elf_rela and elf_sym). section: an index or SHN_…. */
unsigned elf_symbol(struct elfmaker *e, const char *name, unsigned char binding, unsigned char type,
		    unsigned section, uint64_t value, uint64_t size);
void elf_rela(struct elfmaker *e, unsigned section, uint64_t offset, unsigned type, unsigned symbol,
	      int64_t addend);

void elf_build(struct elfmaker *e);
Elf64_Ehdr *elf_ehdr(struct elfmaker *e);
Elf64_Shdr *elf_shdr(struct elfmaker *e, unsigned section);
Elf64_Sym *elf_sym(struct elfmaker *e, unsigned handle);
Elf64_Rela *elf_rela_at(struct elfmaker *e, unsigned section, unsigned i); /* relocation i of section */
uint8_t *elf_data(struct elfmaker *e, unsigned section);

/*
 * A good, finished payload: replaces "old_f" by new_function (at .text+0, 16 bytes), with build-id, info and
 * unwind information. Leaves room to add more before it is built.
 */
void elfmaker_payload(struct elfmaker *e);

/* Adds one hook that calls new_function. kind: "load", …. Returns the section. */
unsigned elf_hook(struct elfmaker *e, const char *kind);

/* Replaces the contents of .usplice.info. */
void elf_info(struct elfmaker *e, const void *text, size_t size);

#endif
