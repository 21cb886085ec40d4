// SPDX-License-Identifier: MIT
#include "elfmaker.h"

#include <stdlib.h>
#include <string.h>

#include <usplice/payload.h>

static void need(int condition)
{
	if (!condition)
		abort();
}

void elfmaker_init(struct elfmaker *e)
{
	memset(e, 0, sizeof(*e));
	e->n_sections = 1;
	e->n_symbols = 1;
}

void elfmaker_deinit(struct elfmaker *e)
{
	for (unsigned i = 0; i < e->n_sections; i++)
		free(e->sections[i].data);
	free(e->bytes);
}

static void set_data(struct elfmaker_section *s, const void *data, size_t size)
{
	free(s->data);
	s->data = calloc(1, size + 1);
	need(s->data != NULL);
	if (data)
		memcpy(s->data, data, size);
	s->size = size;
}

unsigned elf_section(struct elfmaker *e, const char *name, Elf64_Word type, Elf64_Xword flags,
		     const void *data, size_t size)
{
	need(!e->bytes && e->n_sections < ELFMAKER_SECTIONS && strlen(name) < sizeof(e->sections[0].name));
	struct elfmaker_section *s = &e->sections[e->n_sections];
	strcpy(s->name, name);
	s->header = (Elf64_Shdr){.sh_type = type, .sh_flags = flags, .sh_addralign = 8, .sh_size = size};
	if (type != SHT_NOBITS)
		set_data(s, data, size);
	return e->n_sections++;
}

unsigned elf_symbol(struct elfmaker *e, const char *name, unsigned char binding, unsigned char type,
		    unsigned section, uint64_t value, uint64_t size)
{
	need(!e->bytes && e->n_symbols < ELFMAKER_SYMBOLS && strlen(name) < sizeof(e->symbols[0].name));
	strcpy(e->symbols[e->n_symbols].name, name);
	e->symbols[e->n_symbols].entry = (Elf64_Sym){.st_info = ELF64_ST_INFO(binding, type),
						     .st_shndx = (Elf64_Section)section,
						     .st_value = value,
						     .st_size = size};
	return e->n_symbols++;
}

void elf_rela(struct elfmaker *e, unsigned section, uint64_t offset, unsigned type, unsigned symbol,
	      int64_t addend)
{
	need(!e->bytes && section < e->n_sections);
	if (!e->sections[section].rela) {
		char name[80] = ".rela";
		strcat(name, e->sections[section].name);
		unsigned index = elf_section(e, name, SHT_RELA, SHF_INFO_LINK, NULL, 0);
		e->sections[index].header.sh_info = section;
		e->sections[index].header.sh_entsize = sizeof(Elf64_Rela);
		e->sections[section].rela = index;
	}
	struct elfmaker_section *s = &e->sections[section];
	need(s->n_relas < ELFMAKER_RELAS);
	s->relas[s->n_relas++].entry = (Elf64_Rela){
		.r_offset = offset, .r_info = ELF64_R_INFO((uint64_t)symbol, type), .r_addend = addend};
}

static void build_symbols(struct elfmaker *e)
{
	size_t strings = 1;
	for (unsigned i = 1; i < e->n_symbols; i++)
		strings += strlen(e->symbols[i].name) + 1;
	e->symtab = elf_section(e, ".symtab", SHT_SYMTAB, 0, NULL, e->n_symbols * sizeof(Elf64_Sym));
	e->strtab = elf_section(e, ".strtab", SHT_STRTAB, 0, NULL, strings);
	struct elfmaker_section *symtab = &e->sections[e->symtab], *strtab = &e->sections[e->strtab];
	unsigned index = 1;
	size_t name = 1;
	for (int global = 0; global < 2; global++) {
		for (unsigned i = 1; i < e->n_symbols; i++) {
			Elf64_Sym entry = e->symbols[i].entry;
			if ((ELF64_ST_BIND(entry.st_info) != STB_LOCAL) != global)
				continue;
			entry.st_name = (Elf64_Word)name;
			strcpy((char *)strtab->data + name, e->symbols[i].name);
			name += strlen(e->symbols[i].name) + 1;
			memcpy(symtab->data + index * sizeof(entry), &entry, sizeof(entry));
			e->symbols[i].index = index++;
		}
		if (!global)
			symtab->header.sh_info = index;
	}
	symtab->header.sh_entsize = sizeof(Elf64_Sym);
	symtab->header.sh_link = e->strtab;
}

