// SPDX-License-Identifier: MIT
#include "build/place/bytes.h"

#include <string.h>

#include "build/object/target.h"
#include "build/place/relax.h"
#include "payload/relocation.h"
#include "process/elf/elffile.h"

#define STUB_MAX 12

/* A comparison under way. */
struct view {
	const struct place_bytes *with;
	const struct object_piece *piece;
	const struct object_section *section;
	uint64_t address;
	uint8_t *
		want; /* the object's bytes, and in the fields what is right: the target's, or anything else */
	const uint8_t *have;
};

static uint64_t read_field(const uint8_t *p, unsigned width, bool is_signed)
{
	uint64_t value = 0;
	memcpy(&value, p, width);
	unsigned unused = 64 - 8 * width;
	return is_signed ? (uint64_t)((int64_t)(value << unused) >> unused) : value;
}

bool place_tls(const struct module *target, uint64_t *start, uint64_t *size)
{
	for (size_t i = 0; i < target->n_phdr; i++) {
		const Elf64_Phdr *phdr = &target->phdr[i];
		if (phdr->p_type != PT_TLS)
			continue;
		uint64_t align = phdr->p_align > 1 ? phdr->p_align : 1;
		*start = phdr->p_vaddr;
		*size = (phdr->p_memsz + align - 1) / align * align;
		return true;
	}
	return false;
}

static const struct slot *slot_at(const struct place *place, uint64_t address)
{
	size_t low = 0, high = place->n_slots;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (place->slots[middle]->address < address)
			low = middle + 1;
		else
			high = middle;
	}
	return low < place->n_slots && place->slots[low]->address == address ? place->slots[low] : NULL;
}

/* The same name, whatever the version: "f" and "f@V2". */
static bool same_name(const char *a, const char *b)
{
	size_t n = strcspn(a, "@");
	return n && n == strcspn(b, "@") && !strncmp(a, b, n);
}

/* Whether the symbol is left to the dynamic linker: some word of the GOT is filled in with it. */
static bool has_slot(const struct view *view, uint32_t symbol)
{
	const struct place *place = view->with->place;
	const char *name = view->with->object->symbols[symbol].name;
	for (size_t i = 0; i < place->n_slots; i++)
		if (place->slots[i]->symbol &&
		    same_name(dynamic_symbol_name(view->with->target->dynamic, place->slots[i]->symbol),
			      name))
			return true;
	return false;
}

/* Whether this word of the GOT may be the one of the symbol. */
static bool slot_is_of(const struct view *view, uint64_t address, uint32_t symbol)
{
	const struct place_bytes *with = view->with;
	uint64_t at = place_of_symbol(with->object, with->place, symbol), value;
	const struct slot *slot = slot_at(with->place, address);
	if (slot && slot->symbol) {
		const struct dynamic *dynamic = with->target->dynamic; /* place_object() has read it */
		return same_name(dynamic_symbol_name(dynamic, slot->symbol),
				 with->object->symbols[symbol].name);
	}
	if (slot)
		return slot->type != R_X86_64_IRELATIVE || at == PLACE_NONE || (uint64_t)slot->addend == at;
	/* The linker's own word: the address, or nothing yet where the program may be loaded anywhere. */
	if (address % sizeof(value) || has_slot(view, symbol) ||
	    module_read_file(with->target, address, &value, sizeof(value)) < 0)
		return false;
	return at == PLACE_NONE || value == at || (!value && with->target->ehdr.e_type == ET_DYN);
}

/* An entry of the PLT: [endbr64] [bnd] jmp *slot(%rip). */
static bool is_stub(const struct view *view, uint64_t address, uint64_t *slot)
{
	uint8_t code[STUB_MAX];
	unsigned at = 0;
	if (!elf_file_is_code(view->with->target->elf, address, sizeof(code)) ||
	    module_read_file(view->with->target, address, code, sizeof(code)) < 0)
		return false;
	if (!memcmp(code, "\xf3\x0f\x1e\xfa", 4))
		at = 4;
	at += code[at] == 0xf2;
	if (memcmp(code + at, "\xff\x25", 2))
		return false;
	*slot = address + at + 6 + read_field(code + at + 2, 4, true);
	return true;
}

static const struct object_reference *reference_at(const struct object_piece *piece, uint64_t offset)
{
	size_t low = 0, high = piece->n_references;
	while (low < high) {
		size_t middle = (low + high) / 2;
		if (piece->references[middle].offset < offset)
			low = middle + 1;
		else
			high = middle;
	}
	return low < piece->n_references && piece->references[low].offset == offset ? &piece->references[low]
										    : NULL;
}

