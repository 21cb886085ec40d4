// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
/* ELF header and section table: payload_file_open(). */
#include "payload/file.h"

#include <stdlib.h>
#include <string.h>

#ifndef SHF_X86_64_LARGE
#define SHF_X86_64_LARGE 0x10000000
#endif
#ifndef SHF_GNU_RETAIN
#define SHF_GNU_RETAIN 0x200000
#endif
#ifndef SHT_X86_64_UNWIND /* musl's elf.h */
#define SHT_X86_64_UNWIND 0x70000001
#endif
#ifndef SHT_GNU_SFRAME
#define SHT_GNU_SFRAME 0x6ffffff4
#endif

/* Length of the UTF-8 sequence at text (2 to 4), 0 when it is none. */
static size_t utf8_sequence(const uint8_t *text, size_t size)
{
	static const struct {
		uint8_t mask, lead, length;
		uint32_t least;
	} forms[] = {{0xe0, 0xc0, 2, 0x80}, {0xf0, 0xe0, 3, 0x800}, {0xf8, 0xf0, 4, 0x10000}};

	for (size_t i = 0; i < 3; i++) {
		if ((text[0] & forms[i].mask) != forms[i].lead)
			continue;
		if (size < forms[i].length)
			return 0;
		uint32_t code = text[0] & (uint8_t)~forms[i].mask;
		for (size_t j = 1; j < forms[i].length; j++) {
			if ((text[j] & 0xc0) != 0x80)
				return 0;
			code = code << 6 | (text[j] & 0x3f);
		}
		/* U+0080 to U+009F are control characters too (a terminal may obey them). */
		if (code < forms[i].least || code > 0x10ffff || (code >= 0xd800 && code < 0xe000) ||
		    code < 0xa0)
			return 0;
		return forms[i].length;
	}
	return 0;
}

size_t payload_text_check(const uint8_t *text, size_t size)
{
	size_t i = 0;
	while (i < size) {
		if (text[i] >= 0x20 && text[i] < 0x7f) {
			i++;
			continue;
		}
		size_t n = text[i] >= 0x80 ? utf8_sequence(text + i, size - i) : 0;
		if (!n)
			return i;
		i += n;
	}
	return size;
}

int payload_text_cut(const char *text, size_t max)
{
	size_t n = strnlen(text, max + 1);
	if (n > max) {
		n = max;
		while (n && ((uint8_t)text[n] & 0xc0) == 0x80) /* text[n] continues what is before it */
			n--;
	}
	return (int)n;
}

static struct usp_error *check_header(const Elf64_Ehdr *h, size_t size)
{
	if (memcmp(h->e_ident, ELFMAG, SELFMAG))
		return payload_bad("not an ELF file (bad magic)");
	if (h->e_ident[EI_CLASS] != ELFCLASS64)
		return payload_bad("ELF class %u, not 64 bit", h->e_ident[EI_CLASS]);
	if (h->e_ident[EI_DATA] != ELFDATA2LSB)
		return payload_bad("ELF byte order %u, not little endian", h->e_ident[EI_DATA]);
	if (h->e_ident[EI_VERSION] != EV_CURRENT || h->e_version != EV_CURRENT)
		return payload_bad("ELF version %u/%u, not 1", h->e_ident[EI_VERSION], h->e_version);
	if (h->e_ident[EI_OSABI] != ELFOSABI_SYSV && h->e_ident[EI_OSABI] != ELFOSABI_GNU)
		return payload_bad("ELF OS ABI %u, neither System V nor GNU", h->e_ident[EI_OSABI]);
	if (h->e_ident[EI_ABIVERSION])
		return payload_bad("ELF ABI version %u, not 0", h->e_ident[EI_ABIVERSION]);
	if (h->e_machine != EM_X86_64)
		return payload_bad("made for ELF machine %u, not for x86-64", h->e_machine);
	if (h->e_type != ET_REL)
		return payload_bad("ELF type %u, not a relocatable file (compile with -c)", h->e_type);
	if (h->e_ehsize != sizeof(Elf64_Ehdr))
		return payload_bad("ELF header size %u, not %zu", h->e_ehsize, sizeof(Elf64_Ehdr));
	if (h->e_phnum || h->e_phoff)
		return payload_bad("has program headers (%u at 0x%llx): a relocatable file has none",
				   h->e_phnum, (unsigned long long)h->e_phoff);
	if (!h->e_shoff)
		return payload_bad("has no section table");
	if (h->e_shentsize != sizeof(Elf64_Shdr))
		return payload_bad("section table entry size %u, not %zu", h->e_shentsize,
				   sizeof(Elf64_Shdr));
	if (!h->e_shnum || h->e_shstrndx == SHN_XINDEX)
		return payload_bad("too many sections (SHN_XINDEX is used): at most %u", SHN_LORESERVE - 1);
	if (h->e_shnum >= SHN_LORESERVE)
		return payload_bad("too many sections (%u): at most %u", h->e_shnum, SHN_LORESERVE - 1);
	if (h->e_shoff > size || size - h->e_shoff < (uint64_t)h->e_shnum * sizeof(Elf64_Shdr))
		return payload_bad(
			"section table (%u entries at 0x%llx) lies outside of the file (%zu bytes)",
			h->e_shnum, (unsigned long long)h->e_shoff, size);
	if (!h->e_shstrndx || h->e_shstrndx >= h->e_shnum)
		return payload_bad("section name string table index %u is not one of the %u sections",
				   h->e_shstrndx, h->e_shnum);
	return NULL;
}