static void build_relas(struct elfmaker *e)
{
	for (unsigned i = 1; i < e->n_sections; i++) {
		struct elfmaker_section *s = &e->sections[i];
		if (!s->rela)
			continue;
		struct elfmaker_section *rela = &e->sections[s->rela];
		set_data(rela, NULL, s->n_relas * sizeof(Elf64_Rela));
		for (unsigned k = 0; k < s->n_relas; k++) {
			Elf64_Rela entry = s->relas[k].entry;
			unsigned handle = (unsigned)ELF64_R_SYM(entry.r_info);
			entry.r_info =
				ELF64_R_INFO((uint64_t)e->symbols[handle].index, ELF64_R_TYPE(entry.r_info));
			memcpy(rela->data + k * sizeof(entry), &entry, sizeof(entry));
		}
		rela->header.sh_link = e->symtab;
	}
}

void elf_build(struct elfmaker *e)
{
	if (e->bytes)
		return;
	build_symbols(e);
	build_relas(e);
	size_t names = 1;
	for (unsigned i = 1; i < e->n_sections; i++)
		names += strlen(e->sections[i].name) + 1;
	names += sizeof(".shstrtab");
	e->shstrtab = elf_section(e, ".shstrtab", SHT_STRTAB, 0, NULL, names);
	size_t offset = sizeof(Elf64_Ehdr), name = 1;
	for (unsigned i = 1; i < e->n_sections; i++) {
		struct elfmaker_section *s = &e->sections[i];
		strcpy((char *)e->sections[e->shstrtab].data + name, s->name);
		s->header.sh_name = (Elf64_Word)name;
		name += strlen(s->name) + 1;
		offset = (offset + 15) & ~15ul;
		s->header.sh_offset = offset;
		if (s->header.sh_type != SHT_NOBITS) {
			s->header.sh_size = s->size;
			offset += s->size;
		}
	}
	offset = (offset + 15) & ~15ul;
	e->size = offset + e->n_sections * sizeof(Elf64_Shdr);
	e->bytes = calloc(1, e->size);
	need(e->bytes != NULL);
	Elf64_Ehdr h = {.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
			.e_type = ET_REL,
			.e_machine = EM_X86_64,
			.e_version = EV_CURRENT,
			.e_shoff = offset,
			.e_ehsize = sizeof(h),
			.e_shentsize = sizeof(Elf64_Shdr),
			.e_shnum = (Elf64_Half)e->n_sections,
			.e_shstrndx = (Elf64_Half)e->shstrtab};
	memcpy(e->bytes, &h, sizeof(h));
	for (unsigned i = 1; i < e->n_sections; i++) {
		struct elfmaker_section *s = &e->sections[i];
		if (s->size)
			memcpy(e->bytes + s->header.sh_offset, s->data, s->size);
		memcpy(e->bytes + offset + i * sizeof(s->header), &s->header, sizeof(s->header));
	}
}

Elf64_Ehdr *elf_ehdr(struct elfmaker *e)
{
	elf_build(e);
	return (Elf64_Ehdr *)e->bytes;
}

Elf64_Shdr *elf_shdr(struct elfmaker *e, unsigned section)
{
	elf_build(e);
	need(section < e->n_sections);
	return (Elf64_Shdr *)(e->bytes + e->size - e->n_sections * sizeof(Elf64_Shdr)) + section;
}

uint8_t *elf_data(struct elfmaker *e, unsigned section)
{
	elf_build(e);
	return e->bytes + e->sections[section].header.sh_offset;
}

