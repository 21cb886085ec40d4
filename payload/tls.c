// SPDX-License-Identifier: MIT
#include "payload/tls.h"

#include <string.h>

/*
 * The forms of a call. L: the relocation of the argument (addend -4), C: the one of the call; their fields
 * are not compared. In the order of the psABI, "ELF Handling For Thread-Local Storage" (and its large model):
 *
 *   [66] lea L(%rip),%rdi   [66 66 48] call C              through the PLT
 *   [66] lea L(%rip),%rdi   [66 48] call *C(%rip)          -fno-plt
 *   [66] lea L(%rip),%rdi   [66 48] addr32 call C          the same, where an earlier link found it near
 *        lea L(%rip),%rdi   movabs $C,%rax; add %rbx or %r15,%rax; call *%rax
 *
 * with the prefixes for TLSGD, which make all but the last form 16 bytes, without them for TLSLD.
 */
enum callee {
	DIRECT,	 /* PLT32; PC32 behind a call's opcode is taken as PLT32 by relocations.c */
	BY_WORD, /* a word of the GOT */
	BY_OFFSET
};

static const struct form {
	bool general;
	enum callee callee;
	uint8_t before_size, middle_size, after_size;
	uint8_t before[4], middle[4], after[5];
} forms[] = {
	{true, DIRECT, 4, 4, 0, {0x66, 0x48, 0x8d, 0x3d}, {0x66, 0x66, 0x48, 0xe8}, {0}},
	{true, BY_WORD, 4, 4, 0, {0x66, 0x48, 0x8d, 0x3d}, {0x66, 0x48, 0xff, 0x15}, {0}},
	{true, DIRECT, 4, 4, 0, {0x66, 0x48, 0x8d, 0x3d}, {0x66, 0x48, 0x67, 0xe8}, {0}},
	{true, BY_OFFSET, 3, 2, 5, {0x48, 0x8d, 0x3d}, {0x48, 0xb8}, {0x48, 0x01, 0xd8, 0xff, 0xd0}},
	{true, BY_OFFSET, 3, 2, 5, {0x48, 0x8d, 0x3d}, {0x48, 0xb8}, {0x4c, 0x01, 0xf8, 0xff, 0xd0}},
	{false, DIRECT, 3, 1, 0, {0x48, 0x8d, 0x3d}, {0xe8}, {0}},
	{false, BY_WORD, 3, 2, 0, {0x48, 0x8d, 0x3d}, {0xff, 0x15}, {0}},
	{false, DIRECT, 3, 2, 0, {0x48, 0x8d, 0x3d}, {0x67, 0xe8}, {0}},
	{false, BY_OFFSET, 3, 2, 5, {0x48, 0x8d, 0x3d}, {0x48, 0xb8}, {0x48, 0x01, 0xd8, 0xff, 0xd0}},
	{false, BY_OFFSET, 3, 2, 5, {0x48, 0x8d, 0x3d}, {0x48, 0xb8}, {0x4c, 0x01, 0xf8, 0xff, 0xd0}},
};

#define ARGUMENT_SIZE 4u

static uint32_t callee_size(enum callee callee)
{
	return callee == BY_OFFSET ? 8 : 4;
}

static bool is_callee(const struct payload_file *file, const struct payload_relocation *r, enum callee callee)
{
	const struct payload_symbol *symbol = &file->symbols[r->symbol];
	size_t length = strcspn(symbol->name, "@");
	if (symbol->section != SHN_UNDEF || length != strlen("__tls_get_addr") ||
	    memcmp(symbol->name, "__tls_get_addr", length))
		return false;
	switch (callee) {
	case DIRECT:
		return r->type == R_X86_64_PLT32 && r->addend == -4;
	case BY_WORD:
		return (r->type == R_X86_64_GOTPCREL || r->type == R_X86_64_GOTPCRELX ||
			r->type == R_X86_64_REX_GOTPCRELX) &&
		       r->addend == -4;
	case BY_OFFSET:
		return r->type == R_X86_64_PLTOFF64 && r->addend == 0;
	}
	return false;
}