static bool occupies_file(const struct payload_section *s)
{
	return s->type != SHT_NOBITS && s->type != SHT_NULL && s->size;
}

/* Fills in section i but for its name, and checks that it lies in the file. */
static struct usp_error *read_section(struct payload_file *file, uint32_t i, const Elf64_Shdr *h)
{
	struct payload_section *s = &file->sections[i];
	*s = (struct payload_section){.name = "",
				      .type = h->sh_type,
				      .link = h->sh_link,
				      .info = h->sh_info,
				      .flags = h->sh_flags,
				      .size = h->sh_size,
				      .align = h->sh_addralign,
				      .entry_size = h->sh_entsize,
				      .file_offset = h->sh_offset};
	if (!occupies_file(s))
		return NULL;
	if (s->file_offset > file->size || file->size - s->file_offset < s->size)
		return payload_bad("section %u (0x%llx bytes at 0x%llx) lies outside of the file (%zu bytes)",
				   i, (unsigned long long)s->size, (unsigned long long)s->file_offset,
				   file->size);
	s->data = file->data + s->file_offset;
	return NULL;
}

/* A string table: SHT_STRTAB, begins and ends with NUL, no control characters, no endless names. */
struct usp_error *payload_string_table_check(const struct payload_file *file, uint32_t index,
					     const char *what)
{
	const struct payload_section *s = &file->sections[index];
	if (s->type != SHT_STRTAB)
		return payload_bad("section %u, %s, is not a string table (type 0x%x)", index, what, s->type);
	if (s->flags & SHF_COMPRESSED)
		return payload_bad("section %u, %s, is compressed", index, what);
	if (!s->size)
		return payload_bad("section %u, %s, is empty", index, what);
	if (s->data[0])
		return payload_bad("section %u, %s, does not begin with an empty string", index, what);
	if (s->data[s->size - 1])
		return payload_bad("section %u, %s, is not ended by a NUL", index, what);
	for (size_t start = 0; start < s->size;) {
		size_t length = strlen((const char *)s->data + start);
		if (length > PAYLOAD_STRING_MAX)
			return payload_bad("section %u, %s: the string at 0x%zx is longer than %u bytes",
					   index, what, start, PAYLOAD_STRING_MAX);
		size_t good = payload_text_check(s->data + start, length);
		if (good != length)
			return payload_bad("section %u, %s: control character or bad UTF-8 at 0x%zx", index,
					   what, start + good);
		start += length + 1;
	}
	return NULL;
}

static int compare_offset(const void *a, const void *b, void *context)
{
	const struct payload_section *sections = context;
	uint64_t x = sections[*(const uint32_t *)a].file_offset,
		 y = sections[*(const uint32_t *)b].file_offset;
	return x < y ? -1 : x > y;
}

