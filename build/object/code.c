// SPDX-License-Identifier: MIT
#include "build/object/code.h"

#include <stdlib.h>
#include <string.h>

#include "build/object/target.h"
#include "payload/relocation.h"
#include "process/decoder.h"

/* What is known while a function is read. */
struct reader {
	const struct object *object;
	struct object_piece *piece;
	const struct object_section *section;
	const uint8_t *bytes;
	size_t next; /* relocation of the section */
	size_t insn_capacity, reference_capacity;
	uint32_t index;
};

/* A part of an instruction that can hold an address. */
struct field {
	uint8_t at, width;
	bool relative; /* to the end of the instruction */
	uint8_t access;
	bool branch;
};

static bool is_branch(const ZydisDecodedInstruction *insn)
{
	return insn->meta.category == ZYDIS_CATEGORY_CALL || insn->meta.category == ZYDIS_CATEGORY_COND_BR ||
	       insn->meta.category == ZYDIS_CATEGORY_UNCOND_BR || insn->mnemonic == ZYDIS_MNEMONIC_XBEGIN;
}

static void memory_field(const ZydisDecodedInstruction *insn, const ZydisDecodedOperand *o, struct field *f)
{
	*f = (struct field){.at = insn->raw.disp.offset, .width = insn->raw.disp.size / 8};
	f->relative = o->mem.base == ZYDIS_REGISTER_RIP || o->mem.base == ZYDIS_REGISTER_EIP;
	/* With a register in it, the address may be anywhere; so with a bit's number in one. */
	bool bits = (insn->mnemonic == ZYDIS_MNEMONIC_BT || insn->mnemonic == ZYDIS_MNEMONIC_BTS ||
		     insn->mnemonic == ZYDIS_MNEMONIC_BTR || insn->mnemonic == ZYDIS_MNEMONIC_BTC) &&
		    !insn->raw.imm[0].size;
	if (!bits && o->mem.type == ZYDIS_MEMOP_TYPE_MEM && o->mem.index == ZYDIS_REGISTER_NONE &&
	    (f->relative || o->mem.base == ZYDIS_REGISTER_NONE))
		f->access = o->size / 8 > 255 ? 255 : (uint8_t)(o->size / 8);
}

static size_t find_fields(const ZydisDecodedInstruction *insn, const ZydisDecodedOperand *operands,
			  struct field f[3])
{
	size_t n = 0;
	if (insn->raw.disp.size)
		for (unsigned i = 0; i < insn->operand_count && !n; i++)
			if (operands[i].type == ZYDIS_OPERAND_TYPE_MEMORY &&
			    operands[i].visibility == ZYDIS_OPERAND_VISIBILITY_EXPLICIT)
				memory_field(insn, &operands[i], &f[n++]);
	if (insn->raw.disp.size && !n)
		f[n++] = (struct field){.at = insn->raw.disp.offset, .width = insn->raw.disp.size / 8};
	for (unsigned i = 0; i < 2; i++)
		if (insn->raw.imm[i].size) {
			f[n] = (struct field){.at = insn->raw.imm[i].offset,
					      .width = insn->raw.imm[i].size / 8,
					      .relative = insn->raw.imm[i].is_relative,
					      .branch = insn->raw.imm[i].is_relative && is_branch(insn)};
			n++;
		}
	return n;
}

static int64_t read_signed(const uint8_t *p, unsigned width)
{
	uint64_t value = 0;
	memcpy(&value, p, width);
	unsigned unused = 64 - 8 * width;
	return (int64_t)(value << unused) >> unused;
}

static struct object_reference *add_reference(struct reader *reader)
{
	struct object_piece *piece = reader->piece;
	if (!object_grow(&piece->references, piece->n_references, &reader->reference_capacity,
			 sizeof(*piece->references)))
		return NULL;
	struct object_reference *r = &piece->references[piece->n_references++];
	*r = (struct object_reference){.piece = OBJECT_NONE};
	return r;
}

static struct usp_error *relocated_field(struct reader *reader, const struct object_relocation *from,
					 uint64_t at, const struct object_insn *insn, const struct field *f)
{
	const struct payload_relocation_type *type = payload_relocation_type(from->type);
	struct object_reference *r = add_reference(reader);
	if (!r)
		return &usp_error_no_memory;
	*r = (struct object_reference){
		.offset = at, .width = type->width, .type = from->type, .piece = OBJECT_NONE};
	int64_t addend = from->addend;
	if (f) {
		/* Only what reads the variable itself, not its GOT entry, accesses it. */
		if (type->formula == PAYLOAD_FORMULA_PC || type->formula == PAYLOAD_FORMULA_ABSOLUTE)
			r->access = f->access;
		r->branch = f->branch;
		if (f->relative)
			r->skew = (int64_t)(insn->offset + insn->length - at);
		addend += r->skew;
		if (f->branch &&
		    (type->formula == PAYLOAD_FORMULA_PC || type->formula == PAYLOAD_FORMULA_BRANCH))
			r->type = R_X86_64_PLT32;
	}
	object_target_symbol(reader->object, from->symbol, addend, r);
	return NULL;
}

