// SPDX-License-Identifier: MIT
/* What payload_read() refuses in the .usplice.* sections and the build-id. */
#include "refusal.h"

#include <string.h>

#include <usplice/payload.h>

#define CASE(name)    static void name(struct elfmaker *e)
#define INFO(e, text) elf_info(e, text, sizeof(text))
#define A19	      "1234567890123456789"
#define A79	      A19 "0" A19 "0" A19 "0" A19
#define FINISHED      "format=1\0target-build-id=00ff\0"

static struct usplice_function *record(struct elfmaker *e)
{
	return (struct usplice_function *)elf_data(e, e->funcs);
}

/* Adds room for n more records. */
static void grow(struct elfmaker *e, unsigned n)
{
	static struct usplice_function more[64];
	for (unsigned i = 0; i <= n; i++)
		more[i] = (struct usplice_function){.old_size = 32, .expected_length = 5};
	struct elfmaker_section *s = &e->sections[e->funcs];
	uint8_t *data = __builtin_malloc(sizeof(more));
	memcpy(data, more, sizeof(more));
	__builtin_free(s->data);
	s->data = data;
	s->size = (n + 1) * sizeof(more[0]);
}

/* --- info --- */
CASE(name_empty)
{
	INFO(e, FINISHED "name=");
}
CASE(name_long)
{
	INFO(e, FINISHED "name=0123456789012345678901234567890123456789012345678901234567890123");
}
CASE(name_characters)
{
	INFO(e, FINISHED "name=a/b");
}
CASE(name_dot)
{
	INFO(e, FINISHED "name=..");
}
CASE(name_dash)
{
	INFO(e, FINISHED "name=-f");
}
CASE(name_open)
{
	elf_info(e, FINISHED "name=abc", sizeof(FINISHED "name=abc") - 1);
}
CASE(info_no_key)
{
	INFO(e, FINISHED "=x");
}
CASE(info_no_equals)
{
	INFO(e, FINISHED "name");
}
CASE(info_unknown)
{
	INFO(e, FINISHED "colour=blue");
}
CASE(info_twice)
{
	INFO(e, FINISHED "name=a\0name=b");
}
CASE(info_twice_same)
{
	INFO(e, FINISHED "format=1");
}
CASE(state_no_colon)
{
	INFO(e, FINISHED "state=ocsp");
}
CASE(state_no_name)
{
	INFO(e, FINISHED "state=:1");
}
CASE(state_bad_name)
{
	INFO(e, FINISHED "state=a b:1");
}
CASE(state_long_name)
{
	INFO(e, FINISHED "state=" A79 "0:1");
}
CASE(state_no_version)
{
	INFO(e, FINISHED "state=a:");
}
CASE(state_version_0)
{
	INFO(e, FINISHED "state=a:0");
}
CASE(state_version_large)
{
	INFO(e, FINISHED "state=a:4294967296");
}
CASE(state_version_overflow)
{
	INFO(e, FINISHED "state=a:18446744073709551617");
}
CASE(state_version_text)
{
	INFO(e, FINISHED "state=a:1x");
}
CASE(state_twice)
{
	INFO(e, FINISHED "state=a:1\0state=b:1\0state=a:2");
}
CASE(info_control)
{
	INFO(e, FINISHED "description=a\nb");
}
CASE(info_utf8)
{
	INFO(e, FINISHED "description=a\xc3");
}
CASE(info_long)
{
	char text[5000];
	memset(text, 'x', sizeof(text));
	memcpy(text, "description=", 12);
	text[sizeof(text) - 1] = 0;
	elf_info(e, text, sizeof(text));
}
CASE(format_unknown)
{
	INFO(e, "format=2\0target-build-id=00ff");
}
CASE(format_text)
{
	INFO(e, "format=01\0target-build-id=00ff");
}
CASE(format_missing)
{
	INFO(e, "target-build-id=00ff");
}
CASE(target_build_id_missing)
{
	INFO(e, "format=1");
}
CASE(target_build_id_odd)
{
	INFO(e, "format=1\0target-build-id=00f");
}
CASE(target_build_id_empty)
{
	INFO(e, "format=1\0target-build-id=");
}
CASE(target_build_id_hex)
{
	INFO(e, "format=1\0target-build-id=00fg");
}
CASE(depends_long)
{
	char text[] = FINISHED "depends=0123456789012345678901234567890123456789012345678901234567890123"
			       "01234567890123456789012345678901234567890123456789012345678901234567";
	elf_info(e, text, sizeof(text));
}
CASE(target_path)
{
	INFO(e, FINISHED "target=/usr/bin/x");
}
/* Long texts are cut in messages, never within a UTF-8 sequence. */
CASE(format_cut)
{
	INFO(e, "format=" A19 "\u00e4\0target-build-id=00ff");
}
CASE(name_cut)
{
	INFO(e, FINISHED "name=" A79 "\u00e4");
}
CASE(target_cut)
{
	INFO(e, FINISHED "target=" A79 "\u20ac/");
}
CASE(no_equals_cut)
{
	INFO(e, FINISHED A79 "\U0001f600");
}
CASE(unknown_cut)
{
	INFO(e, FINISHED A79 "\U0001f600=");
}
CASE(info_relocated)
{
	elf_rela(e, e->info, 0, R_X86_64_64, e->new_function, 0);
}

