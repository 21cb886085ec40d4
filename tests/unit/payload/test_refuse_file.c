// SPDX-License-Identifier: MIT
/* What payload_read() refuses in the ELF header, the section table, symbols and relocations. */
#include "refusal.h"

#include <stdlib.h>
#include <string.h>

#include "payload/file.h"

#define CASE(name) static void name(struct elfmaker *e)

/* --- the file and its header --- */
CASE(file_empty)
{
	elf_build(e);
	e->size = 0;
}
CASE(file_too_big)
{
	elf_build(e);
	e->bytes = realloc(e->bytes, PAYLOAD_FILE_MAX + 1ul);
	memset(e->bytes + e->size, 0, PAYLOAD_FILE_MAX + 1ul - e->size);
	e->size = PAYLOAD_FILE_MAX + 1ul;
}
CASE(file_tiny)
{
	elf_build(e);
	e->size = 63;
}
CASE(magic)
{
	elf_ehdr(e)->e_ident[1] = 'e';
}
CASE(class32)
{
	elf_ehdr(e)->e_ident[EI_CLASS] = ELFCLASS32;
}
CASE(big_endian)
{
	elf_ehdr(e)->e_ident[EI_DATA] = ELFDATA2MSB;
}
CASE(ident_version)
{
	elf_ehdr(e)->e_ident[EI_VERSION] = 2;
}
CASE(header_version)
{
	elf_ehdr(e)->e_version = 0;
}
CASE(os_abi)
{
	elf_ehdr(e)->e_ident[EI_OSABI] = ELFOSABI_FREEBSD;
}
CASE(abi_version)
{
	elf_ehdr(e)->e_ident[EI_ABIVERSION] = 1;
}
CASE(machine)
{
	elf_ehdr(e)->e_machine = EM_AARCH64;
}
CASE(type_exec)
{
	elf_ehdr(e)->e_type = ET_EXEC;
}
CASE(type_dyn)
{
	elf_ehdr(e)->e_type = ET_DYN;
}
CASE(header_size)
{
	elf_ehdr(e)->e_ehsize = 63;
}
CASE(program_headers)
{
	elf_ehdr(e)->e_phnum = 1;
}
CASE(program_header_offset)
{
	elf_ehdr(e)->e_phoff = 64;
}
CASE(no_section_table)
{
	elf_ehdr(e)->e_shoff = 0;
}
CASE(section_table_outside)
{
	elf_build(e);
	elf_ehdr(e)->e_shoff = e->size - 8;
}
CASE(section_table_wraps)
{
	elf_ehdr(e)->e_shoff = UINT64_MAX - 63;
}
CASE(section_entry_size)
{
	elf_ehdr(e)->e_shentsize = 40;
}
CASE(section_count_extended)
{
	elf_ehdr(e)->e_shnum = 0;
}
CASE(section_count_reserved)
{
	elf_ehdr(e)->e_shnum = SHN_LORESERVE;
}
CASE(names_extended)
{
	elf_ehdr(e)->e_shstrndx = SHN_XINDEX;
}
CASE(names_index)
{
	elf_ehdr(e)->e_shstrndx = (Elf64_Half)e->n_sections + 7;
}
CASE(names_index_zero)
{
	elf_ehdr(e)->e_shstrndx = 0;
}
CASE(names_not_strings)
{
	elf_ehdr(e)->e_shstrndx = (Elf64_Half)e->text;
}

