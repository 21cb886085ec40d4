// SPDX-License-Identifier: MIT
/* ELF header and section table of an object, and its life. */
#define _GNU_SOURCE
#include "build/object/object.h"

#include <stdlib.h>
#include <string.h>

#include "build/file.h"
#include "build/object/calls.h"

static struct usp_error *check_header(const Elf64_Ehdr *h, size_t size)
{
	if (memcmp(h->e_ident, ELFMAG, SELFMAG))
		return object_bad("not an ELF file");
	if (h->e_ident[EI_CLASS] != ELFCLASS64 || h->e_ident[EI_DATA] != ELFDATA2LSB ||
	    h->e_machine != EM_X86_64)
		return usp_errorf(USP_UNSUPPORTED, "made for ELF machine %u (class %u), not for x86-64",
				  h->e_machine, h->e_ident[EI_CLASS]);
	if (h->e_ident[EI_VERSION] != EV_CURRENT || h->e_version != EV_CURRENT)
		return object_bad("ELF version %u, not 1", h->e_version);
	if (h->e_type != ET_REL)
		return usp_errorf(
			USP_UNSUPPORTED,
			"ELF type %u, not a relocatable object: compare what the compiler wrote, before "
			"it is linked",
			h->e_type);
	if (h->e_ehsize != sizeof(Elf64_Ehdr) || h->e_shentsize != sizeof(Elf64_Shdr))
		return object_bad("header sizes %u and %u", h->e_ehsize, h->e_shentsize);
	if (!h->e_shoff || !h->e_shnum || h->e_shnum >= SHN_LORESERVE || h->e_shstrndx == SHN_XINDEX)
		return usp_errorf(USP_UNSUPPORTED, "no sections, or more than %u", SHN_LORESERVE - 1);
	if (h->e_shoff > size || size - h->e_shoff < (uint64_t)h->e_shnum * sizeof(Elf64_Shdr))
		return object_bad(
			"the section table (%u entries at 0x%llx) lies outside of the file (%zu bytes)",
			h->e_shnum, (unsigned long long)h->e_shoff, size);
	if (!h->e_shstrndx || h->e_shstrndx >= h->e_shnum)
		return object_bad("the section names' index %u is not one of %u sections", h->e_shstrndx,
				  h->e_shnum);
	return NULL;
}

static bool occupies_file(const struct object_section *s)
{
	return s->type != SHT_NOBITS && s->type != SHT_NULL && s->size;
}

static struct usp_error *read_section(struct object *object, uint32_t i, const Elf64_Shdr *h)
{
	struct object_section *s = &object->sections[i];
	*s = (struct object_section){.name = "",
				     .type = h->sh_type,
				     .link = h->sh_link,
				     .info = h->sh_info,
				     .flags = h->sh_flags,
				     .size = h->sh_size,
				     .align = h->sh_addralign ? h->sh_addralign : 1,
				     .entry_size = h->sh_entsize,
				     .file_offset = h->sh_offset};
	if (s->align & (s->align - 1))
		return object_bad("section %u: its alignment 0x%llx is no power of two", i,
				  (unsigned long long)s->align);
	if (s->type == SHT_NOBITS && s->size > INT64_MAX / 4)
		return object_bad("section %u: 0x%llx bytes", i, (unsigned long long)s->size);
	if (!occupies_file(s))
		return NULL;
	if (s->file_offset > object->size || object->size - s->file_offset < s->size)
		return object_bad("section %u (0x%llx bytes at 0x%llx) lies outside of the file", i,
				  (unsigned long long)s->size, (unsigned long long)s->file_offset);
	s->data = object->data + s->file_offset;
	return NULL;
}

/* A string table that ends with NUL: any offset in it is a string. */
static struct usp_error *check_strings(const struct object *object, uint32_t index, const char *what)
{
	const struct object_section *s = index < object->n_sections ? &object->sections[index] : NULL;
	if (!s || s->type != SHT_STRTAB || !s->size || s->flags & SHF_COMPRESSED)
		return object_bad("section %u, %s, is no string table", index, what);
	if (s->data[s->size - 1])
		return object_bad("section %u, %s, is not ended by a NUL", index, what);
	return NULL;
}

