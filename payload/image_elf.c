// SPDX-License-Identifier: MIT
#include "payload/image_elf.h"

#include <string.h>
#include <sys/mman.h>

#include "payload/layout.h"

/* Section headers as they are appended. */
struct output {
	Elf64_Shdr headers[PAYLOAD_OUTPUT_SECTIONS];
	unsigned n;
	unsigned of_kind[PAYLOAD_SECTION_KINDS]; /* index of the section header for a kind */
};

static const char output_names[] = PAYLOAD_OUTPUT_NAMES;

static Elf64_Word name_offset(const char *name)
{
	size_t i = 1;
	while (i < sizeof(output_names) && strcmp(output_names + i, name))
		i += strlen(output_names + i) + 1;
	return i < sizeof(output_names) ? (Elf64_Word)i : 0;
}

static Elf64_Shdr *append(struct output *o, const char *name, Elf64_Word type, Elf64_Xword flags,
			  uint64_t offset, uint64_t size, uint64_t align)
{
	o->headers[o->n] = (Elf64_Shdr){.sh_name = name_offset(name),
					.sh_type = type,
					.sh_flags = flags,
					.sh_addr = flags & SHF_ALLOC ? offset : 0,
					.sh_offset = offset,
					.sh_size = size,
					.sh_addralign = align};
	return &o->headers[o->n++];
}

static void append_kind(struct output *o, const struct payload_layout *layout, enum payload_section_kind kind,
			const char *name, Elf64_Word type, Elf64_Xword flags)
{
	if (!layout->kind_size[kind])
		return;
	o->of_kind[kind] = o->n;
	append(o, name, type, flags, layout->kind_offset[kind], layout->kind_size[kind],
	       layout->kind_align[kind]);
}

static void list_sections(const struct payload_layout *layout, struct output *o)
{
	o->n = 1; /* the null section */
	append_kind(o, layout, PAYLOAD_SECTION_NOTE, ".note.gnu.build-id", SHT_NOTE, SHF_ALLOC);
	append_kind(o, layout, PAYLOAD_SECTION_RODATA, ".rodata", SHT_PROGBITS, SHF_ALLOC);
	if (layout->eh_frame_hdr_size)
		append(o, ".eh_frame_hdr", SHT_PROGBITS, SHF_ALLOC, layout->eh_frame_hdr,
		       layout->eh_frame_hdr_size, 4);
	append_kind(o, layout, PAYLOAD_SECTION_EH_FRAME, ".eh_frame", SHT_PROGBITS, SHF_ALLOC);
	append_kind(o, layout, PAYLOAD_SECTION_TEXT, ".text", SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR);
	if (layout->slots_size + layout->words_size)
		append(o, ".usplice.slots", SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR, layout->slots,
		       layout->slots_size + layout->words_size, 8);
	append_kind(o, layout, PAYLOAD_SECTION_DATA, ".data", SHT_PROGBITS, SHF_ALLOC | SHF_WRITE);
	append_kind(o, layout, PAYLOAD_SECTION_BSS, ".bss", SHT_NOBITS, SHF_ALLOC | SHF_WRITE);
	Elf64_Shdr *symtab =
		append(o, ".symtab", SHT_SYMTAB, 0, layout->symtab, layout->n_symbols * sizeof(Elf64_Sym), 8);
	symtab->sh_entsize = sizeof(Elf64_Sym);
	symtab->sh_link = o->n;
	symtab->sh_info = (Elf64_Word)layout->n_local_symbols;
	append(o, ".strtab", SHT_STRTAB, 0, layout->strtab, layout->strtab_size, 1);
	append(o, ".shstrtab", SHT_STRTAB, 0, layout->strtab + layout->strtab_size, sizeof(output_names), 1);
}

/* One entry of the symbol table; its name goes to *names. Functions are listed too. */
static void write_symbol(const struct payload_file *file, struct payload_image *image, const struct output *o,
			 const struct payload_symbol *symbol, uint64_t at, uint64_t *names)
{
	const struct payload_section *section = &file->sections[symbol->section];
	Elf64_Sym e = {.st_name = (Elf64_Word)(*names - file->layout.strtab),
		       .st_info = ELF64_ST_INFO(symbol->binding, symbol->type),
		       .st_other = symbol->visibility,
		       .st_shndx = (Elf64_Section)o->of_kind[section->kind],
		       .st_value = section->image_offset + symbol->value,
		       .st_size = symbol->size};
	if (!e.st_shndx)
		e.st_shndx = SHN_ABS; /* an empty section's label */
	size_t length = strlen(symbol->name) + 1;
	memcpy(image->bytes + *names, symbol->name, length);
	memcpy(image->bytes + at, &e, sizeof(e));
	if (symbol->type == STT_FUNC && symbol->size)
		image->functions[image->n_functions++] =
			(struct payload_image_symbol){.name = (const char *)image->bytes + *names,
						      .address = image->base + e.st_value,
						      .size = e.st_size};
	*names += length;
}