/*
 * No byte of the file may be in two sections: no tool writes that, and it would let a small file blow up (or
 * be two things at once).
 */
static struct usp_error *check_overlap(const struct payload_file *file, const Elf64_Ehdr *h)
{
	_cleanup_free_ uint32_t *order = calloc(file->n_sections, sizeof(*order));
	if (!order)
		return &usp_error_no_memory;
	size_t n = 0;
	for (uint32_t i = 0; i < file->n_sections; i++) {
		if (occupies_file(&file->sections[i]))
			order[n++] = i;
	}
	qsort_r(order, n, sizeof(*order), compare_offset, file->sections);
	uint64_t end = sizeof(Elf64_Ehdr);
	uint64_t table = h->e_shoff, table_end = table + (uint64_t)h->e_shnum * sizeof(Elf64_Shdr);
	const char *before = "the ELF header";
	for (size_t i = 0; i < n; i++) {
		const struct payload_section *s = &file->sections[order[i]];
		if (s->file_offset < end)
			return payload_bad("section %s (%u) overlaps %s in the file", s->name, order[i],
					   before);
		end = s->file_offset + s->size;
		before = s->name;
		if (s->file_offset < table_end && end > table)
			return payload_bad("section %s (%u) overlaps the section table", s->name, order[i]);
	}
	return NULL;
}

/* name is prefix itself, or prefix and then ".something". */
static bool is_family(const char *name, const char *prefix)
{
	size_t n = strlen(prefix);
	return !strncmp(name, prefix, n) && (!name[n] || name[n] == '.');
}

static const char *constructor_family(const struct payload_section *s)
{
	static const char *const families[] = {".init_array", ".fini_array", ".preinit_array", ".ctors",
					       ".dtors",      ".init",	     ".fini"};
	for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++) {
		if (is_family(s->name, families[i]))
			return families[i];
	}
	if (s->type == SHT_INIT_ARRAY || s->type == SHT_FINI_ARRAY || s->type == SHT_PREINIT_ARRAY)
		return "SHT_INIT_ARRAY and kin";
	return NULL;
}

/*
 * Pointers that only relocation writes: the dynamic linker would make them read-only afterwards; as we
 * relocate from outside, they are so from the start. DW.ref.* are the C++ personality's pointers; they are in
 * .data.rel.local for historical reasons and nobody writes them.
 */
static bool is_relocated_constant(const char *name)
{
	return is_family(name, ".data.rel.ro") || is_family(name, ".data.rel.local.DW.ref") ||
	       is_family(name, ".data.DW.ref");
}

