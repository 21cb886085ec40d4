// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include "payload/image.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "payload/file.h"
#include "payload/frame.h"
#include "payload/image_elf.h"
#include "payload/layout.h"
#include "payload/relocation.h"

/* A symbol's meaning at this base. */
struct meaning {
	bool known;
	struct payload_value value;
};

struct build {
	const struct payload_file *file;
	struct payload_image *image;
	payload_resolve_fn *resolve;
	void *context;
	struct meaning *meanings; /* one a symbol */
	uint64_t ld_module;	  /* whose variables TLSLD and DTPOFF relocations are about, 0: none yet */
	const char *ld_name;	  /* the first of them */
};

static void put64(const struct build *b, uint64_t offset, uint64_t value)
{
	memcpy(b->image->bytes + offset, &value, sizeof(value));
}

static struct usp_error *ask(struct build *b, const struct payload_symbol *s, bool weak,
			     struct payload_value *value)
{
	size_t length = strcspn(s->name, "@");
	const char *version = s->name + length;
	version += strspn(version, "@");
	_cleanup_free_ char *name = strndup(s->name, length);
	if (!name)
		return &usp_error_no_memory;
	struct payload_reference reference = {.name = name,
					      .file = s->file,
					      .version = *version ? version : NULL,
					      .type = s->type,
					      .tls = s->uses & PAYLOAD_USE_TLS,
					      .weak = weak};
	struct usp_error *error = b->resolve(b->context, &reference, value);
	if (!error && !weak && !reference.tls && !value->address)
		error = usp_errorf(USP_NOT_FOUND, "symbol %s has no address in the target", s->name);
	return error;
}

/*
 * What a symbol means. Undefined ones are the target's. A weak definition of writable data (C++ inline
 * variables, static locals of inline functions) is the target's too if it has it: the program's one copy, not
 * a second one of ours.
 */
static struct usp_error *find_value(struct build *b, const struct payload_symbol *s,
				    struct payload_value *value)
{
	const struct payload_file *file = b->file;
	if (s->section == SHN_UNDEF) {
		if (!strcmp(s->name, "_GLOBAL_OFFSET_TABLE_")) {
			value->address = b->image->base + file->layout.words;
			return NULL;
		}
		return ask(b, s, s->binding == STB_WEAK, value);
	}
	if (s->section == SHN_ABS) {
		value->address = s->value;
		return NULL;
	}
	const struct payload_section *section = &file->sections[s->section];
	if ((s->binding == STB_WEAK || s->binding == STB_GNU_UNIQUE) && *s->name &&
	    s->visibility == STV_DEFAULT &&
	    (section->kind == PAYLOAD_SECTION_DATA || section->kind == PAYLOAD_SECTION_BSS)) {
		struct usp_error *error = ask(b, s, true, value);
		if (error || value->address)
			return error;
	}
	value->address = b->image->base + section->image_offset + s->value;
	return NULL;
}

/* Offsets from the thread pointer are the same in every thread only for variables loaded at the program's
 * start. */
static struct usp_error *check_tls(const struct payload_symbol *s, const struct payload_value *v)
{
	if (s->uses & (PAYLOAD_USE_TPOFF | PAYLOAD_USE_GOTTP) && !v->tls_static)
		return payload_bad("thread-local variable %s has no fixed offset from the thread pointer in "
				   "the target (its "
				   "library was loaded later, or it is not there): compile with -fPIC "
				   "-ftls-model=global-dynamic",
				   s->name);
	if (s->uses & (PAYLOAD_USE_TLSGD | PAYLOAD_USE_TLSLD | PAYLOAD_USE_DTPOFF) && !v->tls_module)
		return payload_bad("thread-local variable %s: the number of its module in the target is not "
				   "known: compile with "
				   "-ftls-model=initial-exec",
				   s->name);
	return NULL;
}