Elf64_Sym *elf_sym(struct elfmaker *e, unsigned handle)
{
	elf_build(e);
	return (Elf64_Sym *)elf_data(e, e->symtab) + e->symbols[handle].index;
}

Elf64_Rela *elf_rela_at(struct elfmaker *e, unsigned section, unsigned i)
{
	elf_build(e);
	need(e->sections[section].rela && i < e->sections[section].n_relas);
	return (Elf64_Rela *)elf_data(e, e->sections[section].rela) + i;
}

void elf_info(struct elfmaker *e, const void *text, size_t size)
{
	need(!e->bytes);
	set_data(&e->sections[e->info], text, size);
}

static const uint8_t one_function[64] = {0xb8, 0x2a, 0, 0, 0, 0xc3}; /* mov $42,%eax; ret */

/* A CIE (zR, pcrel sdata4) and an FDE for .text+0, 16 bytes. */
static const uint8_t unwind[] = {
	0x14, 0, 0, 0, 0,    0, 0, 0, 1, 'z', 'R', 0, 1,  0x78, 16, 1, 0x1b, 0x0c, 7, 8,
	0x90, 1, 0, 0,									 /* CIE */
	0x10, 0, 0, 0, 0x1c, 0, 0, 0, 0, 0,   0,   0, 16, 0,	0,  0, 0,    0,	   0, 0, /* FDE */
};

void elfmaker_payload(struct elfmaker *e)
{
	static const char strings[] = "old_f\0old.c\0other";
	static const char info[] = "format=1\0name=good\0version=1.2\0description=a \"fix\"\0target=victim\0"
				   "target-build-id=00112233445566778899aabbccddeeff00112233";
	static const uint8_t note[] = {4,   0,	 0,   0, 8, 0, 0, 0, 3, 0, 0, 0,
				       'G', 'N', 'U', 0, 1, 2, 3, 4, 5, 6, 7, 8};
	struct usplice_function f = {.old_size = 32, .expected_length = 5, .expected = {1, 2, 3, 4, 5}};

	elfmaker_init(e);
	e->text = elf_section(e, ".text", SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR, one_function,
			      sizeof(one_function));
	e->strings = elf_section(e, ".rodata.str1.1", SHT_PROGBITS, SHF_ALLOC | SHF_MERGE | SHF_STRINGS,
				 strings, sizeof(strings));
	e->sections[e->strings].header.sh_addralign = 1;
	e->funcs = elf_section(e, ".usplice.funcs", SHT_PROGBITS, SHF_ALLOC | SHF_WRITE, &f, sizeof(f));
	e->info = elf_section(e, ".usplice.info", SHT_PROGBITS, SHF_ALLOC, info, sizeof(info));
	e->note = elf_section(e, ".note.gnu.build-id", SHT_NOTE, SHF_ALLOC, note, sizeof(note));
	e->eh_frame = elf_section(e, ".eh_frame", SHT_PROGBITS, SHF_ALLOC, unwind, sizeof(unwind));
	e->text_symbol = elf_symbol(e, "", STB_LOCAL, STT_SECTION, e->text, 0, 0);
	e->strings_symbol = elf_symbol(e, "", STB_LOCAL, STT_SECTION, e->strings, 0, 0);
	e->new_function = elf_symbol(e, "new_f", STB_GLOBAL, STT_FUNC, e->text, 0, 16);
	elf_rela(e, e->funcs, 0, R_X86_64_64, e->strings_symbol, 0);
	elf_rela(e, e->funcs, 16, R_X86_64_64, e->new_function, 0);
	elf_rela(e, e->eh_frame, 32, R_X86_64_PC32, e->text_symbol, 0);
}

unsigned elf_hook(struct elfmaker *e, const char *kind)
{
	char name[64] = ".usplice.hooks.";
	strcat(name, kind);
	unsigned section = elf_section(e, name, SHT_PROGBITS, SHF_ALLOC | SHF_WRITE, NULL, 8);
	elf_rela(e, section, 0, R_X86_64_64, e->new_function, 0);
	return section;
}