static struct usp_error *write_symbols(const struct payload_file *file, struct payload_image *image,
				       const struct output *o)
{
	const struct payload_layout *layout = &file->layout;
	image->functions = calloc((size_t)file->n_functions + 1, sizeof(*image->functions));
	if (!image->functions)
		return &usp_error_no_memory;
	uint64_t at = layout->symtab + sizeof(Elf64_Sym), names = layout->strtab + 1;
	for (uint32_t i = 1; i < file->n_symbols; i++) {
		const struct payload_symbol *s = &file->symbols[i];
		if (!payload_layout_names(file, s))
			continue;
		write_symbol(file, image, o, s, at, &names);
		at += sizeof(Elf64_Sym);
	}
	return NULL;
}

static unsigned write_program_headers(const struct payload_file *file, struct payload_image *image)
{
	const struct payload_layout *layout = &file->layout;
	Elf64_Phdr v[PAYLOAD_PROGRAM_HEADERS];
	unsigned n = 0;
	for (int i = 0; i < PAYLOAD_SEGMENTS; i++) {
		const struct payload_segment *s = &image->segments[i];
		if (!s->size)
			continue;
		Elf64_Word flags =
			PF_R | (s->prot & PROT_EXEC ? PF_X : 0) | (s->prot & PROT_WRITE ? PF_W : 0);
		v[n++] = (Elf64_Phdr){.p_type = PT_LOAD,
				      .p_flags = flags,
				      .p_offset = s->offset,
				      .p_vaddr = s->offset,
				      .p_paddr = s->offset,
				      .p_filesz = s->size,
				      .p_memsz = s->size,
				      .p_align = PAYLOAD_PAGE};
	}
	const struct {
		Elf64_Word type;
		uint64_t offset, size;
	} parts[] = {
		{PT_NOTE, layout->kind_offset[PAYLOAD_SECTION_NOTE], layout->kind_size[PAYLOAD_SECTION_NOTE]},
		{PT_GNU_EH_FRAME, layout->eh_frame_hdr, layout->eh_frame_hdr_size}};
	for (size_t i = 0; i < 2; i++) {
		if (parts[i].size)
			v[n++] = (Elf64_Phdr){.p_type = parts[i].type,
					      .p_flags = PF_R,
					      .p_offset = parts[i].offset,
					      .p_vaddr = parts[i].offset,
					      .p_paddr = parts[i].offset,
					      .p_filesz = parts[i].size,
					      .p_memsz = parts[i].size,
					      .p_align = 4};
	}
	v[n++] = (Elf64_Phdr){.p_type = PT_GNU_STACK, .p_flags = PF_R | PF_W, .p_align = 16};
	memcpy(image->bytes + sizeof(Elf64_Ehdr), v, n * sizeof(v[0]));
	return n;
}

struct usp_error *payload_image_write_elf(const struct payload_file *file, struct payload_image *image)
{
	const struct payload_layout *layout = &file->layout;
	struct output o = {.n = 0};
	list_sections(layout, &o);
	struct usp_error *error = write_symbols(file, image, &o);
	if (error)
		return error;
	memcpy(image->bytes + layout->strtab + layout->strtab_size, output_names, sizeof(output_names));
	memcpy(image->bytes + layout->section_table, o.headers, o.n * sizeof(o.headers[0]));
	Elf64_Ehdr h = {.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
			.e_type = ET_DYN,
			.e_machine = EM_X86_64,
			.e_version = EV_CURRENT,
			.e_phoff = sizeof(Elf64_Ehdr),
			.e_shoff = layout->section_table,
			.e_ehsize = sizeof(Elf64_Ehdr),
			.e_phentsize = sizeof(Elf64_Phdr),
			.e_phnum = (Elf64_Half)write_program_headers(file, image),
			.e_shentsize = sizeof(Elf64_Shdr),
			.e_shnum = (Elf64_Half)o.n,
			.e_shstrndx = (Elf64_Half)(o.n - 1)};
	memcpy(image->bytes, &h, sizeof(h));
	return NULL;
}