/* Finds the meaning of a symbol once, and fills in its slot and words. */
static struct usp_error *give_meaning(struct build *b, uint32_t index)
{
	struct meaning *m = &b->meanings[index];
	const struct payload_symbol *s = &b->file->symbols[index];
	if (m->known)
		return NULL;
	struct usp_error *error = find_value(b, s, &m->value);
	if (!error && s->uses & PAYLOAD_USE_TLS)
		error = check_tls(s, &m->value);
	if (error)
		return error;
	m->known = true;
	if (s->word != PAYLOAD_NO_OFFSET)
		put64(b, s->word, m->value.address);
	if (s->slot != PAYLOAD_NO_OFFSET) {
		uint8_t *slot = b->image->bytes + s->slot; /* jmp *word(%rip) */
		uint32_t distance = s->word - (s->slot + 6);
		slot[0] = 0xff;
		slot[1] = 0x25;
		memcpy(slot + 2, &distance, sizeof(distance));
	}
	if (s->tp_word != PAYLOAD_NO_OFFSET)
		put64(b, s->tp_word, (uint64_t)m->value.tls_tpoff);
	if (s->gd_pair != PAYLOAD_NO_OFFSET) {
		put64(b, s->gd_pair, m->value.tls_module);
		put64(b, s->gd_pair + 8, m->value.tls_offset);
	}
	return NULL;
}

/* All local-dynamic references must mean one module: the compiler asks for its block once. */
static struct usp_error *check_ld_module(struct build *b, const struct payload_symbol *s,
					 const struct payload_value *v)
{
	if (!b->ld_module) {
		b->ld_module = v->tls_module;
		b->ld_name = s->name;
		if (b->file->layout.ld_pair != PAYLOAD_NO_OFFSET)
			put64(b, b->file->layout.ld_pair, v->tls_module);
	} else if (b->ld_module != v->tls_module) {
		return payload_bad("thread-local variables %s and %s are of different modules of the target "
				   "and taken for one: "
				   "declare them without hidden visibility",
				   b->ld_name, s->name);
	}
	return NULL;
}

static bool fits(const struct payload_relocation_type *type, uint64_t value)
{
	if (type->width == 8)
		return true;
	return type->is_signed ? (int64_t)value == (int32_t)value : value <= UINT32_MAX;
}

static struct usp_error *overflow(const struct build *b, const struct payload_relocation_type *type,
				  const struct payload_symbol *s, uint64_t address, uint64_t place,
				  uint64_t value)
{
	const char *name = payload_symbol_name(b->file, s);
	switch (type->formula) {
	case PAYLOAD_FORMULA_PC:
	case PAYLOAD_FORMULA_BRANCH:
		return payload_bad("%s against %s: it is at 0x%llx, %lld bytes from here, and 2 GiB is as "
				   "far as this reaches: "
				   "compile with -fPIC",
				   type->name, name, (unsigned long long)address,
				   (long long)(address - place));
	case PAYLOAD_FORMULA_ABSOLUTE:
		return payload_bad("%s against %s: its address 0x%llx (a distance of %lld bytes from 0) does "
				   "not fit in 32 bits: "
				   "compile with -fPIC",
				   type->name, name, (unsigned long long)address, (long long)address);
	default:
		return payload_bad("%s against %s: 0x%llx does not fit in 32 bits: compile with -fPIC",
				   type->name, name, (unsigned long long)value);
	}
}

