// SPDX-License-Identifier: MIT
#include "payload/layout.h"

#include <string.h>

#include "payload/frame.h"

/*
 * Sizes are bounded by payload_file_open() (each and in sum at most PAYLOAD_IMAGE_MAX, alignment at most a
 * page, fewer than 2^16 sections), symbols by PAYLOAD_SYMBOLS_MAX: nothing here comes near 2^64.
 */
static uint64_t align_up(uint64_t value, uint64_t align)
{
	return align > 1 ? (value + align - 1) & ~(align - 1) : value;
}

/* Appends all sections of a kind at *position. */
static void place_kind(struct payload_file *file, enum payload_section_kind kind, uint64_t *position)
{
	struct payload_layout *layout = &file->layout;
	bool first = true;
	for (uint32_t i = 1; i < file->n_sections; i++) {
		struct payload_section *s = &file->sections[i];
		if (s->kind != kind || !s->size)
			continue;
		/* Unwind records must follow each other: a gap of zeros would end them. */
		uint64_t align = kind != PAYLOAD_SECTION_EH_FRAME ? s->align : first ? 8 : 4;
		*position = align_up(*position, align);
		s->image_offset = *position;
		if (first)
			layout->kind_offset[kind] = *position;
		if (layout->kind_align[kind] < align)
			layout->kind_align[kind] = align;
		first = false;
		*position += s->size;
		layout->kind_size[kind] = *position - layout->kind_offset[kind];
	}
	/* Empty sections may have symbols too: they get a place inside the same segment. */
	for (uint32_t i = 1; i < file->n_sections; i++) {
		struct payload_section *s = &file->sections[i];
		if (s->kind == kind && !s->size)
			s->image_offset = first ? *position : layout->kind_offset[kind];
	}
}

static uint64_t count_names(const struct payload_file *file, uint64_t *n_local, uint64_t *bytes)
{
	uint64_t n = 1;
	*n_local = 1;
	*bytes = 1;
	for (uint32_t i = 1; i < file->n_symbols; i++) {
		const struct payload_symbol *s = &file->symbols[i];
		if (!payload_layout_names(file, s))
			continue;
		n++;
		*n_local += s->binding == STB_LOCAL;
		*bytes += strlen(s->name) + 1;
	}
	return n;
}

bool payload_layout_names(const struct payload_file *file, const struct payload_symbol *symbol)
{
	if (symbol->section == SHN_UNDEF || symbol->section == SHN_ABS || !*symbol->name)
		return false;
	if (symbol->type != STT_FUNC && symbol->type != STT_OBJECT && symbol->type != STT_NOTYPE)
		return false;
	return strncmp(symbol->name, ".L", 2) && payload_section_is_mapped(&file->sections[symbol->section]);
}

static struct usp_error *place_read_only(struct payload_file *file)
{
	struct payload_layout *layout = &file->layout;
	uint64_t position = sizeof(Elf64_Ehdr) + PAYLOAD_PROGRAM_HEADERS * sizeof(Elf64_Phdr);
	place_kind(file, PAYLOAD_SECTION_NOTE, &position);
	place_kind(file, PAYLOAD_SECTION_RODATA, &position);
	for (uint32_t i = 1; i < file->n_sections; i++) {
		const struct payload_section *s = &file->sections[i];
		if (s->kind != PAYLOAD_SECTION_EH_FRAME || !s->size)
			continue;
		struct usp_error *error = payload_frames_count(s->data, s->size, &layout->n_frames);
		if (error)
			return usp_error_prefix(error, "section %s (%u)", s->name, i);
	}
	position = align_up(position, 8);
	bool frames = false;
	for (uint32_t i = 1; i < file->n_sections; i++)
		frames = frames ||
			 (file->sections[i].kind == PAYLOAD_SECTION_EH_FRAME && file->sections[i].size);
	if (frames) {
		layout->eh_frame_hdr = position;
		layout->eh_frame_hdr_size =
			PAYLOAD_FRAME_HEADER_SIZE + layout->n_frames * PAYLOAD_FRAME_ENTRY_SIZE;
		position += layout->eh_frame_hdr_size;
	}
	place_kind(file, PAYLOAD_SECTION_EH_FRAME, &position);
	if (frames) {
		position += 4; /* the terminator */
		layout->kind_size[PAYLOAD_SECTION_EH_FRAME] += 4;
	}
	layout->symtab = align_up(position, 8);
	layout->n_symbols = count_names(file, &layout->n_local_symbols, &layout->strtab_size);
	layout->strtab = layout->symtab + layout->n_symbols * sizeof(Elf64_Sym);
	position = layout->strtab + layout->strtab_size + sizeof(PAYLOAD_OUTPUT_NAMES);
	layout->section_table = align_up(position, 8);
	layout->segment_size[0] =
		align_up(layout->section_table + PAYLOAD_OUTPUT_SECTIONS * sizeof(Elf64_Shdr), PAYLOAD_PAGE);
	if (layout->segment_size[0] > PAYLOAD_IMAGE_MAX)
		return payload_bad("the image's read-only part (with symbols' names) is more than 0x%x bytes",
				   PAYLOAD_IMAGE_MAX);
	return NULL;
}