/* Merged strings and constants lie anywhere, as long as it is the same that is there. */
static bool is_content(const struct view *view, const struct object_reference *to, uint64_t base)
{
	const struct object_section *in = &view->with->object->sections[to->section];
	uint8_t have[256];
	uint64_t n = in->entry_size;
	if (to->target == OBJECT_TARGET_STRING) {
		int64_t length = object_string_length(in, to->at);
		if (length < 0)
			return false;
		n += (uint64_t)length;
	} else if (to->target != OBJECT_TARGET_CONSTANT) {
		return false;
	}
	for (uint64_t at = (uint64_t)to->at, end = at + n, step; at < end; at += step) {
		step = end - at < sizeof(have) ? end - at : sizeof(have);
		if (step > in->size - at || module_read_file(view->with->target, base + at, have, step) < 0 ||
		    memcmp(have, in->data + at, step))
			return false;
	}
	return true;
}

static bool is_local_place(const struct view *view, const struct object_relocation *r, uint64_t address)
{
	const struct place_bytes *with = view->with;
	const struct object_symbol *s = &with->object->symbols[r->symbol];
	const struct object_section *in = &with->object->sections[s->section];
	if (in->kind == OBJECT_KIND_STRINGS || in->kind == OBJECT_KIND_MERGED) {
		const struct object_reference *to =
			reference_at(view->piece, r->offset - view->piece->offset);
		/* Code that cannot be decoded does not tell what it points at. */
		return to ? is_content(view, to, address - s->value) : with->guess;
	}
	if (with->place->sections[s->section] != PLACE_NONE)
		return address == with->place->sections[s->section] + s->value;
	if (with->guess && with->found && !(in->flags & SHF_TLS))
		with->found(with->context, s->section, address - s->value);
	/* What variables point at is not needed to know them again. */
	return with->guess || view->section->kind != OBJECT_KIND_CODE;
}

/* Whether the relocation's symbol may be at this address of the program. */
static bool is_place(const struct view *view, const struct object_relocation *r, uint64_t address,
		     bool branch)
{
	const struct place_bytes *with = view->with;
	const struct object_symbol *s = &with->object->symbols[r->symbol];
	uint64_t slot, at;
	if (!r->symbol || s->section == SHN_ABS)
		return address == s->value;
	if (s->binding == STB_LOCAL && s->section < with->object->n_sections && s->type != STT_GNU_IFUNC)
		return is_local_place(view, r, address);
	at = place_of_symbol(with->object, with->place, r->symbol);
	if (at == address)
		return true;
	if (is_stub(view, address, &slot))
		return slot_is_of(view, slot, r->symbol);
	if (at != PLACE_NONE)
		return false;
	if (s->section != SHN_UNDEF && s->section != SHN_COMMON) /* of this object, and nowhere */
		return with->guess;
	if (s->binding == STB_WEAK && !address)
		return true;
	/* Not known by name: a hidden function, in a table without them. What is imported is called by its stub. */
	return !branch || (elf_file_is_code(with->target->elf, address, 1) && !has_slot(view, r->symbol));
}

/* The address that _GLOBAL_OFFSET_TABLE_ stands for. */
static bool got_base(const struct view *view, uint64_t *base)
{
	const Elf64_Shdr *got = elf_file_section(view->with->target->elf, ".got.plt");
	if (!got)
		got = elf_file_section(view->with->target->elf, ".got");
	if (got)
		*base = got->sh_addr;
	return got;
}

static bool is_thread_offset(const struct view *view, const struct object_relocation *r, uint64_t offset,
			     bool in_block)
{
	uint64_t start, size;
	if (!place_tls(view->with->target, &start, &size))
		return false;
	/* One in the module's block may have become one from the thread pointer. */
	return is_place(view, r, start + size + offset, false) ||
	       (in_block && is_place(view, r, start + offset, false));
}

/* What a plain field holds: what it should, as far as that can be known. */
static bool field_is_right(const struct view *view, const struct object_relocation *r,
			   const struct payload_relocation_type *type)
{
	uint64_t offset = r->offset - view->piece->offset, addend = (uint64_t)r->addend, got;
	uint64_t value = read_field(view->have + offset, type->width, type->is_signed);
	uint64_t from_here = value - addend + view->address + offset;
	switch (type->formula) {
	case PAYLOAD_FORMULA_PC:
	case PAYLOAD_FORMULA_BRANCH:
		return is_place(view, r, from_here, type->formula == PAYLOAD_FORMULA_BRANCH);
	case PAYLOAD_FORMULA_ABSOLUTE:
		/* A whole address, where the program may be loaded anywhere, is the dynamic linker's. */
		return (type->width == 8 && view->with->target->ehdr.e_type == ET_DYN) ||
		       is_place(view, r, value - addend, false);
	case PAYLOAD_FORMULA_WORD_PC:
		return slot_is_of(view, from_here, r->symbol);
	case PAYLOAD_FORMULA_GOT_PC:
		return got_base(view, &got) && from_here == got;
	case PAYLOAD_FORMULA_GOT_OFFSET:
		return got_base(view, &got) && is_place(view, r, value - addend + got, false);
	case PAYLOAD_FORMULA_TPOFF:
		return is_thread_offset(view, r, value - addend, false);
	case PAYLOAD_FORMULA_DTPOFF:
		return is_thread_offset(view, r, value - addend, true);
	default: /* words and pairs of the GOT, sizes */
		return true;
	}
}