static struct usp_error *apply_one(struct build *b, const struct payload_section *section,
				   const struct payload_relocation *r)
{
	const struct payload_relocation_type *type = payload_relocation_type(r->type);
	const struct payload_symbol *s = &b->file->symbols[r->symbol];
	const struct payload_layout *layout = &b->file->layout;
	if (type->formula == PAYLOAD_FORMULA_NONE)
		return NULL;
	struct usp_error *error = NULL;
	if (type->formula != PAYLOAD_FORMULA_GOT_PC && type->formula != PAYLOAD_FORMULA_SIZE)
		error = give_meaning(b, r->symbol);
	if (error)
		return error;
	const struct payload_value *v = &b->meanings[r->symbol].value;
	uint64_t base = b->image->base, place = base + section->image_offset + r->offset;
	uint64_t got = base + layout->words, value = (uint64_t)r->addend;
	switch (type->formula) {
	case PAYLOAD_FORMULA_ABSOLUTE:
		value += v->address;
		break;
	case PAYLOAD_FORMULA_BRANCH:
		value += v->address - place;
		/* A slot is the function's first byte only: an addend that goes elsewhere cannot use it. */
		if (!fits(type, value) && s->slot != PAYLOAD_NO_OFFSET && r->addend == -4)
			value = base + s->slot + (uint64_t)r->addend - place;
		break;
	case PAYLOAD_FORMULA_PC:
		value += v->address - place;
		break;
	case PAYLOAD_FORMULA_WORD_PC:
		value += base + s->word - place;
		break;
	case PAYLOAD_FORMULA_WORD_GOT:
		value += base + s->word - got;
		break;
	case PAYLOAD_FORMULA_GOT_PC:
		value += got - place;
		break;
	case PAYLOAD_FORMULA_GOT_OFFSET:
		value += v->address - got;
		break;
	case PAYLOAD_FORMULA_SIZE:
		value += s->size;
		break;
	case PAYLOAD_FORMULA_TPOFF:
		value += (uint64_t)v->tls_tpoff;
		break;
	case PAYLOAD_FORMULA_GOTTPOFF:
		value += base + s->tp_word - place;
		break;
	case PAYLOAD_FORMULA_TLSGD:
		value += base + s->gd_pair - place;
		break;
	case PAYLOAD_FORMULA_TLSLD:
		error = check_ld_module(b, s, v);
		value += base + layout->ld_pair - place;
		break;
	case PAYLOAD_FORMULA_DTPOFF:
		error = check_ld_module(b, s, v);
		value += v->tls_offset;
		break;
	case PAYLOAD_FORMULA_REFUSED:
	case PAYLOAD_FORMULA_NONE:
		return payload_bad("%s is not supported", type->name); /* payload_read() has refused it */
	}
	if (error)
		return error;
	if (!fits(type, value))
		return overflow(b, type, s, v->address, place, value);
	memcpy(b->image->bytes + section->image_offset + r->offset, &value, type->width);
	return NULL;
}

static void copy_sections(struct build *b)
{
	const struct payload_layout *layout = &b->file->layout;
	memset(b->image->bytes + layout->segment[1], 0xcc,
	       layout->segment_size[1]); /* int3 between functions */
	memset(b->image->bytes + layout->words, 0, layout->words_size);
	for (uint32_t i = 1; i < b->file->n_sections; i++) {
		const struct payload_section *s = &b->file->sections[i];
		if (payload_section_is_mapped(s) && s->data)
			memcpy(b->image->bytes + s->image_offset, s->data, s->size);
	}
}

static struct usp_error *apply_relocations(struct build *b)
{
	for (uint32_t i = 1; i < b->file->n_sections; i++) {
		const struct payload_section *s = &b->file->sections[i];
		if (!payload_section_is_mapped(s))
			continue;
		for (size_t k = 0; k < s->n_relocations; k++) {
			struct usp_error *error = apply_one(b, s, &s->relocations[k]);
			if (error)
				return usp_error_prefix(error, "section %s+0x%llx", s->name,
							(unsigned long long)s->relocations[k].offset);
		}
	}
	return NULL;
}

/* Leaves out frames that cover nothing of the text (of discarded COMDAT functions); refuses ones that
 * overlap. */
static struct usp_error *keep_text_frames(const struct payload_image *image, struct payload_frame *frames,
					  size_t *n)
{
	size_t kept = 0;
	for (size_t i = 0; i < *n; i++) {
		const struct payload_frame *f = &frames[i];
		if (!f->size || f->start < image->text_start || f->start >= image->text_end)
			continue;
		if (f->size > image->text_end - f->start)
			return payload_bad(".eh_frame: an FDE covers 0x%llx bytes at image offset 0x%llx, "
					   "past the code's end",
					   (unsigned long long)f->size,
					   (unsigned long long)(f->start - image->base));
		if (kept && f->start - frames[kept - 1].start < frames[kept - 1].size)
			return payload_bad(".eh_frame: two FDEs cover the code at image offset 0x%llx",
					   (unsigned long long)(f->start - image->base));
		frames[kept++] = *f;
	}
	*n = kept;
	return NULL;
}

/* Every function can be unwound through: else a stack walk would end in it, and its callers would never be
 * seen. */