/* --- sections --- */
CASE(section_outside)
{
	elf_build(e);
	elf_shdr(e, e->text)->sh_offset = e->size - 8;
}
CASE(section_far_outside)
{
	elf_build(e);
	elf_shdr(e, e->text)->sh_offset = e->size + 8;
}
CASE(section_wraps)
{
	elf_shdr(e, e->text)->sh_size = UINT64_MAX - 32;
}
CASE(section_zero)
{
	elf_shdr(e, 0)->sh_type = SHT_PROGBITS;
}
CASE(section_overlap)
{
	elf_shdr(e, e->strings)->sh_offset = elf_shdr(e, e->text)->sh_offset + 63;
}
CASE(section_over_header)
{
	elf_shdr(e, e->text)->sh_offset = 0;
}
CASE(section_over_table)
{
	elf_build(e);
	elf_shdr(e, e->note)->sh_offset = e->size - 40;
}
CASE(section_misaligned)
{
	elf_shdr(e, e->text)->sh_addralign = 16;
	elf_shdr(e, e->text)->sh_addr = 8;
}
CASE(section_alignment)
{
	elf_shdr(e, e->text)->sh_addralign = 24;
}
CASE(section_alignment_huge)
{
	elf_shdr(e, e->text)->sh_addralign = 8192;
}
CASE(section_name_outside)
{
	elf_shdr(e, e->text)->sh_name = 1u << 30;
}
CASE(section_name_control)
{
	elf_build(e);
	elf_data(e, e->shstrtab)[1] = '\033';
}
CASE(section_write_exec)
{
	elf_shdr(e, e->text)->sh_flags |= SHF_WRITE;
}
CASE(section_flags)
{
	elf_shdr(e, e->text)->sh_flags |= 1u << 30;
}
CASE(section_compressed)
{
	elf_shdr(e, e->text)->sh_flags |= SHF_COMPRESSED;
}
CASE(section_type)
{
	elf_shdr(e, e->text)->sh_type = SHT_LOUSER;
}
CASE(section_dynamic)
{
	elf_shdr(e, e->text)->sh_type = SHT_DYNAMIC;
}
CASE(table_mapped)
{
	elf_build(e);
	elf_shdr(e, e->strtab)->sh_flags |= SHF_ALLOC;
}
CASE(nobits_huge)
{
	unsigned bss = elf_section(e, ".bss", SHT_NOBITS, SHF_ALLOC | SHF_WRITE, NULL, 0);
	e->sections[bss].header.sh_size = 1ull << 40;
}
CASE(nobits_huge_sum)
{
	for (int i = 0; i < 3; i++) {
		unsigned bss = elf_section(e, ".bss.x", SHT_NOBITS, SHF_ALLOC | SHF_WRITE, NULL, 0);
		e->sections[bss].header.sh_size = PAYLOAD_IMAGE_MAX / 2;
	}
}
CASE(nobits_huge_aligned)
{
	unsigned bss = elf_section(e, ".bss", SHT_NOBITS, SHF_ALLOC | SHF_WRITE, NULL, 0);
	e->sections[bss].header.sh_size = PAYLOAD_IMAGE_MAX - 512;
}
CASE(nobits_executable)
{
	elf_section(e, ".text.none", SHT_NOBITS, SHF_ALLOC | SHF_EXECINSTR, NULL, 0);
}
CASE(init_array)
{
	elf_section(e, ".init_array", SHT_INIT_ARRAY, SHF_ALLOC | SHF_WRITE, NULL, 8);
}
CASE(init_array_priority)
{
	elf_section(e, ".init_array.00101", SHT_PROGBITS, SHF_ALLOC | SHF_WRITE, NULL, 8);
}
CASE(init_array_type)
{
	elf_section(e, ".mine", SHT_INIT_ARRAY, SHF_ALLOC | SHF_WRITE, NULL, 8);
}
CASE(ctors)
{
	elf_section(e, ".ctors", SHT_PROGBITS, SHF_ALLOC | SHF_WRITE, NULL, 8);
}
CASE(fini_array)
{
	elf_section(e, ".fini_array", SHT_FINI_ARRAY, SHF_ALLOC | SHF_WRITE, NULL, 8);
}
CASE(preinit_array)
{
	elf_section(e, ".preinit_array", SHT_PROGBITS, SHF_ALLOC | SHF_WRITE, NULL, 8);
}
CASE(dtors)
{
	elf_section(e, ".dtors.65535", SHT_PROGBITS, SHF_ALLOC | SHF_WRITE, NULL, 8);
}
CASE(init)
{
	elf_section(e, ".init", SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR, NULL, 8);
}
CASE(fini)
{
	elf_section(e, ".fini", SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR, NULL, 8);
}
CASE(tdata)
{
	elf_section(e, ".tdata", SHT_PROGBITS, SHF_ALLOC | SHF_WRITE | SHF_TLS, NULL, 8);
}
CASE(tbss)
{
	unsigned s = elf_section(e, ".tbss", SHT_NOBITS, SHF_ALLOC | SHF_WRITE | SHF_TLS, NULL, 0);
	e->sections[s].header.sh_size = 4;
}
CASE(stack_exec)
{
	elf_section(e, ".note.GNU-stack", SHT_PROGBITS, SHF_EXECINSTR, NULL, 0);
}
CASE(rel)
{
	elf_section(e, ".rel.text", SHT_REL, 0, NULL, 16);
}
CASE(symtab_shndx)
{
	elf_section(e, ".symtab_shndx", SHT_SYMTAB_SHNDX, 0, NULL, 16);
}
CASE(eh_frame_size)
{
	elf_shdr(e, e->eh_frame)->sh_size -= 2;
}
CASE(eh_frame_length)
{
	elf_data(e, e->eh_frame)[0] = 0x18;
}
CASE(eh_frame_end)
{
	elf_data(e, e->eh_frame)[24] = 0;
}
CASE(eh_frame_64)
{
	memset(elf_data(e, e->eh_frame), 0xff, 4);
}
CASE(eh_frame_cie_before)
{
	elf_data(e, e->eh_frame)[28] = 0x1d;
}
CASE(eh_frame_cie_is_fde)
{
	elf_data(e, e->eh_frame)[28] = 4;
}
CASE(eh_frame_augmentation)
{
	elf_data(e, e->eh_frame)[10] = 'Q';
}
CASE(eh_frame_encoding)
{
	elf_data(e, e->eh_frame)[16] = 0x9b;
}
CASE(eh_frame_augmentation_length)
{
	elf_data(e, e->eh_frame)[15] = 0x70;
}
CASE(eh_frame_version)
{
	elf_data(e, e->eh_frame)[8] = 9;
}

