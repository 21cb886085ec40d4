/* SPDX-License-Identifier: MIT */
#include "process/remote/hole.h"

#include <elf.h>
#include <string.h>
#include <sys/mman.h>

#include "process/remote/stub.h"

#define VDSO_MAX	    (64u << 10)
#define PROGRAM_HEADERS_MAX 64u

static bool header_valid(const Elf64_Ehdr *header)
{
	return !memcmp(header->e_ident, ELFMAG, SELFMAG) && header->e_ident[EI_CLASS] == ELFCLASS64 &&
	       header->e_ident[EI_DATA] == ELFDATA2LSB && header->e_machine == EM_X86_64 &&
	       (header->e_type == ET_DYN || header->e_type == ET_EXEC);
}

/* Raises *end to offset + size. False when that is not inside n bytes. */
static bool reach(uint64_t offset, uint64_t size, size_t n, uint64_t *end)
{
	uint64_t to;
	if (__builtin_add_overflow(offset, size, &to) || to > n)
		return false;
	if (to > *end)
		*end = to;
	return true;
}

uint64_t remote_hole_image_end(const void *image, size_t n)
{
	Elf64_Ehdr header;
	if (n < sizeof(header))
		return 0;
	memcpy(&header, image, sizeof(header));
	if (!header_valid(&header) || header.e_phnum == 0 || header.e_phentsize != sizeof(Elf64_Phdr))
		return 0;
	uint64_t end = sizeof(header);
	if (!reach(header.e_phoff, (uint64_t)header.e_phnum * sizeof(Elf64_Phdr), n, &end))
		return 0;
	for (unsigned i = 0; i < header.e_phnum; i++) {
		Elf64_Phdr segment;
		memcpy(&segment, (const char *)image + header.e_phoff + i * sizeof(segment), sizeof(segment));
		if (segment.p_type == PT_LOAD && (segment.p_memsz > segment.p_filesz ||
						  !reach(segment.p_offset, segment.p_filesz, n, &end)))
			return 0;
	}
	if (header.e_shoff == 0)
		return end;
	if (header.e_shnum == 0 || header.e_shentsize != sizeof(Elf64_Shdr) ||
	    !reach(header.e_shoff, (uint64_t)header.e_shnum * sizeof(Elf64_Shdr), n, &end))
		return 0;
	for (unsigned i = 0; i < header.e_shnum; i++) {
		Elf64_Shdr section;
		memcpy(&section, (const char *)image + header.e_shoff + i * sizeof(section), sizeof(section));
		if (section.sh_type != SHT_NULL && section.sh_type != SHT_NOBITS &&
		    !reach(section.sh_offset, section.sh_size, n, &end))
			return 0;
	}
	return end;
}

/* What lies between used and end, if a slot fits. */
static bool make_hole(uint64_t used, uint64_t end, struct remote_hole *ret)
{
	uint64_t start = (used + REMOTE_SLOT_ALIGN - 1) & ~(uint64_t)(REMOTE_SLOT_ALIGN - 1);
	if (start < used || start >= end || end - start < REMOTE_SLOT_SIZE)
		return false;
	*ret = (struct remote_hole){.start = start, .end = end};
	return true;
}

static bool vdso_hole(const struct target *target, const struct mapping *mapping, struct remote_hole *ret)
{
	size_t n = mapping->end - mapping->start;
	if (n > VDSO_MAX || !(mapping->prot & PROT_EXEC) || !(mapping->prot & PROT_READ))
		return false;
	_cleanup_free_ void *image = malloc(n);
	if (!image || target_read(target, mapping->start, image, n) < 0)
		return false;
	uint64_t end = remote_hole_image_end(image, n);
	return end && make_hole(mapping->start + end, mapping->end, ret);
}

/* The mapping of the same file that begins at its first byte and lies below; its ELF header is there. */
static const struct mapping *first_of_file(const struct maps *maps, size_t i)
{
	for (size_t j = i + 1; j-- > 0;) {
		const struct mapping *m = &maps->v[j];
		if (m->inode == maps->v[i].inode && m->device == maps->v[i].device && m->offset == 0)
			return m;
	}
	return NULL;
}

static bool module_hole(const struct target *target, const struct maps *maps, size_t i,
			struct remote_hole *ret)
{
	const struct mapping *text = &maps->v[i], *first = first_of_file(maps, i);
	Elf64_Ehdr header;
	Elf64_Phdr segments[PROGRAM_HEADERS_MAX];
	if (!first || target_read(target, first->start, &header, sizeof(header)) < 0 ||
	    !header_valid(&header) || header.e_phnum == 0 || header.e_phnum > PROGRAM_HEADERS_MAX ||
	    header.e_phentsize != sizeof(segments[0]))
		return false;
	size_t size = header.e_phnum * sizeof(segments[0]);
	uint64_t end = 0;
	if (!reach(header.e_phoff, size, first->end - first->start, &end) ||
	    target_read(target, first->start + header.e_phoff, segments, size) < 0)
		return false;
	/* The executable segment that this mapping shows: same file offset, and its bytes end in the last
	 * page. */
	for (unsigned k = 0; k < header.e_phnum; k++) {
		const Elf64_Phdr *s = &segments[k];
		uint64_t before = s->p_offset & 4095;
		if (s->p_type != PT_LOAD || !(s->p_flags & PF_X) || (s->p_flags & PF_W) ||
		    s->p_memsz != s->p_filesz || s->p_offset - before != text->offset || s->p_filesz == 0)
			continue;
		uint64_t used, length = text->end - text->start;
		if (__builtin_add_overflow(before, s->p_filesz, &used) || used > length ||
		    length - used >= 4096)
			continue;
		return make_hole(text->start + used, text->end, ret);
	}
	return false;
}

bool remote_hole_find(const struct target *target, const struct maps *maps, size_t index,
		      struct remote_hole *ret)
{
	size_t found = 0;
	for (size_t i = 0; i < maps->n; i++)
		if (!strcmp(maps->v[i].name, "[vdso]") && vdso_hole(target, &maps->v[i], ret) &&
		    found++ == index)
			return true;
	for (size_t i = 0; i < maps->n; i++) {
		const struct mapping *m = &maps->v[i];
		if (!m->shared && m->inode != 0 && m->prot == (PROT_READ | PROT_EXEC) &&
		    module_hole(target, maps, i, ret) && found++ == index)
			return true;
	}
	return false;
}