static struct usp_error *check_unwinding(const struct build *b, const struct payload_frame *frames, size_t n)
{
	for (uint32_t i = 0; i < b->file->n_functions; i++) {
		const struct payload_symbol *s = &b->file->symbols[b->file->functions[i]];
		uint64_t start = b->image->base + b->file->sections[s->section].image_offset + s->value;
		if (!payload_frames_find(frames, n, start) ||
		    !payload_frames_find(frames, n, start + s->size - 1))
			return payload_bad("function %s has no unwind information (.eh_frame): compile with "
					   "-fasynchronous-unwind-tables",
					   s->name);
	}
	return NULL;
}

static struct usp_error *finish_frames(struct build *b)
{
	const struct payload_layout *layout = &b->file->layout;
	struct payload_image *image = b->image;
	if (!layout->eh_frame_hdr_size)
		return check_unwinding(b, NULL, 0);
	uint64_t offset = layout->kind_offset[PAYLOAD_SECTION_EH_FRAME],
		 size = layout->kind_size[PAYLOAD_SECTION_EH_FRAME];
	size_t n = layout->n_frames;
	_cleanup_free_ struct payload_frame *frames = calloc(n + 1, sizeof(*frames));
	if (!frames)
		return &usp_error_no_memory;
	struct usp_error *error =
		payload_frames_read(image->bytes + offset, size - 4, image->base + offset, frames, n);
	error = usp_error_prefix(error, "relocated .eh_frame");
	if (!error)
		error = keep_text_frames(image, frames, &n);
	if (!error)
		error = check_unwinding(b, frames, n);
	if (error)
		return error;
	image->eh_frame = image->base + offset;
	image->eh_frame_size = size;
	payload_frames_write_table(frames, n, image->base + layout->eh_frame_hdr, image->eh_frame,
				   image->bytes + layout->eh_frame_hdr);
	return NULL;
}

static struct usp_error *fill(struct build *b)
{
	const struct payload_layout *layout = &b->file->layout;
	struct payload_image *image = b->image;
	static const int prot[PAYLOAD_SEGMENTS] = {PROT_READ, PROT_READ | PROT_EXEC, PROT_READ | PROT_WRITE};
	for (int i = 0; i < PAYLOAD_SEGMENTS; i++)
		image->segments[i] =
			(struct payload_segment){layout->segment[i], layout->segment_size[i], prot[i]};
	image->text_start = image->base + layout->segment[PAYLOAD_SEGMENT_TEXT];
	image->text_end = image->text_start;
	if (layout->segment_size[PAYLOAD_SEGMENT_TEXT])
		image->text_end = image->base + layout->words;
	copy_sections(b);
	struct usp_error *error = apply_relocations(b);
	if (!error)
		error = finish_frames(b);
	return error ? error : payload_image_write_elf(b->file, image);
}

struct usp_error *payload_image_size(const struct payload *payload, uint64_t *size)
{
	*size = payload->file->layout.size;
	return NULL;
}

struct usp_error *payload_image_build(const struct payload *payload, uint64_t base,
				      payload_resolve_fn *resolve, void *context, struct payload_image **ret)
{
	const struct payload_file *file = payload->file;
	uint64_t size = file->layout.size;
	if (!base || base % PAYLOAD_PAGE || base > INT64_MAX || size > INT64_MAX - base)
		return usp_errorf(USP_USAGE, "an image of 0x%llx bytes cannot be at 0x%llx",
				  (unsigned long long)size, (unsigned long long)base);
	struct payload_image *image = calloc(1, sizeof(*image));
	if (!image)
		return &usp_error_no_memory;
	image->base = base;
	image->size = size;
	image->bytes = calloc(1, size);
	_cleanup_free_ struct meaning *meanings = calloc(file->n_symbols, sizeof(*meanings));
	struct build b = {
		.file = file, .image = image, .resolve = resolve, .context = context, .meanings = meanings};
	struct usp_error *error = image->bytes && meanings ? fill(&b) : &usp_error_no_memory;
	if (error) {
		payload_image_destroy(image);
		return error;
	}
	*ret = image;
	return NULL;
}

void payload_image_destroy(struct payload_image *image)
{
	if (!image)
		return;
	free(image->bytes);
	free(image->functions);
	free(image);
}

uint64_t payload_image_address(const struct payload *payload, const struct payload_image *image,
			       struct payload_place place)
{
	return image->base + payload->file->sections[place.section].image_offset + place.offset;
}