/* --- symbols --- */
CASE(no_symtab)
{
	elf_build(e);
	elf_shdr(e, e->symtab)->sh_type = SHT_PROGBITS;
}
CASE(two_symtabs)
{
	elf_section(e, ".symtab2", SHT_SYMTAB, 0, NULL, 24);
}
CASE(symtab_entry_size)
{
	elf_build(e);
	elf_shdr(e, e->symtab)->sh_entsize = 16;
}
CASE(symtab_size)
{
	elf_build(e);
	elf_shdr(e, e->symtab)->sh_size -= 1;
}
CASE(symtab_empty)
{
	elf_build(e);
	elf_shdr(e, e->symtab)->sh_size = 0;
}
CASE(symtab_link)
{
	elf_build(e);
	elf_shdr(e, e->symtab)->sh_link = 999;
}
CASE(symtab_link_wrong)
{
	elf_build(e);
	elf_shdr(e, e->symtab)->sh_link = e->text;
}
CASE(symtab_info)
{
	elf_build(e);
	elf_shdr(e, e->symtab)->sh_info = 999;
}
CASE(symtab_info_zero)
{
	elf_build(e);
	elf_shdr(e, e->symtab)->sh_info = 0;
}
CASE(symtab_order)
{
	elf_build(e);
	elf_shdr(e, e->symtab)->sh_info -= 1;
}
CASE(symtab_compressed)
{
	elf_build(e);
	elf_shdr(e, e->symtab)->sh_flags = SHF_COMPRESSED;
}
CASE(symbol_zero)
{
	elf_build(e);
	elf_data(e, e->symtab)[8] = 1;
}
CASE(strtab_open)
{
	elf_build(e);
	elf_shdr(e, e->strtab)->sh_size -= 1;
}
CASE(strtab_empty)
{
	elf_build(e);
	elf_shdr(e, e->strtab)->sh_size = 0;
}
CASE(strtab_first)
{
	elf_build(e);
	elf_data(e, e->strtab)[0] = 'x';
}
/* A string table with one string, of one byte more than may be. */
static unsigned long_string(struct elfmaker *e)
{
	static char text[1 + PAYLOAD_STRING_MAX + 1 + 1];
	memset(text + 1, 'a', PAYLOAD_STRING_MAX + 1);
	return elf_section(e, ".strings", SHT_STRTAB, 0, text, sizeof(text));
}
CASE(section_name_long)
{
	unsigned strings = long_string(e);
	elf_ehdr(e)->e_shstrndx = (Elf64_Half)strings;
}
CASE(symbol_name_long)
{
	unsigned strings = long_string(e);
	elf_build(e);
	elf_shdr(e, e->symtab)->sh_link = strings;
}
CASE(strtab_utf8)
{
	elf_build(e);
	elf_data(e, e->strtab)[elf_sym(e, e->new_function)->st_name] = 0xc0;
}
CASE(symbol_name_outside)
{
	elf_sym(e, e->new_function)->st_name = 0x10000000;
}
CASE(symbol_section)
{
	elf_sym(e, e->new_function)->st_shndx = 900;
}
CASE(symbol_common)
{
	elf_sym(e, e->new_function)->st_shndx = SHN_COMMON;
}
CASE(symbol_xindex)
{
	elf_sym(e, e->new_function)->st_shndx = SHN_XINDEX;
}
CASE(symbol_reserved)
{
	elf_sym(e, e->new_function)->st_shndx = SHN_LORESERVE + 2;
}
CASE(symbol_outside)
{
	elf_sym(e, e->new_function)->st_value = 60;
}
CASE(symbol_wraps)
{
	elf_sym(e, e->new_function)->st_size = UINT64_MAX;
}
CASE(symbol_type)
{
	elf_sym(e, e->new_function)->st_info = ELF64_ST_INFO(STB_GLOBAL, 9);
}
CASE(symbol_binding)
{
	elf_sym(e, e->new_function)->st_info = ELF64_ST_INFO(7, STT_FUNC);
}
CASE(symbol_tls)
{
	elf_sym(e, e->new_function)->st_info = ELF64_ST_INFO(STB_GLOBAL, STT_TLS);
}
CASE(symbol_ifunc)
{
	elf_sym(e, e->new_function)->st_info = ELF64_ST_INFO(STB_GLOBAL, STT_GNU_IFUNC);
}
CASE(symbol_not_code)
{
	elf_symbol(e, "data_f", STB_GLOBAL, STT_FUNC, e->strings, 0, 1);
}
CASE(symbol_local_undefined)
{
	elf_symbol(e, "nowhere", STB_LOCAL, STT_NOTYPE, SHN_UNDEF, 0, 0);
}
CASE(symbol_nameless)
{
	elf_symbol(e, "", STB_GLOBAL, STT_NOTYPE, SHN_UNDEF, 0, 0);
}
CASE(symbol_version_only)
{
	elf_symbol(e, "@GLIBC_2.2.5", STB_GLOBAL, STT_NOTYPE, SHN_UNDEF, 0, 0);
}
CASE(symbol_twice)
{
	elf_symbol(e, "new_f", STB_GLOBAL, STT_NOTYPE, SHN_UNDEF, 0, 0);
}
CASE(symbol_lto)
{
	elf_symbol(e, "__gnu_lto_slim", STB_GLOBAL, STT_OBJECT, SHN_COMMON, 1, 1);
}