static bool is_form(const struct payload_file *file, const struct payload_section *section,
		    const struct payload_relocation *r, const struct form *form, struct payload_tls_call *ret)
{
	uint64_t before = form->before_size;
	uint64_t behind = ARGUMENT_SIZE + form->middle_size + callee_size(form->callee) + form->after_size;
	if (form->general != (r->type == R_X86_64_TLSGD) || r->offset < before ||
	    section->size - r->offset < behind ||
	    r[1].offset != r->offset + ARGUMENT_SIZE + form->middle_size ||
	    !is_callee(file, &r[1], form->callee))
		return false;
	const uint8_t *p = section->data + r->offset;
	if (memcmp(p - before, form->before, before) ||
	    memcmp(p + ARGUMENT_SIZE, form->middle, form->middle_size) ||
	    memcmp(p + behind - form->after_size, form->after, form->after_size))
		return false;
	*ret = (struct payload_tls_call){
		.offset = r->offset - before, .size = (uint32_t)(before + behind), .general = form->general};
	return true;
}

bool payload_tls_call_find(const struct payload_file *file, const struct payload_section *section, size_t i,
			   struct payload_tls_call *ret)
{
	const struct payload_relocation *r = &section->relocations[i];
	if (section->kind != PAYLOAD_SECTION_TEXT || section->n_relocations - i < 2 || r->addend != -4)
		return false;
	for (size_t k = 0; k < sizeof(forms) / sizeof(forms[0]); k++) {
		if (is_form(file, section, r, &forms[k], ret))
			return true;
	}
	return false;
}

/* The processor makers' recommended ones. */
static void write_nops(uint8_t *code, size_t size)
{
	static const uint8_t nops[][6] = {{0x90},
					  {0x66, 0x90},
					  {0x0f, 0x1f, 0x00},
					  {0x0f, 0x1f, 0x40, 0x00},
					  {0x0f, 0x1f, 0x44, 0x00, 0x00},
					  {0x66, 0x0f, 0x1f, 0x44, 0x00, 0x00}};
	while (size) {
		size_t n = size < sizeof(nops[0]) ? size : sizeof(nops[0]);
		memcpy(code, nops[n - 1], n);
		code += n;
		size -= n;
	}
}

void payload_tls_call_write(uint8_t *code, const struct payload_tls_call *call, int32_t tpoff)
{
	static const uint8_t thread_pointer[] = {0x64, 0x48, 0x8b, 0x04, 0x25,
						 0,    0,    0,	   0}; /* mov %fs:0,%rax */
	static const uint8_t add[] = {0x48, 0x8d, 0x80};	       /* lea tpoff(%rax),%rax */
	uint8_t *end = code + call->size;
	memcpy(code, thread_pointer, sizeof(thread_pointer));
	code += sizeof(thread_pointer);
	if (call->general) {
		memcpy(code, add, sizeof(add));
		memcpy(code + sizeof(add), &tpoff, sizeof(tpoff));
		code += sizeof(add) + sizeof(tpoff);
	}
	write_nops(code, (size_t)(end - code));
}

bool payload_tls_descriptor_check(const struct payload_section *section, size_t i)
{
	const struct payload_relocation *r = &section->relocations[i];
	if (section->kind != PAYLOAD_SECTION_TEXT)
		return false;
	const uint8_t *p = section->data + r->offset;
	if (r->type == R_X86_64_TLSDESC_CALL)
		return p[0] == 0xff && p[1] == 0x10; /* call *(%rax) */
	/* lea L(%rip),%REG: REX.W and maybe REX.R, opcode, ModRM 00 REG 101 */
	return r->addend == -4 && r->offset >= 3 && (p[-3] & 0xfb) == 0x48 && p[-2] == 0x8d &&
	       (p[-1] & 0xc7) == 0x05;
}

void payload_tls_descriptor_write(uint8_t *code, uint32_t type, int32_t tpoff)
{
	if (type == R_X86_64_TLSDESC_CALL) {
		write_nops(code, 2);
		return;
	}
	/* The register moves from ModRM's reg field, extended by REX.R, to its rm field, extended by REX.B.
	 */
	code[-3] = (uint8_t)(0x48 | (code[-3] >> 2 & 1));
	code[-2] = 0xc7;
	code[-1] = (uint8_t)(0xc0 | (code[-1] >> 3 & 7));
	memcpy(code, &tpoff, sizeof(tpoff));
}