static int by_file_offset(const void *a, const void *b, void *context)
{
	const struct object_section *sections = context;
	uint64_t x = sections[*(const uint32_t *)a].file_offset,
		 y = sections[*(const uint32_t *)b].file_offset;
	return x < y ? -1 : x > y;
}

/* No byte of the file is in two sections: what is compared in one could be changed through the other. */
static struct usp_error *check_overlap(const struct object *object)
{
	_cleanup_free_ uint32_t *order = calloc(object->n_sections, sizeof(*order));
	size_t n = 0;
	uint64_t end = sizeof(Elf64_Ehdr);
	if (!order)
		return &usp_error_no_memory;
	for (uint32_t i = 0; i < object->n_sections; i++)
		if (occupies_file(&object->sections[i]))
			order[n++] = i;
	qsort_r(order, n, sizeof(*order), by_file_offset, object->sections);
	for (size_t i = 0; i < n; i++) {
		const struct object_section *s = &object->sections[order[i]];
		if (s->file_offset < end)
			return object_bad("section %s (%u) overlaps what is before it in the file", s->name,
					  order[i]);
		end = s->file_offset + s->size;
	}
	return NULL;
}

static struct usp_error *read_sections(struct object *object)
{
	Elf64_Ehdr h;
	if (object->size < sizeof(h))
		return object_bad("too short for an ELF file: %zu bytes", object->size);
	memcpy(&h, object->data, sizeof(h));
	struct usp_error *error = check_header(&h, object->size);
	if (error)
		return error;
	object->sections = calloc(h.e_shnum, sizeof(*object->sections));
	if (!object->sections)
		return &usp_error_no_memory;
	object->n_sections = h.e_shnum;
	for (uint32_t i = 0; i < object->n_sections && !error; i++) {
		Elf64_Shdr s;
		memcpy(&s, object->data + h.e_shoff + i * sizeof(s), sizeof(s));
		error = read_section(object, i, &s);
	}
	if (!error)
		error = check_strings(object, h.e_shstrndx, "the section names");
	for (uint32_t i = 0; i < object->n_sections && !error; i++) {
		struct object_section *s = &object->sections[i];
		Elf64_Shdr header;
		memcpy(&header, object->data + h.e_shoff + i * sizeof(header), sizeof(header));
		const struct object_section *names = &object->sections[h.e_shstrndx];
		if (header.sh_name >= names->size)
			error = object_bad("section %u: its name lies outside of the section names", i);
		else
			s->name = (const char *)names->data + header.sh_name;
	}
	return error ? error : check_overlap(object);
}

static struct usp_error *find_symbol_table(struct object *object)
{
	for (uint32_t i = 1; i < object->n_sections; i++) {
		const struct object_section *s = &object->sections[i];
		if (s->type == SHT_SYMTAB && object->symbol_section)
			return object_bad("two symbol tables, sections %u and %u", object->symbol_section, i);
		if (s->type == SHT_SYMTAB_SHNDX)
			return usp_errorf(USP_UNSUPPORTED, "more than %u sections", SHN_LORESERVE - 1);
		if (s->type == SHT_REL)
			return usp_errorf(USP_UNSUPPORTED, "section %s has relocations without addends",
					  s->name);
		if (s->type == SHT_SYMTAB)
			object->symbol_section = i;
	}
	if (!object->symbol_section)
		return object_bad("there is no symbol table: a stripped object cannot be compared");
	return check_strings(object, object->sections[object->symbol_section].link, "the symbol names");
}