/* --- relocations --- */
static unsigned add_undefined(struct elfmaker *e)
{
	return elf_symbol(e, "outside", STB_GLOBAL, STT_NOTYPE, SHN_UNDEF, 0, 0);
}
static void against_outside(struct elfmaker *e, unsigned type)
{
	elf_rela(e, e->text, 8, type, add_undefined(e), 0);
}

CASE(rela_entry_size)
{
	elf_shdr(e, e->sections[e->funcs].rela)->sh_entsize = 16;
}
CASE(rela_size)
{
	elf_shdr(e, e->sections[e->funcs].rela)->sh_size = 25;
}
CASE(rela_link)
{
	elf_shdr(e, e->sections[e->funcs].rela)->sh_link = e->strings;
}
CASE(rela_info)
{
	elf_shdr(e, e->sections[e->funcs].rela)->sh_info = 999;
}
CASE(rela_info_zero)
{
	elf_shdr(e, e->sections[e->funcs].rela)->sh_info = 0;
}
CASE(rela_of_table)
{
	elf_build(e);
	elf_shdr(e, e->sections[e->funcs].rela)->sh_info = e->strtab;
}
CASE(rela_twice)
{
	elf_shdr(e, e->sections[e->funcs].rela)->sh_info = e->eh_frame;
}
CASE(rela_compressed)
{
	elf_shdr(e, e->sections[e->funcs].rela)->sh_flags |= SHF_COMPRESSED;
}
CASE(rela_of_nobits)
{
	unsigned bss = elf_section(e, ".bss", SHT_NOBITS, SHF_ALLOC | SHF_WRITE, NULL, 64);
	elf_rela(e, bss, 0, R_X86_64_64, e->new_function, 0);
}
CASE(rela_of_note)
{
	elf_rela(e, e->note, 0, R_X86_64_64, e->new_function, 0);
}
CASE(reloc_symbol)
{
	elf_rela(e, e->text, 8, R_X86_64_64, e->new_function, 0);
	elf_rela_at(e, e->text, 0)->r_info = ELF64_R_INFO(5000ull, R_X86_64_64);
}
CASE(reloc_past_end)
{
	elf_rela(e, e->text, 57, R_X86_64_64, e->new_function, 0);
}
CASE(reloc_past_end_32)
{
	elf_rela(e, e->text, 61, R_X86_64_PC32, e->new_function, 0);
}
CASE(reloc_wraps)
{
	elf_rela(e, e->text, UINT64_MAX - 3, R_X86_64_64, e->new_function, 0);
}
CASE(reloc_null)
{
	elf_rela(e, e->text, 8, R_X86_64_64, 0, 0);
}
CASE(reloc_file_symbol)
{
	elf_rela(e, e->text, 8, R_X86_64_64, elf_symbol(e, "a.c", STB_LOCAL, STT_FILE, SHN_ABS, 0, 0), 0);
}
CASE(reloc_not_loaded)
{
	unsigned debug = elf_section(e, ".debug_info", SHT_PROGBITS, 0, NULL, 8);
	elf_rela(e, e->text, 8, R_X86_64_64, elf_symbol(e, "", STB_LOCAL, STT_SECTION, debug, 0, 0), 0);
}
CASE(reloc_to_records)
{
	elf_rela(e, e->text, 8, R_X86_64_64, elf_symbol(e, "", STB_LOCAL, STT_SECTION, e->funcs, 0, 0), 0);
}
CASE(reloc_unknown)
{
	against_outside(e, 200);
}
CASE(reloc_16)
{
	against_outside(e, R_X86_64_16);
}
CASE(reloc_pc16)
{
	against_outside(e, R_X86_64_PC16);
}
CASE(reloc_8)
{
	against_outside(e, R_X86_64_8);
}
CASE(reloc_pc8)
{
	against_outside(e, R_X86_64_PC8);
}
CASE(reloc_copy)
{
	against_outside(e, R_X86_64_COPY);
}
CASE(reloc_glob_dat)
{
	against_outside(e, R_X86_64_GLOB_DAT);
}
CASE(reloc_jump_slot)
{
	against_outside(e, R_X86_64_JUMP_SLOT);
}
CASE(reloc_relative)
{
	against_outside(e, R_X86_64_RELATIVE);
}
CASE(reloc_irelative)
{
	against_outside(e, R_X86_64_IRELATIVE);
}
CASE(reloc_dtpmod)
{
	against_outside(e, R_X86_64_DTPMOD64);
}
CASE(reloc_tlsdesc)
{
	against_outside(e, R_X86_64_TLSDESC);
}
CASE(reloc_tlsdesc_call_past_end)
{
	elf_rela(e, e->text, 63, R_X86_64_TLSDESC_CALL, add_undefined(e), 0);
}
/* The table's contents are those of filler. */
static void take_contents(struct elfmaker *e, unsigned table, unsigned filler)
{
	Elf64_Shdr *from = elf_shdr(e, filler), *to = elf_shdr(e, table);
	to->sh_offset = from->sh_offset;
	to->sh_size = from->sh_size;
	from->sh_size = 0;
}
CASE(symbols_too_many)
{
	unsigned filler = elf_section(e, ".filler", SHT_PROGBITS, 0, NULL,
				      (PAYLOAD_SYMBOLS_MAX + 1ul) * sizeof(Elf64_Sym));
	elf_build(e);
	take_contents(e, e->symtab, filler);
}
static void fill_relocations(struct elfmaker *e, uint64_t n)
{
	unsigned filler = elf_section(e, ".filler", SHT_PROGBITS, 0, NULL, n * sizeof(Elf64_Rela));
	elf_build(e);
	take_contents(e, e->sections[e->funcs].rela, filler);
}
CASE(relocations_too_many)
{
	fill_relocations(e, PAYLOAD_RELOCATIONS_MAX + 1ul);
}
CASE(relocations_too_many_in_sum)
{
	fill_relocations(e, PAYLOAD_RELOCATIONS_MAX);
}
CASE(reloc_size)
{
	against_outside(e, R_X86_64_SIZE64);
}
CASE(reloc_tls_defined)
{
	elf_rela(e, e->text, 8, R_X86_64_TPOFF32, e->new_function, 0);
}
CASE(reloc_tls_and_not)
{
	unsigned s = add_undefined(e);
	elf_rela(e, e->text, 8, R_X86_64_TPOFF32, s, 0);
	elf_rela(e, e->text, 16, R_X86_64_PC32, s, 0);
}
CASE(reloc_tls_symbol)
{
	elf_rela(e, e->text, 8, R_X86_64_PC32, elf_symbol(e, "tv", STB_GLOBAL, STT_TLS, SHN_UNDEF, 0, 0), 0);
}