/* --- build-id --- */
CASE(build_id_missing)
{
	strcpy(e->sections[e->note].name, ".note.other");
}
CASE(build_id_twice)
{
	elf_section(e, ".note.gnu.build-id", SHT_NOTE, SHF_ALLOC, e->sections[e->note].data, 24);
}
CASE(build_id_short)
{
	elf_shdr(e, e->note)->sh_size = 12;
}
CASE(build_id_name)
{
	elf_data(e, e->note)[12] = 'X';
}
CASE(build_id_type)
{
	elf_data(e, e->note)[8] = 1;
}
CASE(build_id_size)
{
	elf_data(e, e->note)[4] = 9;
}
CASE(build_id_zero)
{
	elf_data(e, e->note)[4] = 0;
}
CASE(build_id_rest)
{
	elf_data(e, e->note)[4] = 4;
}

/* --- functions --- */
CASE(funcs_empty)
{
	e->sections[e->funcs].size = 0;
	e->sections[e->funcs].n_relas = 0;
}
CASE(funcs_none)
{
	strcpy(e->sections[e->funcs].name, ".comment");
	e->sections[e->funcs].header.sh_flags = 0;
}
CASE(funcs_size)
{
	elf_shdr(e, e->funcs)->sh_size = 120;
}
CASE(funcs_type)
{
	e->sections[e->funcs].header.sh_type = SHT_NOTE;
}
CASE(funcs_many)
{
	struct elfmaker_section *s = &e->sections[e->funcs];
	__builtin_free(s->data);
	s->size = 16385 * 128;
	s->data = __builtin_calloc(1, s->size);
}
CASE(old_size)
{
	record(e)->old_size = 0;
}
CASE(expected_none)
{
	record(e)->expected_length = 0;
}
CASE(expected_long)
{
	record(e)->expected_length = 32;
}
CASE(expected_past)
{
	record(e)->old_size = 4;
}
CASE(has_hash)
{
	record(e)->has_hash = 2;
}
CASE(witness)
{
	record(e)->has_witness = 2;
}
CASE(reserved)
{
	record(e)->reserved[13] = 1;
}
CASE(old_wraps)
{
	record(e)->old_address = UINT64_MAX - 3;
}
CASE(pointer_number)
{
	record(e)->file = (const char *)0x1000;
}
CASE(nop_and_new)
{
	record(e)->nop_length = 3;
}
CASE(name_missing)
{
	elf_rela_at(e, e->funcs, 0)->r_info = R_X86_64_NONE;
}
CASE(nop_no_length)
{
	elf_rela_at(e, e->funcs, 1)->r_info = R_X86_64_NONE;
}
CASE(nop_long)
{
	elf_rela_at(e, e->funcs, 1)->r_info = R_X86_64_NONE;
	record(e)->nop_length = 32;
}
CASE(nop_past)
{
	elf_rela_at(e, e->funcs, 1)->r_info = R_X86_64_NONE;
	record(e)->nop_length = 2;
	record(e)->nop_offset = 31;
}
CASE(nop_offset_wraps)
{
	elf_rela_at(e, e->funcs, 1)->r_info = R_X86_64_NONE;
	record(e)->nop_length = 2;
	record(e)->nop_offset = UINT32_MAX;
}
CASE(nop_not_expected)
{
	elf_rela_at(e, e->funcs, 1)->r_info = R_X86_64_NONE;
	record(e)->nop_length = 9;
}
CASE(replacement_undefined)
{
	unsigned s = elf_symbol(e, "lost", STB_GLOBAL, STT_FUNC, SHN_UNDEF, 0, 0);
	e->sections[e->funcs].relas[1].entry.r_info = ELF64_R_INFO((uint64_t)s, R_X86_64_64);
}
CASE(replacement_absolute)
{
	unsigned s = elf_symbol(e, "fixed", STB_GLOBAL, STT_NOTYPE, SHN_ABS, 0x1000, 0);
	e->sections[e->funcs].relas[1].entry.r_info = ELF64_R_INFO((uint64_t)s, R_X86_64_64);
}
CASE(replacement_data)
{
	e->sections[e->funcs].relas[1].entry.r_info = ELF64_R_INFO((uint64_t)e->strings_symbol, R_X86_64_64);
}
CASE(replacement_debug)
{
	unsigned debug = elf_section(e, ".debug_x", SHT_PROGBITS, SHF_EXECINSTR, NULL, 8);
	unsigned s = elf_symbol(e, "", STB_LOCAL, STT_SECTION, debug, 0, 0);
	e->sections[e->funcs].relas[1].entry.r_info = ELF64_R_INFO((uint64_t)s, R_X86_64_64);
}
CASE(replacement_middle)
{
	elf_rela_at(e, e->funcs, 1)->r_addend = 4;
}
CASE(replacement_no_function)
{
	elf_rela_at(e, e->funcs, 1)->r_addend = 32;
}
CASE(replacement_outside)
{
	elf_rela_at(e, e->funcs, 1)->r_addend = 64;
}
CASE(replacement_negative)
{
	elf_rela_at(e, e->funcs, 1)->r_addend = -1;
}
CASE(record_pc32)
{
	elf_rela_at(e, e->funcs, 1)->r_info += R_X86_64_PC32 - R_X86_64_64;
}
CASE(record_unaligned)
{
	elf_rela_at(e, e->funcs, 1)->r_offset = 17;
}
CASE(record_twice)
{
	elf_rela_at(e, e->funcs, 1)->r_offset = 0;
}
CASE(record_no_pointer)
{
	elf_rela_at(e, e->funcs, 1)->r_offset = 40;
}
CASE(text_open)
{
	elf_shdr(e, e->strings)->sh_size = 4;
}
CASE(text_in_code)
{
	elf_rela_at(e, e->funcs, 0)->r_info = elf_rela_at(e, e->funcs, 1)->r_info;
}
CASE(text_empty)
{
	elf_rela_at(e, e->funcs, 0)->r_addend = 5;
}
CASE(text_control)
{
	elf_data(e, e->strings)[2] = 7;
}
CASE(text_in_bss)
{
	unsigned bss = elf_section(e, ".bss", SHT_NOBITS, SHF_ALLOC | SHF_WRITE, NULL, 64);
	unsigned s = elf_symbol(e, "", STB_LOCAL, STT_SECTION, bss, 0, 0);
	e->sections[e->funcs].relas[0].entry.r_info = ELF64_R_INFO((uint64_t)s, R_X86_64_64);
}
CASE(same_name)
{
	grow(e, 1);
	elf_rela(e, e->funcs, 128, R_X86_64_64, e->strings_symbol, 0);
	elf_rela(e, e->funcs, 128 + 16, R_X86_64_64, e->new_function, 0);
}
CASE(same_address)
{
	grow(e, 1);
	elf_rela(e, e->funcs, 128, R_X86_64_64, e->strings_symbol, 12);
	elf_rela(e, e->funcs, 128 + 16, R_X86_64_64, e->new_function, 0);
	record(e)[0].old_address = 0x4000;
	record(e)[1].old_address = 0x4000;
}
CASE(nops_overlap)
{
	grow(e, 1);
	elf_rela(e, e->funcs, 128, R_X86_64_64, e->strings_symbol, 0);
	elf_rela_at(e, e->funcs, 1)->r_info = R_X86_64_NONE;
	record(e)[0].nop_length = 5;
	record(e)[1].nop_length = 5;
	record(e)[1].nop_offset = 4;
}
CASE(section_unknown)
{
	elf_section(e, ".usplice.future", SHT_PROGBITS, SHF_ALLOC, NULL, 8);
}
CASE(section_twice)
{
	elf_section(e, ".usplice.info", SHT_PROGBITS, SHF_ALLOC, NULL, 8);
}

