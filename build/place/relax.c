// SPDX-License-Identifier: MIT
#include "build/place/relax.h"

#include <elf.h>
#include <string.h>

#include "payload/relocation.h"

#define FIELD 4u

/* What is looked at: the object's bytes around a relocation. */
struct at {
	const uint8_t *bytes;
	uint64_t size, offset; /* of the piece; of the relocation in it */
	struct place_relax *forms;
	size_t n;
};

/* Whether these bytes stand `back` before the relocation. */
static bool stands(const struct at *at, uint64_t back, const void *bytes, size_t n)
{
	return at->offset >= back && at->size - (at->offset - back) >= n &&
	       !memcmp(at->bytes + (at->offset - back), bytes, n);
}

/* head, then a field unless value is NONE, then tail; left out when it would not fit into the piece. */
static void form(struct at *at, uint64_t back, const void *head, size_t n_head, const void *tail,
		 size_t n_tail, enum place_value value, uint8_t relocations)
{
	size_t field = value == PLACE_VALUE_NONE ? 0 : FIELD, size = n_head + field + n_tail;
	struct place_relax *f = &at->forms[at->n];
	if (at->offset < back || at->size - (at->offset - back) < size)
		return;
	*f = (struct place_relax){.start = at->offset - back,
				  .size = (uint8_t)size,
				  .field = (uint8_t)n_head,
				  .value = value,
				  .relocations = relocations};
	memcpy(f->bytes, head, n_head);
	memcpy(f->bytes + n_head + field, tail, n_tail);
	at->n++;
}

/* The register of "op disp(%rip), %reg" moves from ModRM.reg to ModRM.rm, and so does its bit in the prefix. */
static uint8_t moved_rex(uint8_t rex)
{
	return (uint8_t)((rex & ~4u) | (rex >> 2 & 1));
}

static bool is_rex(uint8_t byte)
{
	return (byte & 0xf0) == 0x40;
}

/* An immediate in place of the load: with its prefix, if the relocation says that there is one. */
static void form_immediate(struct at *at, bool rex, uint8_t opcode, uint8_t modrm, uint8_t rex_mask)
{
	const uint8_t *before = at->bytes + at->offset;
	uint8_t head[3] = {rex ? (uint8_t)(moved_rex(before[-3]) & rex_mask) : 0, opcode, modrm};
	if (rex)
		form(at, 3, head, 3, "", 0, PLACE_VALUE_ADDRESS, 1);
	else
		form(at, 2, head + 1, 2, "", 0, PLACE_VALUE_ADDRESS, 1);
}

static void forms_got(struct at *at, uint32_t type)
{
	if (at->offset < 2 || at->size - at->offset < FIELD)
		return;
	const uint8_t *before = at->bytes + at->offset;
	uint8_t opcode = before[-2], modrm = before[-1], reg = modrm >> 3 & 7;
	bool rex = type != R_X86_64_GOTPCRELX && at->offset >= 3 && is_rex(before[-3]);
	if (opcode == 0xff && modrm == 0x15) {
		form(at, 2, "\x67\xe8", 2, "", 0, PLACE_VALUE_DISTANCE, 1);
		form(at, 2, "\x90\xe8", 2, "", 0, PLACE_VALUE_DISTANCE, 1);
		form(at, 2, "\xe8", 1, "\x90", 1, PLACE_VALUE_DISTANCE, 1);
		return;
	}
	if (opcode == 0xff && modrm == 0x25) {
		form(at, 2, "\xe9", 1, "\x90", 1, PLACE_VALUE_DISTANCE, 1);
		return;
	}
	if ((modrm & 0xc7) != 5) /* not relative to %rip */
		return;
	if (opcode == 0x8b) {
		uint8_t lea[2] = {0x8d, modrm};
		form(at, 2, lea, 2, "", 0, PLACE_VALUE_DISTANCE, 1);
		form_immediate(at, rex, 0xc7, 0xc0 | reg, 0xff);
		if (rex) /* an address of 32 bits without sign */
			form_immediate(at, rex, 0xc7, 0xc0 | reg, (uint8_t)~8u);
	} else if (opcode == 0x85) {
		form_immediate(at, rex, 0xf7, 0xc0 | reg, 0xff);
	} else if ((opcode & 0xc7) == 0x03) {
		form_immediate(at, rex, 0x81, 0xc0 | (opcode & 0x38) | reg, 0xff);
	}
}