static uint32_t take(uint64_t *position, uint32_t size)
{
	uint32_t offset =
		(uint32_t)*position; /* fits: checked before by PAYLOAD_SYMBOLS_MAX and PAYLOAD_IMAGE_MAX */
	*position += size;
	return offset;
}

/* Slots first, then words. A symbol that the payload defines is always within reach and needs no slot. */
static void place_words(struct payload_file *file, uint64_t *position)
{
	struct payload_layout *layout = &file->layout;
	bool module_pair = false;
	layout->slots = *position;
	for (uint32_t i = 1; i < file->n_symbols; i++) {
		struct payload_symbol *s = &file->symbols[i];
		module_pair = module_pair || s->uses & PAYLOAD_USE_TLSLD;
		/* A weak definition may give way to the target's (see image.c). */
		bool inside = s->section != SHN_UNDEF && s->section != SHN_ABS && s->binding != STB_WEAK &&
			      s->binding != STB_GNU_UNIQUE;
		if (s->uses & PAYLOAD_USE_SLOT && !inside)
			s->slot = take(position, PAYLOAD_SLOT_SIZE);
	}
	layout->slots_size = *position - layout->slots;
	layout->words = *position;
	for (uint32_t i = 1; i < file->n_symbols; i++) {
		struct payload_symbol *s = &file->symbols[i];
		if (s->uses & PAYLOAD_USE_WORD || s->slot != PAYLOAD_NO_OFFSET)
			s->word = take(position, 8);
		if (s->uses & PAYLOAD_USE_GOTTP)
			s->tp_word = take(position, 8);
		if (s->uses & PAYLOAD_USE_TLSGD)
			s->gd_pair = take(position, 16);
	}
	layout->ld_pair = module_pair ? take(position, 16) : PAYLOAD_NO_OFFSET;
	layout->words_size = *position - layout->words;
}

struct usp_error *payload_layout(struct payload_file *file)
{
	struct payload_layout *layout = &file->layout;
	*layout = (struct payload_layout){.ld_pair = PAYLOAD_NO_OFFSET};
	struct usp_error *error = place_read_only(file);
	if (error)
		return error;
	uint64_t position = layout->segment[1] = layout->segment_size[0];
	place_kind(file, PAYLOAD_SECTION_TEXT, &position);
	position = align_up(position, 16);
	place_words(file, &position);
	if (!layout->kind_size[PAYLOAD_SECTION_TEXT] && position == layout->slots)
		position = layout->segment[1];
	position = align_up(position, PAYLOAD_PAGE);
	layout->segment_size[1] = position - layout->segment[1];
	layout->segment[2] = position;
	place_kind(file, PAYLOAD_SECTION_DATA, &position);
	place_kind(file, PAYLOAD_SECTION_BSS, &position);
	position = align_up(position, PAYLOAD_PAGE);
	layout->segment_size[2] = position - layout->segment[2];
	layout->size = position;
	if (layout->size > PAYLOAD_IMAGE_MAX)
		return payload_bad("the image would be 0x%llx bytes, more than 0x%x",
				   (unsigned long long)layout->size, PAYLOAD_IMAGE_MAX);
	return NULL;
}