static struct usp_error *distance_field(struct reader *reader, const struct object_insn *insn,
					const struct field *f)
{
	struct object_piece *piece = reader->piece;
	uint64_t at = (uint64_t)insn->offset + f->at;
	struct object_reference *r = add_reference(reader);
	if (!r)
		return &usp_error_no_memory;
	int64_t to = (int64_t)(piece->offset + insn->offset + insn->length) +
		     read_signed(reader->bytes + at, f->width);
	*r = (struct object_reference){.offset = at,
				       .width = f->width,
				       .type = f->branch ? R_X86_64_PLT32 : R_X86_64_PC32,
				       .access = f->access,
				       .branch = f->branch,
				       .skew = (int64_t)(insn->offset + insn->length - at)};
	object_target_place(reader->object, piece->section, to, r);
	return NULL;
}

/* False: a relocation that lies in no field of the instruction. */
static struct usp_error *read_fields(struct reader *reader, const struct object_insn *insn,
				     const struct field *fields, size_t n_fields, bool *fits)
{
	const struct object_section *section = reader->section;
	uint64_t start = reader->piece->offset + insn->offset, end = start + insn->length;
	bool used[3] = {false};
	*fits = true;
	for (; reader->next < section->n_relocations && section->relocations[reader->next].offset < end;
	     reader->next++) {
		const struct object_relocation *r = &section->relocations[reader->next];
		const struct payload_relocation_type *type = payload_relocation_type(r->type);
		const struct field *f = NULL;
		bool marks = !type->width || r->type == R_X86_64_TLSDESC_CALL;
		for (size_t i = 0; i < n_fields && !marks; i++)
			if (r->offset == start + fields[i].at && type->width == fields[i].width) {
				f = &fields[i];
				used[i] = true;
			}
		if (!f && !marks) {
			*fits = false;
			return NULL;
		}
		struct usp_error *error =
			relocated_field(reader, r, r->offset - reader->piece->offset, insn, f);
		if (error)
			return error;
		if (marks)
			reader->piece->references[reader->piece->n_references - 1].width = 0;
	}
	for (size_t i = 0; i < n_fields; i++) {
		struct usp_error *error =
			fields[i].relative && !used[i] ? distance_field(reader, insn, &fields[i]) : NULL;
		if (error)
			return error;
	}
	return NULL;
}

/* A jump whose width is only a matter of distance. */
static uint8_t jump_code(const uint8_t *p, unsigned length)
{
	if (length == 2 && ((p[0] & 0xf0) == 0x70 || p[0] == 0xeb))
		return p[0];
	if (length == 5 && p[0] == 0xe9)
		return 0xeb;
	if (length == 6 && p[0] == 0x0f && (p[1] & 0xf0) == 0x80)
		return (uint8_t)(p[1] - 0x10);
	return 0;
}

static struct usp_error *read_insn(struct reader *reader, uint64_t at, unsigned *length)
{
	struct object_piece *piece = reader->piece;
	ZydisDecodedInstruction decoded;
	ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
	*length = 0;
	if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder_x86_64, reader->bytes + at, piece->size - at,
						 &decoded, operands)))
		return NULL;
	if (!object_grow(&piece->insns, piece->n_insns, &reader->insn_capacity, sizeof(*piece->insns)))
		return &usp_error_no_memory;
	struct object_insn *insn = &piece->insns[piece->n_insns];
	struct field fields[3];
	*insn = (struct object_insn){.offset = (uint32_t)at,
				     .index = reader->index,
				     .length = decoded.length,
				     .jump = jump_code(reader->bytes + at, decoded.length),
				     .nop = decoded.mnemonic == ZYDIS_MNEMONIC_NOP};
	bool fits = true;
	size_t n = insn->nop ? 0 : find_fields(&decoded, operands, fields);
	struct usp_error *error = read_fields(reader, insn, fields, n, &fits);
	if (error || !fits)
		return error;
	reader->index += !insn->nop;
	piece->n_insns++;
	*length = decoded.length;
	return NULL;
}

struct usp_error *object_code_read(const struct object *object, struct object_piece *piece)
{
	const struct object_section *section = object_piece_section(object, piece);
	struct reader reader = {.object = object,
				.piece = piece,
				.section = section,
				.bytes = object_piece_bytes(object, piece)};
	reader.next = object_relocation_from(section, piece->offset);
	if (piece->size > INT32_MAX || !reader.bytes) {
		piece->opaque = true;
		return NULL;
	}
	for (uint64_t at = 0; at < piece->size;) {
		unsigned length;
		struct usp_error *error = read_insn(&reader, at, &length);
		if (error)
			return error;
		if (!length) {
			piece->opaque = true;
			return NULL;
		}
		at += length;
	}
	return NULL;
}

bool object_code_is_padding(const uint8_t *bytes, size_t size)
{
	size_t at = 0, zeros = 0;
	while (zeros < size && !bytes[zeros])
		zeros++;
	if (zeros == size)
		return true;
	while (at < size) {
		ZydisDecodedInstruction decoded;
		if (!ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(&decoder_x86_64, NULL, bytes + at, size - at,
								&decoded)) ||
		    (decoded.mnemonic != ZYDIS_MNEMONIC_NOP && decoded.mnemonic != ZYDIS_MNEMONIC_INT3))
			return false;
		at += decoded.length;
	}
	return true;
}