#define MOV_FS_0 "\x64\x48\x8b\x04\x25\0\0\0\0"

/* Two relocations: the pair's, and the call's. */
static void forms_pair(struct at *at, bool global)
{
	if (global && stands(at, 4, "\x66\x48\x8d\x3d", 4)) {
		form(at, 4, MOV_FS_0 "\x48\x8d\x80", 12, "", 0, PLACE_VALUE_TPOFF, 2);
		form(at, 4, MOV_FS_0 "\x48\x03\x05", 12, "", 0, PLACE_VALUE_GOT, 2);
	}
	if (!global && stands(at, 3, "\x48\x8d\x3d", 3)) {
		bool indirect = at->size - at->offset > FIELD && at->bytes[at->offset + FIELD] == 0xff;
		if (indirect)
			form(at, 3, "\x66\x66\x66\x66" MOV_FS_0, 13, "", 0, PLACE_VALUE_NONE, 2);
		else
			form(at, 3, "\x66\x66\x66" MOV_FS_0, 12, "", 0, PLACE_VALUE_NONE, 2);
	}
}

static void forms_load(struct at *at, uint32_t type)
{
	if (at->offset < 3 || !is_rex(at->bytes[at->offset - 3]))
		return;
	const uint8_t *before = at->bytes + at->offset;
	uint8_t rex = moved_rex(before[-3]), reg = before[-1] >> 3 & 7;
	uint8_t mov[3] = {rex, 0xc7, 0xc0 | reg}, add[3] = {rex, 0x81, 0xc0 | reg};
	uint8_t lea[3] = {rex & 1 ? 0x4d : 0x48, 0x8d, (uint8_t)(0x80 | reg << 3 | reg)};
	uint8_t load[3] = {before[-3], 0x8b, before[-1]};
	if (type == R_X86_64_GOTPC32_TLSDESC) {
		form(at, 3, mov, 3, "", 0, PLACE_VALUE_TPOFF, 1);
		form(at, 3, load, 3, "", 0, PLACE_VALUE_GOT, 1);
	} else if (before[-2] == 0x8b) {
		form(at, 3, mov, 3, "", 0, PLACE_VALUE_TPOFF, 1);
	} else if (before[-2] == 0x03) {
		form(at, 3, add, 3, "", 0, PLACE_VALUE_TPOFF, 1);
		if (reg != 4)
			form(at, 3, lea, 3, "", 0, PLACE_VALUE_TPOFF, 1);
	}
}

size_t place_relax_forms(const struct object_section *section, size_t k, const uint8_t *bytes,
			 uint64_t offset, uint64_t size, struct place_relax *ret)
{
	const struct object_relocation *r = &section->relocations[k];
	struct at at = {.bytes = bytes, .size = size, .offset = r->offset - offset, .forms = ret};
	switch (r->type) {
	case R_X86_64_GOTPCREL:
	case R_X86_64_GOTPCRELX:
	case R_X86_64_REX_GOTPCRELX:
		if (r->addend == -(int64_t)FIELD)
			forms_got(&at, r->type);
		break;
	case R_X86_64_TLSGD:
	case R_X86_64_TLSLD:
		forms_pair(&at, r->type == R_X86_64_TLSGD);
		break;
	case R_X86_64_GOTTPOFF:
	case R_X86_64_GOTPC32_TLSDESC:
		forms_load(&at, r->type);
		break;
	case R_X86_64_TLSDESC_CALL:
		if (stands(&at, 0, "\xff", 1))
			form(&at, 0, "\x66\x90", 2, "", 0, PLACE_VALUE_NONE, 1);
		break;
	default:
		break;
	}
	return at.n;
}

bool place_relax_fits(const struct place_relax *form, const uint8_t *linked)
{
	const uint8_t *have = linked + form->start;
	if (form->value == PLACE_VALUE_NONE)
		return !memcmp(have, form->bytes, form->size);
	size_t after = form->field + FIELD;
	return !memcmp(have, form->bytes, form->field) &&
	       !memcmp(have + after, form->bytes + after, form->size - after);
}
