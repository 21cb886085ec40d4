// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include "payload/apply.h"

#include <stdlib.h>
#include <string.h>

#include "payload/file.h"
#include "payload/relocation.h"
#include "payload/tls.h"

/* A symbol's meaning at this base. */
struct meaning {
	bool known;
	struct payload_value value;
};

/* The one block of thread-local variables that TLSLD and DTPOFF relocations are about. */
struct block {
	bool known;
	const char *name; /* of the first of its variables, NULL: there is none */
	uint64_t module;
	bool is_static;
	int64_t tpoff;
};

#define BLOCK_USES  (PAYLOAD_USE_TLSLD | PAYLOAD_USE_DTPOFF)
#define MODULE_BASE "_TLS_MODULE_BASE_" /* the linkers' name for a block: nobody defines it */

struct build {
	const struct payload_file *file;
	struct payload_image *image;
	payload_resolve_fn *resolve;
	void *context;
	struct meaning *meanings; /* one a symbol */
	struct block block;
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
					      .by_address = s->by_address,
					      .address = s->address,
					      .version = *version ? version : NULL,
					      .type = s->type,
					      .tls = s->uses & PAYLOAD_USE_TLS,
					      .weak = weak};
	struct usp_error *error = b->resolve(b->context, &reference, value);
	if (!error && !weak && !reference.tls && !value->address)
		error = usp_errorf(USP_NOT_FOUND, "symbol %s has no address in the target", s->name);
	return error;
}

static struct usp_error *learn_block(struct build *b);

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
		if (!strcmp(s->name, MODULE_BASE) && s->uses & PAYLOAD_USE_TLS) {
			/* Where a block begins is left to each DTPOFF: it becomes an offset from the thread
			 * pointer. */
			struct usp_error *error = learn_block(b);
			*value = (struct payload_value){.tls_module = b->block.module,
							.tls_static = b->block.is_static};
			return error;
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
	if (v->tls_static)
		return NULL;
	if (s->uses & (PAYLOAD_USE_TPOFF | PAYLOAD_USE_GOTTP | PAYLOAD_USE_TLSDESC))
		return payload_bad("thread-local variable %s has no fixed offset from the thread pointer in "
				   "the target (its "
				   "library was loaded later, or it is not there): compile with -fPIC "
				   "-ftls-model=global-dynamic%s",
				   s->name,
				   s->uses & PAYLOAD_USE_TLSDESC ? ", without -mtls-dialect=gnu2" : "");
	if (!v->tls_module)
		return payload_bad(
			"thread-local variable %s: neither its offset from the thread pointer nor the "
			"number of its module in the target is known (it is not there, or nothing in the "
			"target uses it)",
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
	if (s->gd_pair != PAYLOAD_NO_OFFSET && !m->value.tls_static) {
		put64(b, s->gd_pair, m->value.tls_module);
		put64(b, s->gd_pair + 8, m->value.tls_offset);
	}
	return NULL;
}

static bool is_of_block(const struct block *block, const struct payload_value *v)
{
	if (!block->name)
		return true;
	if (block->module && v->tls_module)
		return block->module == v->tls_module;
	return block->is_static && v->tls_static &&
	       (uint64_t)block->tpoff == (uint64_t)v->tls_tpoff - v->tls_offset;
}

/* All local-dynamic references must mean one module: the compiler asks for its block once. */
static struct usp_error *learn_block(struct build *b)
{
	struct block *block = &b->block;
	if (block->known)
		return NULL;
	for (uint32_t i = 1; i < b->file->n_symbols; i++) {
		const struct payload_symbol *s = &b->file->symbols[i];
		const struct payload_value *v = &b->meanings[i].value;
		if (!(s->uses & BLOCK_USES) || !strcmp(s->name, MODULE_BASE))
			continue;
		struct usp_error *error = give_meaning(b, i);
		if (error)
			return error;
		if (!is_of_block(block, v))
			return payload_bad(
				"thread-local variables %s and %s are of different modules of the target "
				"and taken for one: "
				"declare them without hidden visibility",
				block->name, s->name);
		if (!block->name)
			block->name = s->name;
		if (!block->module)
			block->module = v->tls_module;
		if (v->tls_static && !block->is_static) {
			block->is_static = true;
			block->tpoff = (int64_t)((uint64_t)v->tls_tpoff - v->tls_offset);
		}
	}
	if (!block->is_static && b->file->layout.ld_pair != PAYLOAD_NO_OFFSET)
		put64(b, b->file->layout.ld_pair, block->module);
	block->known = true;
	return NULL;
}

/* A variable's offset in its block; or from the thread pointer, in code whose request for the block is gone.
 */
static uint64_t block_offset(const struct build *b, const struct payload_section *section,
			     const struct payload_value *v)
{
	if (section->kind != PAYLOAD_SECTION_TEXT || !b->block.is_static)
		return v->tls_offset;
	return v->tls_static ? (uint64_t)v->tls_tpoff : (uint64_t)b->block.tpoff + v->tls_offset;
}

/*
 * A request for a variable or its block that needs none. Relocation *i of the section is the request's;
 * *i goes on to the last one that is part of it.
 */
static struct usp_error *write_over(struct build *b, const struct payload_section *section, size_t *i,
				    int64_t tpoff)
{
	const struct payload_relocation *r = &section->relocations[*i];
	const struct payload_relocation_type *type = payload_relocation_type(r->type);
	const struct payload_symbol *s = &b->file->symbols[r->symbol];
	uint8_t *code = b->image->bytes + section->image_offset;
	struct payload_tls_call call;
	if (tpoff != (int32_t)tpoff)
		return payload_bad(
			"%s against %s: its offset from the thread pointer, %lld, does not fit in 32 "
			"bits: compile with -ftls-model=initial-exec",
			type->name, s->name, (long long)tpoff);
	if (type->formula == PAYLOAD_FORMULA_TLSDESC) {
		if (!payload_tls_descriptor_check(section, *i))
			return payload_bad("%s against %s: is not at an instruction as compilers write it: "
					   "compile without -mtls-dialect=gnu2",
					   type->name, s->name);
		payload_tls_descriptor_write(code + r->offset, r->type, (int32_t)tpoff);
		return NULL;
	}
	if (!payload_tls_call_find(b->file, section, *i, &call))
		return payload_bad(
			"%s against %s: is not in a call of __tls_get_addr as compilers write it: compile "
			"with -ftls-model=initial-exec",
			type->name, s->name);
	payload_tls_call_write(code + call.offset, &call, (int32_t)tpoff);
	++*i;
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
				   "compile with -fPIC (or -fPIE)",
				   type->name, name, (unsigned long long)address, (long long)address);
	default:
		return payload_bad("%s against %s: 0x%llx does not fit in 32 bits: compile with -fPIC",
				   type->name, name, (unsigned long long)value);
	}
}