static struct usp_error *classify_mapped(struct payload_section *s, uint32_t i)
{
	const uint64_t known = SHF_WRITE | SHF_ALLOC | SHF_EXECINSTR | SHF_MERGE | SHF_STRINGS |
			       SHF_INFO_LINK | SHF_LINK_ORDER | SHF_GROUP | SHF_TLS | SHF_COMPRESSED |
			       SHF_GNU_RETAIN | SHF_X86_64_LARGE;
	if (s->flags & ~known)
		return payload_bad("section %s (%u): unknown flags 0x%llx", s->name, i,
				   (unsigned long long)(s->flags & ~known));
	if (s->flags & SHF_COMPRESSED)
		return payload_bad("section %s (%u) is to be mapped and is compressed", s->name, i);
	if ((s->flags & SHF_WRITE) && (s->flags & SHF_EXECINSTR))
		return payload_bad("section %s (%u) is writable and executable at once", s->name, i);
	if (s->flags & SHF_TLS) {
		if (s->size)
			return payload_bad("section %s (%u): the payload defines new thread-local variables; "
					   "threads that "
					   "run already would have no room for them (keep such data in a "
					   "table by thread id)",
					   s->name, i);
		return NULL;
	}
	if (constructor_family(s)) {
		if (s->size)
			return payload_bad("section %s (%u): constructors and destructors of a payload are "
					   "not run (%s); use "
					   "USPLICE_LOAD_HOOK, and no sanitizer or coverage flags",
					   s->name, i, constructor_family(s));
		return NULL;
	}
	if (s->size > PAYLOAD_IMAGE_MAX)
		return payload_bad(
			"section %s (%u): 0x%llx bytes are more than the 0x%x that an image may have",
			s->name, i, (unsigned long long)s->size, PAYLOAD_IMAGE_MAX);
	if (s->align > PAYLOAD_ALIGN_MAX)
		return payload_bad("section %s (%u): alignment 0x%llx is more than a page", s->name, i,
				   (unsigned long long)s->align);
	if (s->type == SHT_NOTE) {
		if (!strcmp(s->name, ".note.gnu.build-id"))
			s->kind = PAYLOAD_SECTION_NOTE;
		return NULL;
	}
	if (s->type == SHT_GNU_SFRAME || !strcmp(s->name, "__patchable_function_entries"))
		return NULL;
	if (s->type == SHT_NOBITS) {
		if (s->flags & SHF_EXECINSTR)
			return payload_bad("section %s (%u) is executable and has no contents", s->name, i);
		s->kind = s->flags & SHF_WRITE ? PAYLOAD_SECTION_BSS : PAYLOAD_SECTION_RODATA;
		return NULL;
	}
	if (s->type != SHT_PROGBITS && s->type != SHT_X86_64_UNWIND)
		return payload_bad("section %s (%u): type 0x%x cannot be mapped", s->name, i, s->type);
	if (!strcmp(s->name, ".eh_frame") || s->type == SHT_X86_64_UNWIND) {
		if (s->flags & (SHF_EXECINSTR | SHF_TLS) || s->size % 4)
			return payload_bad(
				"section %s (%u): its size 0x%llx or flags 0x%llx are not those of unwind "
				"information",
				s->name, i, (unsigned long long)s->size, (unsigned long long)s->flags);
		s->kind = PAYLOAD_SECTION_EH_FRAME;
	} else if (s->flags & SHF_EXECINSTR) {
		s->kind = PAYLOAD_SECTION_TEXT;
	} else if (s->flags & SHF_WRITE && !is_relocated_constant(s->name)) {
		s->kind = PAYLOAD_SECTION_DATA;
	} else {
		s->kind = PAYLOAD_SECTION_RODATA;
	}
	return NULL;
}

static struct usp_error *classify(struct payload_section *s, uint32_t i)
{
	if (s->align & (s->align - 1))
		return payload_bad("section %s (%u): alignment 0x%llx is not a power of two", s->name, i,
				   (unsigned long long)s->align);
	if (!strncmp(s->name, ".usplice.", 9)) {
		if (s->type != SHT_PROGBITS || s->flags & (SHF_EXECINSTR | SHF_TLS | SHF_COMPRESSED))
			return payload_bad(
				"section %s (%u): type 0x%x or flags 0x%llx are not those of records",
				s->name, i, s->type, (unsigned long long)s->flags);
		s->kind = PAYLOAD_SECTION_RECORDS;
		return NULL;
	}
	switch (s->type) {
	case SHT_REL:
		return payload_bad(
			"section %s (%u): relocations without addends (SHT_REL) are not used on x86-64",
			s->name, i);
	case SHT_SYMTAB_SHNDX:
		return payload_bad("section %s (%u): extended section indices (SHT_SYMTAB_SHNDX), too many "
				   "sections: at most %u",
				   s->name, i, SHN_LORESERVE - 1);
	case SHT_DYNAMIC:
	case SHT_DYNSYM:
	case SHT_HASH:
	case SHT_GNU_HASH:
	case SHT_SHLIB:
	case SHT_GNU_verdef:
	case SHT_GNU_verneed:
	case SHT_GNU_versym:
		return payload_bad("section %s (%u): type 0x%x belongs in linked files (link with -r)",
				   s->name, i, s->type);
	case SHT_NULL:
	case SHT_SYMTAB:
	case SHT_STRTAB:
	case SHT_RELA:
	case SHT_GROUP:
		if (s->flags & SHF_ALLOC && s->type != SHT_NULL)
			return payload_bad("section %s (%u): a table of type 0x%x is to be mapped", s->name,
					   i, s->type);
		return NULL;
	default:
		break;
	}
	if (!strcmp(s->name, ".note.GNU-stack") && s->flags & SHF_EXECINSTR)
		return payload_bad("section %s (%u): needs an executable stack (a nested function whose "
				   "address is taken?)",
				   s->name, i);
	if (!(s->flags & SHF_ALLOC) || s->flags & SHF_EXCLUDE)
		return NULL;
	return classify_mapped(s, i);
}