static const struct refusal refusals[] = {
	{"file empty", file_empty, "the file is empty"},
	{"file above the limit", file_too_big, "67108865 bytes, more than the 67108864"},
	{"file below a header", file_tiny, "63 bytes are too few"},
	{"magic", magic, "bad magic"},
	{"class", class32, "ELF class 1"},
	{"byte order", big_endian, "ELF byte order 2"},
	{"ident version", ident_version, "ELF version 2/1"},
	{"header version", header_version, "ELF version 1/0"},
	{"OS ABI", os_abi, "OS ABI 9"},
	{"ABI version", abi_version, "ABI version 1"},
	{"machine", machine, "machine 183"},
	{"type executable", type_exec, "ELF type 2"},
	{"type shared object", type_dyn, "ELF type 3"},
	{"header size", header_size, "header size 63"},
	{"program headers", program_headers, "has program headers (1"},
	{"program header offset", program_header_offset, "has program headers (0 at 0x40"},
	{"no section table", no_section_table, "has no section table"},
	{"section table outside", section_table_outside, "lies outside of the file"},
	{"section table wraps around", section_table_wraps, "section table ("},
	{"section entry size", section_entry_size, "section table entry size 40"},
	{"sections extended", section_count_extended, "too many sections"},
	{"sections reserved", section_count_reserved, "too many sections (65280)"},
	{"section names extended", names_extended, "too many sections"},
	{"section names index", names_index, "name string table index"},
	{"section names index 0", names_index_zero, "name string table index 0"},
	{"section names not strings", names_not_strings,
	 "section 1, the section names, is not a string table"},
	{"section outside", section_outside, "section 1 (0x40 bytes at"},
	{"section far outside", section_far_outside, "section 1 (0x40 bytes at"},
	{"section wraps around", section_wraps, "section 1 (0xffffffffffffffdf bytes"},
	{"section 0", section_zero, "section 0 is not the null section"},
	{"sections overlap", section_overlap, "section .rodata.str1.1 (2) overlaps .text"},
	{"section over the header", section_over_header, "section .text (1) overlaps the ELF header"},
	{"section over the section table", section_over_table, "overlaps the section table"},
	{"section address", section_misaligned, "section 1: address 0x8 is not aligned to 0x10"},
	{"section alignment", section_alignment, "section .text (1): alignment 0x18 is not a power of two"},
	{"section alignment above a page", section_alignment_huge, "section .text (1): alignment 0x2000"},
	{"section name outside", section_name_outside, "section 1: its name lies outside"},
	{"section name with control character", section_name_control, "the section names: control character"},
	{"section writable and executable", section_write_exec,
	 "section .text (1) is writable and executable"},
	{"section flags", section_flags, "section .text (1): unknown flags 0x40000000"},
	{"section compressed", section_compressed, "section .text (1) is to be mapped and is compressed"},
	{"section type", section_type, "section .text (1): type 0x80000000"},
	{"section dynamic", section_dynamic, "section .text (1): type 0x6 belongs in linked files"},
	{"table mapped", table_mapped, "a table of type 0x3 is to be mapped"},
	{"huge NOBITS", nobits_huge, ".bss (9): 0x10000000000 bytes"},
	{"huge NOBITS in sum", nobits_huge_sum, "section .bss.x (10): what is to be mapped"},
	{"huge NOBITS with the rest", nobits_huge_aligned, "more than 0x8000000"},
	{"NOBITS executable", nobits_executable, ".text.none"},
	{".init_array", init_array, ".init_array (9): constructors"},
	{".init_array with priority", init_array_priority, ".init_array.00101"},
	{"SHT_INIT_ARRAY of another name", init_array_type, ".mine"},
	{".ctors", ctors, ".ctors (9): constructors"},
	{".fini_array", fini_array, ".fini_array (9): constructors"},
	{".preinit_array", preinit_array, ".preinit_array (9): constructors"},
	{".dtors", dtors, ".dtors.65535 (9): constructors and destructors of a payload are not run (.dtors)"},
	{".init", init, "section .init (9): constructors"},
	{".fini", fini, "section .fini (9): constructors"},
	{".tdata", tdata, ".tdata (9): the payload defines new thread-local"},
	{".tbss", tbss, ".tbss (9): the payload defines new thread-local"},
	{"executable stack", stack_exec, ".note.GNU-stack (9): needs an executable stack"},
	{"SHT_REL", rel, ".rel.text (9): relocations without addends"},
	{"SHT_SYMTAB_SHNDX", symtab_shndx, ".symtab_shndx (9): extended section indices"},
	{".eh_frame size", eh_frame_size, ".eh_frame"},
	{".eh_frame record length", eh_frame_length, "section .eh_frame (6): unwind record at 0x1c"},
	{".eh_frame ends in its middle", eh_frame_end,
	 "section .eh_frame (6): unwind records end (length 0) at 0x18"},
	{".eh_frame 64 bit", eh_frame_64, "64 bit length"},
	{".eh_frame CIE before the section", eh_frame_cie_before, "FDE at 0x18: its CIE would lie before"},
	{".eh_frame CIE is none", eh_frame_cie_is_fde, "FDE at 0x18"},
	{".eh_frame augmentation", eh_frame_augmentation, "unknown augmentation 'Q'"},
	{".eh_frame encoding", eh_frame_encoding, "pointer encoding 0x9b"},
	{".eh_frame augmentation length", eh_frame_augmentation_length, "augmentation data is cut off"},
	{".eh_frame CIE version", eh_frame_version, "CIE at 0x0: unknown version"},
	{"no symbol table", no_symtab, "no symbol table"},
	{"two symbol tables", two_symtabs, "two symbol tables, sections .symtab2 (9) and .symtab"},
	{"symbol entry size", symtab_entry_size, "entry size 16"},
	{"symbol table size", symtab_size, "no multiple of 24"},
	{"symbol table empty", symtab_empty, "no multiple of 24, or 0"},
	{"symbol table link", symtab_link, "section 999, does not exist"},
	{"symbol table link wrong", symtab_link_wrong, "section 1, the symbol names, is not a string table"},
	{"symbol table info", symtab_info, "first global symbol 999"},
	{"symbol table info 0", symtab_info_zero, "first global symbol 0"},
	{"symbol order", symtab_order, "local among the global ones"},
	{"symbol table compressed", symtab_compressed, "is compressed"},
	{"symbol 0", symbol_zero, "symbol 0 is not the null symbol"},
	{"string table not ended", strtab_open, "the symbol names, is not ended by a NUL"},
	{"string table empty", strtab_empty, "the symbol names, is empty"},
	{"string table's first byte", strtab_first, "does not begin with an empty string"},
	{"string table UTF-8", strtab_utf8, "the symbol names: control character or bad UTF-8"},
	{"symbol name outside", symbol_name_outside, "symbol 3: its name lies outside"},
	{"symbol section", symbol_section, "symbol 3, new_f: section index 900"},
	{"symbol COMMON", symbol_common, "symbol 3, new_f: is COMMON"},
	{"symbol SHN_XINDEX", symbol_xindex, "symbol 3, new_f: extended section index"},
	{"symbol reserved index", symbol_reserved, "symbol 3, new_f: reserved section index 0xff02"},
	{"symbol outside", symbol_outside,
	 "symbol 3, new_f: 0x10 bytes at 0x3c are not inside section .text"},
	{"symbol wraps around", symbol_wraps, "are not inside section .text"},
	{"symbol type", symbol_type, "symbol 3, new_f: unknown type 9"},
	{"symbol binding", symbol_binding, "symbol 3, new_f: unknown binding 7"},
	{"symbol thread-local", symbol_tls, "symbol 3, new_f: the payload defines a new thread-local"},
	{"symbol IFUNC", symbol_ifunc, "symbol 3, new_f: the payload defines an IFUNC"},
	{"function in data", symbol_not_code,
	 "data_f: a function in section .rodata.str1.1, which is not executable"},
	{"symbol local and undefined", symbol_local_undefined, "nowhere: local and undefined"},
	{"symbol undefined and nameless", symbol_nameless, "undefined and has no name"},
	{"symbol with a version only", symbol_version_only, "undefined and has no name"},
	{"symbol twice", symbol_twice, "symbol new_f is there twice"},
	{"LTO", symbol_lto, "-flto"},
	{"relocation entry size", rela_entry_size, ".rela.usplice.funcs (7): entry size 16"},
	{"relocation section size", rela_size, ".rela.usplice.funcs (7): its size 0x19"},
	{"relocation section link", rela_link, ".rela.usplice.funcs (7): is linked to section 2"},
	{"relocation section info", rela_info, "applies to section 999"},
	{"relocation section info 0", rela_info_zero, "applies to section 0"},
	{"relocations of a table", rela_of_table, "which is a table"},
	{"two relocation sections", rela_twice, ".rela.eh_frame (8): section .eh_frame (6) has another one"},
	{"relocations compressed", rela_compressed, ".rela.usplice.funcs (7) is compressed"},
	{"relocations of NOBITS", rela_of_nobits, ".bss (9), which has no contents"},
	{"relocations of a note", rela_of_note, "a build-id note has no relocations"},
	{"relocation symbol", reloc_symbol, "section .text, relocation 0 at 0x8: symbol index 5000"},
	{"relocation past the end", reloc_past_end,
	 "section .text, relocation 0 at 0x39: R_X86_64_64 past the section's end"},
	{"32 bit relocation past the end", reloc_past_end_32, "R_X86_64_PC32 past the section's end"},
	{"relocation offset wraps around", reloc_wraps, "past the section's end"},
	{"relocation against no symbol", reloc_null, "against no symbol"},
	{"relocation against a file name", reloc_file_symbol, "a.c, which is a file's name"},
	{"relocation against what is not loaded", reloc_not_loaded, ".debug_info, which is not loaded"},
	{"relocation against records", reloc_to_records, ".usplice.funcs, which is not loaded"},
	{"relocation type", reloc_unknown, "unknown relocation type 200 against outside"},
	{"R_X86_64_16", reloc_16, "R_X86_64_16 (12) against outside is not supported"},
	{"R_X86_64_PC16", reloc_pc16, "R_X86_64_PC16 (13) against outside is not supported"},
	{"R_X86_64_8", reloc_8, "R_X86_64_8 (14) against outside is not supported"},
	{"R_X86_64_PC8", reloc_pc8, "R_X86_64_PC8 (15) against outside is not supported"},
	{"R_X86_64_COPY", reloc_copy, "R_X86_64_COPY (5)"},
	{"R_X86_64_GLOB_DAT", reloc_glob_dat, "R_X86_64_GLOB_DAT (6)"},
	{"R_X86_64_JUMP_SLOT", reloc_jump_slot, "R_X86_64_JUMP_SLOT (7)"},
	{"R_X86_64_RELATIVE", reloc_relative, "R_X86_64_RELATIVE (8)"},
	{"R_X86_64_IRELATIVE", reloc_irelative, "R_X86_64_IRELATIVE (37)"},
	{"R_X86_64_DTPMOD64", reloc_dtpmod, "R_X86_64_DTPMOD64 (16)"},
	{"R_X86_64_TLSDESC", reloc_tlsdesc, "R_X86_64_TLSDESC (36)"},
	{"R_X86_64_TLSDESC_CALL past the end", reloc_tlsdesc_call_past_end,
	 "R_X86_64_TLSDESC_CALL past the section's end"},
	{"symbols above the limit", symbols_too_many, "262145 symbols, more than 262144"},
	{"relocations above the limit", relocations_too_many,
	 ".rela.usplice.funcs (7): more than 2097152 relocations in all"},
	{"relocations above the limit in sum", relocations_too_many_in_sum,
	 ".rela.eh_frame (8): more than 2097152 relocations in all"},
	{"section name too long", section_name_long,
	 "the section names: the string at 0x1 is longer than 4095 bytes"},
	{"symbol name too long", symbol_name_long, "the symbol names: the string at 0x1 is longer than 4095"},
	{"R_X86_64_SIZE64 of outside", reloc_size, "its size is not known"},
	{"TLS relocation against a function", reloc_tls_defined, "new_f, which is not thread-local"},
	{"thread-local and not", reloc_tls_and_not,
	 "outside, which is used as a thread-local variable and as something else"},
	{"thread-local by address", reloc_tls_symbol,
	 "tv, which is used as a thread-local variable and as something else"},
};

int main(void)
{
	return REFUSALS_RUN("refuse file", refusals);
}
