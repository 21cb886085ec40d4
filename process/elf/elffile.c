// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include "process/elf/elffile.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define PAGE	  4096u
#define PHDRS_MAX 512u
#define SHDRS_MAX 65279u /* SHN_LORESERVE - 1 */

static int read_bytes(int fd, void *buf, size_t n, uint64_t offset)
{
	for (size_t done = 0; done < n;) {
		ssize_t got = pread(fd, (uint8_t *)buf + done, n - done, (off_t)(offset + done));
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (got == 0)
			return -ENODATA; /* shorter than it was */
		done += (size_t)got;
	}
	return 0;
}

static int load_pages(struct elf_file *file, size_t first, size_t last)
{
	for (size_t i = first; i <= last; i++) {
		if (file->have[i])
			continue;
		size_t run = i;
		while (run <= last && !file->have[run])
			run++;
		size_t at = i * PAGE, end = run * PAGE < file->size ? run * PAGE : file->size;
		int r = read_bytes(file->fd, file->bytes + at, end - at, at);
		if (r < 0)
			return r;
		memset(file->have + i, 1, run - i);
		i = run;
	}
	return 0;
}

static int read_at(struct elf_file *file, uint64_t offset, uint64_t n, const void **ret)
{
	if (!n || offset >= file->size || n > file->size - offset)
		return -ENOEXEC;
	int r = load_pages(file, offset / PAGE, (offset + n - 1) / PAGE);
	*ret = file->bytes + offset;
	return r;
}

const void *elf_file_at(struct elf_file *file, uint64_t offset, uint64_t n)
{
	const void *bytes;
	return read_at(file, offset, n, &bytes) < 0 ? NULL : bytes;
}

int elf_file_read(const struct elf_file *file, uint64_t offset, void *buf, size_t n)
{
	if (offset > file->size || n > file->size - offset)
		return -ENOEXEC;
	if (file->fd >= 0)
		return read_bytes(file->fd, buf, n, offset);
	memcpy(buf, file->bytes + offset, n);
	return 0;
}

static bool ehdr_is_sound(const Elf64_Ehdr *ehdr)
{
	return memcmp(ehdr->e_ident, ELFMAG, SELFMAG) == 0 && ehdr->e_ident[EI_CLASS] == ELFCLASS64 &&
	       ehdr->e_ident[EI_DATA] == ELFDATA2LSB && ehdr->e_ident[EI_VERSION] == EV_CURRENT &&
	       ehdr->e_machine == EM_X86_64 && (ehdr->e_type == ET_EXEC || ehdr->e_type == ET_DYN) &&
	       ehdr->e_phnum <= PHDRS_MAX && (!ehdr->e_phnum || ehdr->e_phentsize == sizeof(Elf64_Phdr));
}

static bool phdr_is_sound(const Elf64_Phdr *phdr)
{
	uint64_t end;
	if (__builtin_add_overflow(phdr->p_offset, phdr->p_filesz, &end))
		return false;
	if (phdr->p_type == PT_LOAD && phdr->p_filesz > phdr->p_memsz)
		return false;
	/* A page short of the end, so that rounding up does not wrap around either. */
	return !__builtin_add_overflow(phdr->p_vaddr, phdr->p_memsz, &end) && end <= UINT64_MAX - PAGE;
}

/*
 * Segments that reach out of the file are let through here: a file made by objcopy --only-keep-debug keeps
 * the headers of what it has not. elf_file_at_address() checks each use.
 */
static int read_phdrs(struct elf_file *file)
{
	const void *bytes;
	file->n_phdr = file->ehdr.e_phnum;
	if (!file->n_phdr)
		return 0;
	size_t size = file->n_phdr * sizeof(Elf64_Phdr);
	int r = read_at(file, file->ehdr.e_phoff, size, &bytes);
	if (r < 0)
		return r;
	file->phdr = malloc(size);
	if (!file->phdr)
		return -ENOMEM;
	memcpy(file->phdr, bytes, size);
	for (size_t i = 0; i < file->n_phdr; i++)
		if (!phdr_is_sound(&file->phdr[i]))
			return -ENOEXEC;
	return 0;
}

