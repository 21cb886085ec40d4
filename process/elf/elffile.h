/* SPDX-License-Identifier: MIT */
/*
 * The bytes of one ELF file, read page by page into a private copy as they are asked for. A file that shrinks
 * or changes meanwhile makes a read fail, never a signal; what was read once stays as it was read. Headers
 * are checked; section contents are the caller's to check. Knows nothing of processes.
 */
#ifndef PROCESS_ELF_ELFFILE_H
#define PROCESS_ELF_ELFFILE_H

#include <elf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

#define ELF_FILE_MAX (UINT64_C(1) << 30) /* bytes */

struct elf_file {
	int fd; /* -1: all of it was given as memory; owned */
	size_t size;
	uint8_t *bytes; /* size of them, of which those marked in `have` are read */
	uint8_t *have;	/* a byte a page */
	Elf64_Ehdr ehdr;
	Elf64_Phdr *phdr;
	size_t n_phdr;
	Elf64_Shdr *shdr; /* NULL: none, or not usable */
	size_t n_shdr;
};

/*
 * Opens a regular file (fd is taken, also on failure). -ENOEXEC: not a 64-bit little-endian x86-64 ELF
 * executable or shared object with sound headers; -EFBIG, -EINVAL (not a regular file), -ENOMEM, or the errno
 * of a read.
 */
_must_check_ int elf_file_open(int fd, struct elf_file **ret);
/* The same from a copy of size bytes. */
_must_check_ int elf_file_from_memory(const void *bytes, size_t size, struct elf_file **ret);
void elf_file_close(struct elf_file *file); /* NULL is fine */

/* n bytes at offset, valid until close; NULL when they are not all in the file or cannot be read. n > 0. */
const void *elf_file_at(struct elf_file *file, uint64_t offset, uint64_t n);
/* The same into the caller's memory, for who looks once through much of a file: nothing of it is kept. */
_must_check_ int elf_file_read(const struct elf_file *file, uint64_t offset, void *buf, size_t n);
/* n bytes at a link-time address, within the file's part of one PT_LOAD; else NULL. */
const void *elf_file_at_address(struct elf_file *file, uint64_t address, uint64_t n);
/* n elements of a table at a link-time address: as above, and aligned; NULL also when n is 0 or the size
 * overflows. */
const void *elf_file_table(struct elf_file *file, uint64_t address, uint64_t n, size_t size, size_t align);
/* How many bytes from address on lie in the file's part of its PT_LOAD; 0: none. */
uint64_t elf_file_extent(const struct elf_file *file, uint64_t address);
/* Whether [address, address + n) lies in one executable PT_LOAD. */
bool elf_file_is_code(const struct elf_file *file, uint64_t address, uint64_t n);

/* The first section of this name, or NULL. */
const Elf64_Shdr *elf_file_section(struct elf_file *file, const char *name);
/* The bytes of a section; NULL for SHT_NOBITS, empty ones and those that reach out of the file. */
const void *elf_file_section_bytes(struct elf_file *file, const Elf64_Shdr *section);
/* The same as a table of elements: aligned to `align`, *ret_n of them; NULL and 0 otherwise. */
const void *elf_file_section_table(struct elf_file *file, const Elf64_Shdr *section, size_t size,
				   size_t align, size_t *ret_n);
/* The build-id from PT_NOTE, else from SHT_NOTE sections: its size (at most max), 0 when there is none. */
size_t elf_file_build_id(struct elf_file *file, uint8_t *build_id, size_t max);

/* The build-id in n bytes of notes with this alignment; 0 when there is none. */
size_t elf_note_build_id(const uint8_t *notes, size_t n, uint64_t align, uint8_t *build_id, size_t max);

#endif