/* Relocation *i of the section, and those after it that are part of it: *i goes on to the last of them. */
static struct usp_error *apply_one(struct build *b, const struct payload_section *section, size_t *i)
{
	const struct payload_relocation *r = &section->relocations[*i];
	const struct payload_relocation_type *type = payload_relocation_type(r->type);
	const struct payload_symbol *s = &b->file->symbols[r->symbol];
	const struct payload_layout *layout = &b->file->layout;
	if (type->formula == PAYLOAD_FORMULA_NONE)
		return NULL;
	struct usp_error *error = NULL;
	if (type->formula != PAYLOAD_FORMULA_GOT_PC && type->formula != PAYLOAD_FORMULA_SIZE)
		error = give_meaning(b, r->symbol);
	if (!error && type->use & BLOCK_USES)
		error = learn_block(b);
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
		if (v->tls_static)
			return write_over(b, section, i, v->tls_tpoff);
		value += base + s->gd_pair - place;
		break;
	case PAYLOAD_FORMULA_TLSLD:
		if (b->block.is_static)
			return write_over(b, section, i, 0);
		value += base + layout->ld_pair - place;
		break;
	case PAYLOAD_FORMULA_TLSDESC:
		return write_over(b, section, i, v->tls_tpoff);
	case PAYLOAD_FORMULA_DTPOFF:
		value += block_offset(b, section, v);
		break;
	case PAYLOAD_FORMULA_REFUSED:
	case PAYLOAD_FORMULA_NONE:
		return payload_bad("%s is not supported", type->name); /* payload_read() has refused it */
	}
	if (!fits(type, value))
		return overflow(b, type, s, v->address, place, value);
	memcpy(b->image->bytes + section->image_offset + r->offset, &value, type->width);
	return NULL;
}

static struct usp_error *apply_section(struct build *b, const struct payload_section *s)
{
	for (size_t i = 0; i < s->n_relocations; i++) {
		uint64_t offset = s->relocations[i].offset;
		struct usp_error *error = apply_one(b, s, &i);
		if (!error)
			continue;
		const struct payload_symbol *function = payload_file_function_around(
			b->file, (struct payload_place){(unsigned)(s - b->file->sections), offset});
		return usp_error_prefix(error, "%s%s%ssection %s+0x%llx", function ? "function " : "",
					function ? function->name : "", function ? ": " : "", s->name,
					(unsigned long long)offset);
	}
	return NULL;
}

struct usp_error *payload_apply_relocations(const struct payload_file *file, struct payload_image *image,
					    payload_resolve_fn *resolve, void *context)
{
	_cleanup_free_ struct meaning *meanings = calloc(file->n_symbols, sizeof(*meanings));
	if (!meanings)
		return &usp_error_no_memory;
	struct build b = {
		.file = file, .image = image, .resolve = resolve, .context = context, .meanings = meanings};
	for (uint32_t i = 1; i < file->n_sections; i++) {
		struct usp_error *error = NULL;
		if (payload_section_is_mapped(&file->sections[i]))
			error = apply_section(&b, &file->sections[i]);
		if (error)
			return error;
	}
	return NULL;
}