/* Section headers are a convenience: bad ones are as good as none. */
static int read_shdrs(struct elf_file *file)
{
	const void *bytes;
	size_t n = file->ehdr.e_shnum;
	if (!n || n > SHDRS_MAX || file->ehdr.e_shentsize != sizeof(Elf64_Shdr) ||
	    read_at(file, file->ehdr.e_shoff, n * sizeof(Elf64_Shdr), &bytes) < 0)
		return 0;
	file->shdr = malloc(n * sizeof(Elf64_Shdr));
	if (!file->shdr)
		return -ENOMEM;
	memcpy(file->shdr, bytes, n * sizeof(Elf64_Shdr));
	file->n_shdr = n;
	return 0;
}

static int read_headers(struct elf_file *file)
{
	const void *bytes;
	int r = read_at(file, 0, sizeof(file->ehdr), &bytes);
	if (r < 0)
		return r;
	memcpy(&file->ehdr, bytes, sizeof(file->ehdr));
	if (!ehdr_is_sound(&file->ehdr))
		return -ENOEXEC;
	r = read_phdrs(file);
	return r < 0 ? r : read_shdrs(file);
}

/* Address space only; memory is used page by page. */
static int reserve(struct elf_file *file, size_t size)
{
	file->size = size;
	file->have = calloc(size / PAGE + 1, 1);
	if (!file->have)
		return -ENOMEM;
	void *bytes =
		mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (bytes == MAP_FAILED)
		return -ENOMEM;
	file->bytes = bytes;
	return 0;
}

static int file_size(int fd, size_t *ret)
{
	struct stat st;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	if ((uint64_t)st.st_size > ELF_FILE_MAX)
		return -EFBIG;
	if ((size_t)st.st_size < sizeof(Elf64_Ehdr))
		return -ENOEXEC;
	*ret = (size_t)st.st_size;
	return 0;
}

int elf_file_open(int fd, struct elf_file **ret)
{
	size_t size = 0;
	int r = file_size(fd, &size);
	struct elf_file *file = r < 0 ? NULL : calloc(1, sizeof(*file));
	if (!file) {
		close(fd);
		return r < 0 ? r : -ENOMEM;
	}
	file->fd = fd;
	r = reserve(file, size);
	if (r == 0)
		r = read_headers(file);
	if (r < 0) {
		elf_file_close(file);
		return r;
	}
	*ret = file;
	return 0;
}

int elf_file_from_memory(const void *bytes, size_t size, struct elf_file **ret)
{
	if (size < sizeof(Elf64_Ehdr))
		return -ENOEXEC;
	if (size > ELF_FILE_MAX)
		return -EFBIG;
	struct elf_file *file = calloc(1, sizeof(*file));
	if (!file)
		return -ENOMEM;
	file->fd = -1;
	int r = reserve(file, size);
	if (r == 0) {
		memcpy(file->bytes, bytes, size);
		memset(file->have, 1, size / PAGE + 1);
		r = read_headers(file);
	}
	if (r < 0) {
		elf_file_close(file);
		return r;
	}
	*ret = file;
	return 0;
}

void elf_file_close(struct elf_file *file)
{
	if (!file)
		return;
	if (file->bytes)
		munmap(file->bytes, file->size);
	free(file->have);
	free(file->phdr);
	free(file->shdr);
	if (file->fd >= 0)
		close(file->fd);
	free(file);
}

static const Elf64_Phdr *find_load(const struct elf_file *file, uint64_t address)
{
	for (size_t i = 0; i < file->n_phdr; i++) {
		const Elf64_Phdr *phdr = &file->phdr[i];
		if (phdr->p_type == PT_LOAD && address >= phdr->p_vaddr &&
		    address - phdr->p_vaddr < phdr->p_memsz)
			return phdr;
	}
	return NULL;
}

uint64_t elf_file_extent(const struct elf_file *file, uint64_t address)
{
	const Elf64_Phdr *phdr = find_load(file, address);
	uint64_t into = phdr ? address - phdr->p_vaddr : 0;
	if (!phdr || into >= phdr->p_filesz || phdr->p_offset >= file->size)
		return 0;
	uint64_t in_file = file->size - phdr->p_offset;
	uint64_t size = phdr->p_filesz < in_file ? phdr->p_filesz : in_file;
	return into < size ? size - into : 0;
}