static struct usp_error *choose_kinds(struct object *object)
{
	for (uint32_t i = 0; i < object->n_sections; i++) {
		struct object_section *s = &object->sections[i];
		s->kind = object_kind(s->name, s->type, s->flags);
		if (s->kind == OBJECT_KIND_LTO)
			return usp_errorf(
				USP_UNSUPPORTED,
				"compiled with -flto (section %s): the machine code is made when the program "
				"is linked; build it with -fno-lto",
				s->name);
		if (s->kind != OBJECT_KIND_IGNORED && s->flags & SHF_COMPRESSED)
			return object_bad("section %s is compressed", s->name);
		if (s->kind == OBJECT_KIND_MERGED &&
		    (!s->entry_size || s->entry_size > 64 || s->size % s->entry_size))
			s->kind = OBJECT_KIND_CONSTANT; /* nobody can merge that */
		if (s->kind == OBJECT_KIND_STRINGS &&
		    ((s->entry_size != 1 && s->entry_size != 2 && s->entry_size != 4) ||
		     s->size % s->entry_size))
			return object_bad("section %s holds strings with characters of %llu bytes", s->name,
					  (unsigned long long)s->entry_size);
	}
	return NULL;
}

static struct usp_error *take_apart(struct object *object)
{
	struct usp_error *error = read_sections(object);
	if (!error)
		error = choose_kinds(object);
	if (!error)
		error = find_symbol_table(object);
	if (!error)
		error = object_read_symbols(object);
	if (!error)
		error = object_read_relocations(object);
	if (!error)
		error = object_split(object);
	return error ? error : object_read_lines(object);
}

static struct usp_error *open_bytes(const char *path, uint8_t *data, size_t size, struct object **ret)
{
	struct object *object = calloc(1, sizeof(*object));
	char *copy = strdup(path);
	if (!object || !copy) {
		free(object);
		free(copy);
		free(data);
		return &usp_error_no_memory;
	}
	*object = (struct object){
		.path = copy, .data = data, .size = size, .calls = calloc(1, sizeof(*object->calls))};
	struct usp_error *error = object->calls ? take_apart(object) : &usp_error_no_memory;
	if (error) {
		object_close(object);
		return usp_error_prefix(error, "%s", path);
	}
	*ret = object;
	return NULL;
}

struct usp_error *object_open(const char *path, struct object **ret)
{
	uint8_t *data = NULL;
	size_t size = 0;
	struct usp_error *error = file_read(path, OBJECT_FILE_MAX, &data, &size);
	return error ? error : open_bytes(path, data, size, ret);
}

struct usp_error *object_from_memory(const char *path, const void *data, size_t size, struct object **ret)
{
	uint8_t *copy = malloc(size ? size : 1);
	if (!copy)
		return &usp_error_no_memory;
	memcpy(copy, data, size);
	return open_bytes(path, copy, size, ret);
}

struct usp_error *object_empty(const char *path, struct object **ret)
{
	_cleanup_(object_closep) struct object *object = calloc(1, sizeof(*object));
	if (!object)
		return &usp_error_no_memory;
	object->path = strdup(path);
	object->symbols = calloc(1, sizeof(*object->symbols));
	object->sections = calloc(1, sizeof(*object->sections));
	object->calls = calloc(1, sizeof(*object->calls));
	if (!object->path || !object->symbols || !object->sections || !object->calls)
		return &usp_error_no_memory;
	object->symbols[0].name = "";
	object->sections[0].name = "";
	object->n_symbols = object->n_sections = 1;
	*ret = object;
	object = NULL;
	return NULL;
}

void object_close(struct object *object)
{
	if (!object)
		return;
	for (uint32_t i = 0; i < object->n_sections; i++)
		free(object->sections[i].relocations);
	for (uint32_t i = 0; i < object->n_pieces; i++) {
		free(object->pieces[i].base);
		free(object->pieces[i].insns);
		free(object->pieces[i].references);
	}
	free(object->sections);
	free(object->symbols);
	free(object->pieces);
	free(object->lines);
	if (object->calls)
		free(object->calls->lines);
	free(object->calls);
	free(object->data);
	free(object->path);
	free(object);
}

void object_closep(struct object **object)
{
	object_close(*object);
}

bool object_grow(void *array, size_t n, size_t *capacity, size_t size)
{
	if (n < *capacity)
		return true;
	size_t more = *capacity ? 2 * *capacity : 16;
	void *grown = reallocarray(*(void **)array, more, size);
	if (!grown)
		return false;
	*(void **)array = grown;
	*capacity = more;
	return true;
}
