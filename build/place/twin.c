// SPDX-License-Identifier: MIT
/*
 * twin_check():
 *
 *  1. the sections that are loaded: the same names, types, flags, addresses and sizes, in the same order. That is for
 *     the message: sections are not what is loaded, and a hostile file's may lie
 *  2. what the loader reads: entry point and program headers
 *  3. every byte that the segments load, except the content of the build-id and what says where in the file the
 *     section headers are, which strip moves
 */
#include "build/place/twin.h"

#include <inttypes.h>
#include <string.h>

#include "process/elf/elffile.h"

#define CHUNK	   UINT64_C(4096)
#define BUILD_ID   ".note.gnu.build-id"
#define BUILD_NOTE (sizeof(Elf64_Nhdr) + 4) /* "GNU" */

#define other(...) usp_errorf(USP_MISMATCH, __VA_ARGS__)

/* ---- sections ---- */

/* For people, and to compare. Valid as long as the file. */
static const char *name_of(struct elf_file *file, const Elf64_Shdr *section)
{
	static const char none[] = "section without a name";
	if (file->ehdr.e_shstrndx >= file->n_shdr)
		return none;
	const Elf64_Shdr *strings = &file->shdr[file->ehdr.e_shstrndx];
	const char *names = elf_file_section_bytes(file, strings);
	if (!names || section->sh_name >= strings->sh_size || !names[section->sh_name] ||
	    !memchr(names + section->sh_name, '\0', strings->sh_size - section->sh_name))
		return none;
	return names + section->sh_name;
}

static const Elf64_Shdr *next_loaded(const struct elf_file *file, size_t *at)
{
	while (*at < file->n_shdr) {
		const Elf64_Shdr *section = &file->shdr[(*at)++];
		if (section->sh_type != SHT_NULL && (section->sh_flags & SHF_ALLOC))
			return section;
	}
	return NULL;
}

static struct usp_error *compare_section(const char *name, const Elf64_Shdr *a, const Elf64_Shdr *b)
{
	if (a->sh_size != b->sh_size)
		return other("its %s is %" PRIu64 " bytes long, not %" PRIu64, name, a->sh_size, b->sh_size);
	if (a->sh_addr != b->sh_addr)
		return other("its %s is at %#" PRIx64 ", not at %#" PRIx64, name, a->sh_addr, b->sh_addr);
	if (a->sh_type != b->sh_type || a->sh_flags != b->sh_flags)
		return other("its %s is of another kind", name);
	return NULL;
}

static struct usp_error *compare_sections(struct elf_file *twin, struct elf_file *target)
{
	for (size_t i = 0, k = 0;;) {
		const Elf64_Shdr *a = next_loaded(twin, &i), *b = next_loaded(target, &k);
		if (!a && !b)
			return NULL;
		const char *x = a ? name_of(twin, a) : "no more sections",
			   *y = b ? name_of(target, b) : "no more sections";
		if (!a || !b || strcmp(x, y) != 0)
			return other("it has %s where the target has %s", x, y);
		struct usp_error *error = compare_section(x, a, b);
		if (error)
			return error;
	}
}

/* ---- segments ---- */

static struct usp_error *compare_headers(const struct elf_file *twin, const struct elf_file *target)
{
	if (twin->ehdr.e_type != target->ehdr.e_type || twin->ehdr.e_entry != target->ehdr.e_entry ||
	    twin->n_phdr != target->n_phdr)
		return other("its ELF header is another one");
	for (size_t i = 0; i < twin->n_phdr; i++) {
		const Elf64_Phdr *a = &twin->phdr[i], *b = &target->phdr[i];
		if (a->p_type != b->p_type || a->p_flags != b->p_flags || a->p_vaddr != b->p_vaddr ||
		    a->p_filesz != b->p_filesz || a->p_memsz != b->p_memsz || a->p_align != b->p_align)
			return other("its program header %zu is another one", i);
	}
	return NULL;
}

/* What holds an address; sections are the same in both. */
static const Elf64_Shdr *section_at(const struct elf_file *file, uint64_t address)
{
	size_t i = 0;
	for (const Elf64_Shdr *s = next_loaded(file, &i); s; s = next_loaded(file, &i))
		if (s->sh_type != SHT_NOBITS && address >= s->sh_addr && address - s->sh_addr < s->sh_size)
			return s;
	return NULL;
}

static bool says_where_sections_are(uint64_t offset)
{
	return (offset >= offsetof(Elf64_Ehdr, e_shoff) && offset < offsetof(Elf64_Ehdr, e_flags)) ||
	       (offset >= offsetof(Elf64_Ehdr, e_shentsize) && offset < sizeof(Elf64_Ehdr));
}

static bool is_build_id(struct elf_file *file, const Elf64_Shdr *section, uint64_t address)
{
	return section->sh_type == SHT_NOTE && !strcmp(name_of(file, section), BUILD_ID) &&
	       section->sh_size <= BUILD_NOTE + BUILD_ID_MAX && address - section->sh_addr >= BUILD_NOTE;
}

static struct usp_error *compare_chunk(struct elf_file *twin, const uint8_t *a, const uint8_t *b, size_t n,
				       const Elf64_Phdr *segment, uint64_t into)
{
	if (!memcmp(a, b, n))
		return NULL;
	for (size_t i = 0; i < n; i++) {
		if (a[i] == b[i])
			continue;
		uint64_t address = segment->p_vaddr + into + i;
		const Elf64_Shdr *section = section_at(twin, address);
		if ((!segment->p_offset && says_where_sections_are(into + i)) ||
		    (section && is_build_id(twin, section, address)))
			continue;
		return other("its %s is not the same at %#" PRIx64,
			     section ? name_of(twin, section) : "content outside of sections", address);
	}
	return NULL;
}

static struct usp_error *compare_segment(struct elf_file *twin, struct elf_file *target, size_t segment)
{
	const Elf64_Phdr *a = &twin->phdr[segment], *b = &target->phdr[segment];
	if (a->p_type != PT_LOAD)
		return NULL;
	/* The ELF header is loaded with the first one. */
	if (a->p_offset != b->p_offset && (!a->p_offset || !b->p_offset))
		return other("its program header %zu is another one", segment);
	for (uint64_t at = 0, n; at < a->p_filesz; at += n) {
		n = a->p_filesz - at < CHUNK ? a->p_filesz - at : CHUNK;
		const uint8_t *x = elf_file_at(twin, a->p_offset + at, n),
			      *y = elf_file_at(target, b->p_offset + at, n);
		if (!x || !y)
			return other("the content of segment %zu of %s cannot be read", segment,
				     x ? "the target" : "it");
		struct usp_error *error = compare_chunk(twin, x, y, n, a, at);
		if (error)
			return error;
	}
	return NULL;
}

struct usp_error *twin_check(const struct module *twin, const struct module *target)
{
	if (!twin->elf || !target->elf)
		return other("%s cannot be read", twin->elf ? target->path : twin->path);
	if (!twin->elf->n_shdr || !target->elf->n_shdr)
		return other("%s has no section headers", twin->elf->n_shdr ? target->path : twin->path);
	struct usp_error *error = compare_sections(twin->elf, target->elf);
	if (!error)
		error = compare_headers(twin->elf, target->elf);
	for (size_t i = 0; i < twin->elf->n_phdr && !error; i++)
		error = compare_segment(twin->elf, target->elf, i);
	return error;
}