/* --- hooks, symbols --- */
CASE(hook_unknown)
{
	elf_hook(e, "reload");
}
CASE(hook_empty)
{
	elf_section(e, ".usplice.hooks.load", SHT_PROGBITS, SHF_ALLOC, NULL, 0);
}
CASE(hook_size)
{
	elf_section(e, ".usplice.hooks.load", SHT_PROGBITS, SHF_ALLOC, NULL, 12);
}
static void two_hooks(struct elfmaker *e, const char *name)
{
	unsigned s = elf_section(e, name, SHT_PROGBITS, SHF_ALLOC, NULL, 16);
	elf_rela(e, s, 0, R_X86_64_64, e->new_function, 0);
	elf_rela(e, s, 8, R_X86_64_64, e->new_function, 0);
}
CASE(hook_two_pre_apply)
{
	two_hooks(e, ".usplice.hooks.pre-apply");
}
CASE(hook_two_post_apply)
{
	two_hooks(e, ".usplice.hooks.post-apply");
}
CASE(hook_two_pre_revert)
{
	two_hooks(e, ".usplice.hooks.pre-revert");
}
CASE(hook_two_post_revert)
{
	two_hooks(e, ".usplice.hooks.post-revert");
}
CASE(hook_two_apply)
{
	two_hooks(e, ".usplice.hooks.apply");
}
CASE(hook_two_revert)
{
	two_hooks(e, ".usplice.hooks.revert");
}
CASE(hook_null)
{
	elf_section(e, ".usplice.hooks.load", SHT_PROGBITS, SHF_ALLOC, NULL, 8);
}
CASE(hook_number)
{
	unsigned s = elf_hook(e, "load");
	elf_data(e, s)[0] = 1;
}
CASE(hook_data)
{
	unsigned s = elf_hook(e, "load");
	e->sections[s].relas[0].entry.r_info = ELF64_R_INFO((uint64_t)e->strings_symbol, R_X86_64_64);
}
CASE(symbols_size)
{
	elf_section(e, ".usplice.symbols", SHT_PROGBITS, SHF_ALLOC, NULL, 24);
}
CASE(symbols_missing)
{
	unsigned s = elf_section(e, ".usplice.symbols", SHT_PROGBITS, SHF_ALLOC, NULL, 32);
	elf_rela(e, s, 0, R_X86_64_64, e->strings_symbol, 0);
}
/* name, file or address, and what of the rest is set */
static void symbol_record(struct elfmaker *e, const struct usplice_symbol *raw, bool name, bool file)
{
	unsigned s = elf_section(e, ".usplice.symbols", SHT_PROGBITS, SHF_ALLOC, raw, sizeof(*raw));
	if (name)
		elf_rela(e, s, 0, R_X86_64_64, e->strings_symbol, 0);
	if (file)
		elf_rela(e, s, 8, R_X86_64_64, e->strings_symbol, 6);
}
CASE(symbols_both)
{
	symbol_record(e, &(struct usplice_symbol){.address = 8, .by_address = 1}, true, true);
}
CASE(symbols_address)
{
	symbol_record(e, &(struct usplice_symbol){.address = 8}, true, true);
}
CASE(symbols_nameless)
{
	symbol_record(e, &(struct usplice_symbol){.address = 8, .by_address = 1}, false, false);
}
CASE(symbols_flag)
{
	symbol_record(e, &(struct usplice_symbol){.by_address = 2}, true, false);
}
CASE(symbols_reserved)
{
	symbol_record(e, &(struct usplice_symbol){.by_address = 1, .reserved = {[6] = 1}}, true, false);
}
CASE(symbols_relocated)
{
	unsigned s = elf_section(e, ".usplice.symbols", SHT_PROGBITS, SHF_ALLOC, NULL, 32);
	elf_rela(e, s, 16, R_X86_64_64, e->strings_symbol, 0);
}
CASE(symbols_twice)
{
	unsigned s = elf_section(e, ".usplice.symbols", SHT_PROGBITS, SHF_ALLOC, NULL, 64);
	for (unsigned i = 0; i < 4; i++)
		elf_rela(e, s, 32 * (i / 2) + 8 * (i % 2), R_X86_64_64, e->strings_symbol, i % 2 ? 6 : 0);
}