static bool form_is_right(const struct view *view, const struct object_relocation *r,
			  const struct place_relax *form)
{
	uint64_t at = form->start + form->field;
	uint64_t value = form->value == PLACE_VALUE_NONE ? 0 : read_field(view->have + at, 4, true);
	switch (form->value) {
	case PLACE_VALUE_DISTANCE:
		return is_place(view, r, view->address + at + 4 + value,
				(form->bytes[form->field - 1] & 0xfe) == 0xe8);
	case PLACE_VALUE_ADDRESS:
		return is_place(view, r, value, false) || is_place(view, r, (uint32_t)value, false);
	case PLACE_VALUE_TPOFF:
		return is_thread_offset(view, r, value, false);
	default:
		return true;
	}
}

static void accept(struct view *view, uint64_t offset, uint64_t n)
{
	memcpy(view->want + offset, view->have + offset, n);
}

/* Makes sure that the first of these bytes counts as different. */
static void refuse(struct view *view, uint64_t offset)
{
	view->want[offset] = (uint8_t)~view->have[offset];
}

/* Writes over. Returns how many relocations that were; 0: it was left as it was. */
static size_t try_forms(struct view *view, size_t k)
{
	struct place_relax forms[PLACE_RELAX_MAX];
	const struct object_relocation *r = &view->section->relocations[k];
	const uint8_t *bytes = view->section->data + view->piece->offset;
	size_t n = place_relax_forms(view->section, k, bytes, view->piece->offset, view->piece->size, forms);
	for (size_t i = 0; i < n; i++) {
		const struct place_relax *form = &forms[i];
		uint64_t end = view->piece->offset + form->start + form->size;
		bool both =
			form->relocations < 2 || (k + 1 < view->section->n_relocations && r[1].offset < end);
		if (!both || !place_relax_fits(form, view->have))
			continue;
		accept(view, form->start, form->size);
		if (!form_is_right(view, r, form))
			refuse(view, form->start);
		return form->relocations;
	}
	return 0;
}

static void judge_fields(struct view *view)
{
	const struct object_section *s = view->section;
	size_t k = object_relocation_from(s, view->piece->offset);
	while (k < s->n_relocations && s->relocations[k].offset - view->piece->offset < view->piece->size) {
		const struct object_relocation *r = &s->relocations[k];
		const struct payload_relocation_type *type = payload_relocation_type(r->type);
		uint64_t offset = r->offset - view->piece->offset;
		size_t used = s->kind == OBJECT_KIND_CODE ? try_forms(view, k) : 0;
		k += used ? used : 1;
		/* A mark has no field; one that reaches into the next piece is left to be a difference. */
		if (used || r->type == R_X86_64_TLSDESC_CALL || type->width > view->piece->size - offset)
			continue;
		if (!type->width)
			continue;
		accept(view, offset, type->width);
		if (!field_is_right(view, r, type))
			refuse(view, offset);
	}
}

struct usp_error *place_bytes_compare(const struct place_bytes *with, const struct object_piece *piece,
				      uint64_t address, uint64_t *difference)
{
	const uint8_t *bytes = object_piece_bytes(with->object, piece);
	*difference = PLACE_SAME;
	if (!bytes || !piece->size)
		return NULL;
	_cleanup_free_ uint8_t *want = malloc(piece->size), *have = malloc(piece->size);
	if (!want || !have)
		return &usp_error_no_memory;
	if (module_read_file(with->target, address, have, piece->size) < 0) {
		*difference = 0;
		return NULL;
	}
	memcpy(want, bytes, piece->size);
	struct view view = {.with = with,
			    .piece = piece,
			    .section = object_piece_section(with->object, piece),
			    .address = address,
			    .want = want,
			    .have = have};
	judge_fields(&view);
	for (uint64_t i = 0; i < piece->size; i++)
		if (want[i] != have[i]) {
			*difference = i;
			break;
		}
	return NULL;
}