const void *elf_file_at_address(struct elf_file *file, uint64_t address, uint64_t n)
{
	if (!n || n > elf_file_extent(file, address))
		return NULL;
	const Elf64_Phdr *phdr = find_load(file, address);
	return elf_file_at(file, phdr->p_offset + (address - phdr->p_vaddr), n);
}

const void *elf_file_table(struct elf_file *file, uint64_t address, uint64_t n, size_t size, size_t align)
{
	uint64_t total;
	if (__builtin_mul_overflow(n, (uint64_t)size, &total))
		return NULL;
	const void *table = elf_file_at_address(file, address, total);
	return (uintptr_t)table % align ? NULL : table;
}

bool elf_file_is_code(const struct elf_file *file, uint64_t address, uint64_t n)
{
	const Elf64_Phdr *phdr = find_load(file, address);
	return phdr && (phdr->p_flags & PF_X) && n <= phdr->p_memsz - (address - phdr->p_vaddr);
}

const void *elf_file_section_bytes(struct elf_file *file, const Elf64_Shdr *section)
{
	if (section->sh_type == SHT_NOBITS || section->sh_type == SHT_NULL)
		return NULL;
	return elf_file_at(file, section->sh_offset, section->sh_size);
}

const void *elf_file_section_table(struct elf_file *file, const Elf64_Shdr *section, size_t size,
				   size_t align, size_t *ret_n)
{
	const void *table = elf_file_section_bytes(file, section);
	*ret_n = 0;
	if (!table || (uintptr_t)table % align)
		return NULL;
	*ret_n = section->sh_size / size;
	return *ret_n ? table : NULL;
}

const Elf64_Shdr *elf_file_section(struct elf_file *file, const char *name)
{
	if (!file->shdr || file->ehdr.e_shstrndx >= file->n_shdr)
		return NULL;
	const Elf64_Shdr *strings = &file->shdr[file->ehdr.e_shstrndx];
	const char *names = strings->sh_type == SHT_STRTAB ? elf_file_section_bytes(file, strings) : NULL;
	size_t length = strlen(name) + 1;
	for (size_t i = 1; names && i < file->n_shdr; i++) {
		uint64_t at = file->shdr[i].sh_name;
		if (at < strings->sh_size && strings->sh_size - at >= length &&
		    memcmp(names + at, name, length) == 0)
			return &file->shdr[i];
	}
	return NULL;
}

size_t elf_note_build_id(const uint8_t *notes, size_t n, uint64_t align, uint8_t *build_id, size_t max)
{
	size_t mask = align == 8 ? 7 : 3;
	while (n >= sizeof(Elf64_Nhdr)) {
		Elf64_Nhdr note;
		memcpy(&note, notes, sizeof(note));
		/* 32-bit sizes in 64-bit sums: no wrap-around. */
		size_t name_at = sizeof(note);
		size_t at = (name_at + note.n_namesz + mask) & ~mask;
		size_t end = at + note.n_descsz, next = (end + mask) & ~mask;
		if (end > n)
			return 0;
		if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 &&
		    memcmp(notes + name_at, "GNU", 4) == 0 && note.n_descsz > 0 && note.n_descsz <= max) {
			memcpy(build_id, notes + at, note.n_descsz);
			return note.n_descsz;
		}
		if (next >= n)
			return 0;
		notes += next;
		n -= next;
	}
	return 0;
}

size_t elf_file_build_id(struct elf_file *file, uint8_t *build_id, size_t max)
{
	size_t size = 0;
	for (size_t i = 0; i < file->n_phdr && !size; i++) {
		const Elf64_Phdr *phdr = &file->phdr[i];
		const uint8_t *notes = phdr->p_type == PT_NOTE && phdr->p_filesz
					       ? elf_file_at(file, phdr->p_offset, phdr->p_filesz)
					       : NULL;
		if (notes)
			size = elf_note_build_id(notes, phdr->p_filesz, phdr->p_align, build_id, max);
	}
	for (size_t i = 0; i < file->n_shdr && !size; i++) {
		const Elf64_Shdr *section = &file->shdr[i];
		const uint8_t *notes =
			section->sh_type == SHT_NOTE ? elf_file_section_bytes(file, section) : NULL;
		if (notes)
			size = elf_note_build_id(notes, section->sh_size, section->sh_addralign, build_id,
						 max);
	}
	return size;
}