static const struct refusal refusals[] = {
	{"name empty", name_empty, "name= cannot be a payload's name: it is empty"},
	{"name too long", name_long, "it is longer than 63 bytes"},
	{"name with other characters", name_characters, "name=a/b"},
	{"name with a dot first", name_dot, "name=.. cannot"},
	{"name with a dash first", name_dash, "name=-f cannot"},
	{"name unterminated", name_open, ".usplice.info: the string at 0x1e is not ended by a NUL"},
	{"format cut", format_cut, "format=" A19 ": this usplice"},
	{"name cut", name_cut, "name=" A79 " cannot be"},
	{"target cut", target_cut, "target=" A79 " is not the base name"},
	{"text that is not key=value cut", no_equals_cut, "\"" A79 "\" is not key=value"},
	{"unknown key cut", unknown_cut, "unknown key " A79 " (use"},
	{"info without key", info_no_key, "\"=x\" is not key=value"},
	{"info without =", info_no_equals, "\"name\" is not key=value"},
	{"info key unknown", info_unknown, "unknown key colour"},
	{"info key twice", info_twice, "name= is there twice"},
	{"info key twice, same value", info_twice_same, "format= is there twice"},
	{"state without :", state_no_colon, "state=ocsp is not NAME:VERSION"},
	{"state without a name", state_no_name, "state=:1 is not"},
	{"state with another name", state_bad_name, "state=a b:1 is not"},
	{"state with a long name", state_long_name, "state=" A79},
	{"state without a version", state_no_version, "state=a: is not"},
	{"state of version 0", state_version_0, "state=a:0 is not"},
	{"state of too large a version", state_version_large, "state=a:4294967296 is not"},
	{"state of a version that wraps", state_version_overflow, "state=a:18446744073709551617 is not"},
	{"state with text behind", state_version_text, "state=a:1x is not"},
	{"state twice", state_twice, "the state a is there twice"},
	{"info control character", info_control, "control character or bad UTF-8 at 0x2b"},
	{"info UTF-8", info_utf8, "control character or bad UTF-8"},
	{"info too long", info_long, "longer than 4095 bytes", true},
	{"format unknown", format_unknown, "format=2: this usplice knows format 1"},
	{"format unknown in a source object", format_unknown, "format=2: this usplice knows format 1", true},
	{"format not a number", format_text, "format=01"},
	{"format missing", format_missing, "no format="},
	{"target-build-id missing", target_build_id_missing, "no target-build-id="},
	{"target-build-id odd", target_build_id_odd, "target-build-id= has 3 hex digits"},
	{"target-build-id empty", target_build_id_empty, "target-build-id= has 0 hex digits"},
	{"target-build-id not hex", target_build_id_hex, "target-build-id=00fg is not hexadecimal"},
	{"depends too long", depends_long, "depends= has 132 hex digits"},
	{"target is a path", target_path, "target=/usr/bin/x"},
	{"info relocated", info_relocated, ".usplice.info: a relocation"},
	{"build-id missing", build_id_missing, "no build-id"},
	{"build-id twice", build_id_twice, "section .note.gnu.build-id (9): a second build-id"},
	{"build-id too short", build_id_short, "0xc bytes are too few for a note"},
	{"build-id name", build_id_name, "not a GNU build-id note"},
	{"build-id type", build_id_type, "not a GNU build-id note"},
	{"build-id size", build_id_size, "a build-id of 9 bytes"},
	{"build-id size 0", build_id_zero, "a build-id of 0 bytes"},
	{"build-id and something after", build_id_rest, "something after the build-id"},
	{"function table empty", funcs_empty, "replaces no function"},
	{"function table empty in a source object", funcs_empty, "replaces no function", true},
	{"function table missing", funcs_none, "replaces no function"},
	{"function table size", funcs_size, ".usplice.funcs: 0x78 bytes are no multiple of a record's 128"},
	{"function table type", funcs_type, "section .usplice.funcs (3): type 0x7"},
	{"too many functions", funcs_many, "16385 records, more than 16384"},
	{"old size 0", old_size, "section .usplice.funcs, record 0, old_f: old size 0"},
	{"no expected bytes", expected_none, "neither expected bytes nor a hash"},
	{"too many expected bytes", expected_long, "record 0: 32 expected bytes"},
	{"more expected than the function has", expected_past, "past the function's 4 bytes"},
	{"has_hash", has_hash, "record 0: has_hash is 2"},
	{"reserved", reserved, "record 0: reserved byte 13"},
	{"witness", witness, "record 0: has_witness is 2, not 0 or 1"},
	{"old address wraps around", old_wraps, "wrap around"},
	{"pointer that is a number", pointer_number, "record 0: a pointer that is a number"},
	{"new function and NOP", nop_and_new, "both a new function and bytes to blank"},
	{"neither name nor address", name_missing, "record 0: neither a name nor an address"},
	{"neither new function nor NOP", nop_no_length, "0 bytes to blank (or the new function is missing)"},
	{"NOP too long", nop_long, "32 bytes to blank"},
	{"NOP past the end", nop_past, "past the function's 32 bytes"},
	{"NOP offset", nop_offset_wraps, "past the function's 32 bytes"},
	{"NOP over bytes that are not expected", nop_not_expected,
	 "9 bytes are blanked and only 5 are expected"},
	{"new function undefined", replacement_undefined, "is to lost, which this payload does not define"},
	{"new function absolute", replacement_absolute, "is to fixed, which this payload does not define"},
	{"new function in data", replacement_data,
	 "in section .rodata.str1.1, which is not a loaded executable one"},
	{"new function in debug data", replacement_debug,
	 "in section .debug_x, which is not a loaded executable one"},
	{"new function's middle", replacement_middle, "begins at .text+0x4"},
	{"new function without symbol", replacement_no_function, "begins at .text+0x20"},
	{"new function outside", replacement_outside, "the pointer at 0x10 is outside of section .text"},
	{"new function before the section", replacement_negative,
	 "the pointer at 0x10 is outside of section .text"},
	{"record with PC32", record_pc32, "R_X86_64_PC32 in a record"},
	{"record with an unaligned relocation", record_unaligned,
	 "a relocation at 0x11, which is no pointer"},
	{"record with two relocations in a place", record_twice, "two relocations at 0x0"},
	{"record with a relocated number", record_no_pointer,
	 "record 0: a relocation at 0x28, which is no pointer"},
	{"name of a record not ended", text_open,
	 "record 0: its name (section .rodata.str1.1, 0x0) is not ended"},
	{"name of a record in code", text_in_code, "its name is in section .text, which holds no strings"},
	{"name of a record empty", text_empty, "its name has 0 bytes"},
	{"name of a record with control character", text_control, "bad UTF-8 in its name"},
	{"name of a record in .bss", text_in_bss, "its name is in section .bss"},
	{"a function replaced twice", same_name, "two records for old_f"},
	{"an address replaced twice", same_address, "two records for o"},
	{"NOPs overlap", nops_overlap, "two records for old_f"},
	{"section unknown", section_unknown, ".usplice.future (9): not known"},
	{"section twice", section_twice, ".usplice.info (9): is there twice"},
	{"hook unknown", hook_unknown, ".usplice.hooks.reload (9): not known"},
	{"hook section empty", hook_empty, ".usplice.hooks.load: 0x0 bytes are no pointers"},
	{"hook size", hook_size, ".usplice.hooks.load: 0xc bytes are no pointers"},
	{"two pre-apply hooks", hook_two_pre_apply,
	 ".usplice.hooks.pre-apply: 2 pointers, where only one may be"},
	{"two post-apply hooks", hook_two_post_apply, ".usplice.hooks.post-apply: 2 pointers"},
	{"two pre-revert hooks", hook_two_pre_revert, ".usplice.hooks.pre-revert: 2 pointers"},
	{"two post-revert hooks", hook_two_post_revert, ".usplice.hooks.post-revert: 2 pointers"},
	{"two apply hooks", hook_two_apply, ".usplice.hooks.apply: 2 pointers"},
	{"two revert hooks", hook_two_revert, ".usplice.hooks.revert: 2 pointers"},
	{"hook null", hook_null, ".usplice.hooks.load, record 0: not a relocated pointer"},
	{"hook number", hook_number, ".usplice.hooks.load, record 0: not a relocated pointer"},
	{"hook in data", hook_data,
	 ".usplice.hooks.load, record 0: the new function is in section .rodata.str1.1"},
	{"symbol records' size", symbols_size, ".usplice.symbols: 0x18 bytes"},
	{"symbol record without file", symbols_missing,
	 ".usplice.symbols, record 0: name or file is missing"},
	{"symbol record without name", symbols_nameless,
	 ".usplice.symbols, record 0: name or file is missing"},
	{"symbol record with both", symbols_both,
	 ".usplice.symbols, record 0: has both a file and an address"},
	{"symbol record's address unasked", symbols_address,
	 ".usplice.symbols, record 0: has both a file and an address"},
	{"symbol record's flag", symbols_flag, ".usplice.symbols, record 0: reserved bytes are not 0"},
	{"symbol record's reserved bytes", symbols_reserved,
	 ".usplice.symbols, record 0: reserved bytes are not 0"},
	{"symbol record's address relocated", symbols_relocated,
	 ".usplice.symbols, record 0: reserved bytes are not 0"},
	{"symbol record twice", symbols_twice, ".usplice.symbols: two records for old_f"},
};

int main(void)
{
	return REFUSALS_RUN("refuse records", refusals);
}