static struct usp_error *read_sections(struct payload_file *file)
{
	Elf64_Ehdr h;
	memcpy(&h, file->data, sizeof(h));
	struct usp_error *error = check_header(&h, file->size);
	if (error)
		return error;
	file->sections = calloc(h.e_shnum, sizeof(*file->sections));
	if (!file->sections)
		return &usp_error_no_memory;
	file->n_sections = h.e_shnum;
	for (uint32_t i = 0; i < h.e_shnum; i++) {
		Elf64_Shdr s;
		memcpy(&s, file->data + h.e_shoff + i * sizeof(s), sizeof(s));
		if (!i && (s.sh_type != SHT_NULL || s.sh_size || s.sh_link))
			return payload_bad("section 0 is not the null section");
		if (s.sh_addralign > 1 && !(s.sh_addralign & (s.sh_addralign - 1)) &&
		    s.sh_addr & (s.sh_addralign - 1))
			return payload_bad("section %u: address 0x%llx is not aligned to 0x%llx", i,
					   (unsigned long long)s.sh_addr, (unsigned long long)s.sh_addralign);
		error = read_section(file, i, &s);
		if (error)
			return error;
	}
	error = payload_string_table_check(file, h.e_shstrndx, "the section names");
	if (error)
		return error;
	const struct payload_section *names = &file->sections[h.e_shstrndx];
	for (uint32_t i = 0; i < h.e_shnum; i++) {
		Elf64_Shdr s;
		memcpy(&s, file->data + h.e_shoff + i * sizeof(s), sizeof(s));
		if (s.sh_name >= names->size)
			return payload_bad("section %u: its name lies outside of the string table", i);
		file->sections[i].name = (const char *)names->data + s.sh_name;
	}
	error = check_overlap(file, &h);
	uint64_t mapped = 0;
	for (uint32_t i = 1; !error && i < h.e_shnum; i++) {
		struct payload_section *s = &file->sections[i];
		error = classify(s, i);
		if (!error && payload_section_is_mapped(s) && (mapped += s->size) > PAYLOAD_IMAGE_MAX)
			error = payload_bad(
				"section %s (%u): what is to be mapped is more than 0x%x bytes up to here",
				s->name, i, PAYLOAD_IMAGE_MAX);
	}
	return error;
}

struct usp_error *payload_file_open(const void *data, size_t size, struct payload_file **ret)
{
	if (!size)
		return payload_bad("the file is empty");
	if (size > PAYLOAD_FILE_MAX)
		return payload_bad("the file has %zu bytes, more than the %u that are allowed", size,
				   PAYLOAD_FILE_MAX);
	if (size < sizeof(Elf64_Ehdr))
		return payload_bad("not an ELF file (%zu bytes are too few for a header)", size);
	struct payload_file *file = calloc(1, sizeof(*file));
	if (!file)
		return &usp_error_no_memory;
	file->data = malloc(size);
	if (!file->data) {
		payload_file_close(file);
		return &usp_error_no_memory;
	}
	memcpy(file->data, data, size);
	file->size = size;
	struct usp_error *error = read_sections(file);
	if (error) {
		payload_file_close(file);
		return error;
	}
	*ret = file;
	return NULL;
}

void payload_file_close(struct payload_file *file)
{
	if (!file)
		return;
	for (uint32_t i = 0; i < file->n_sections; i++)
		free(file->sections[i].relocations);
	free(file->sections);
	free(file->symbols);
	free(file->functions);
	free(file->data);
	free(file);
}

bool payload_section_is_mapped(const struct payload_section *section)
{
	return section->kind != PAYLOAD_SECTION_IGNORED && section->kind != PAYLOAD_SECTION_RECORDS;
}
