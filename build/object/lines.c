// SPDX-License-Identifier: MIT
#include "build/object/lines.h"

#include <stdlib.h>
#include <string.h>

#define LINES_MAX (1u << 24)

/* Standard opcodes of a line program, DWARF 5, 6.2.5. */
enum {
	LNS_EXTENDED,
	LNS_COPY,
	LNS_ADVANCE_PC,
	LNS_ADVANCE_LINE,
	LNS_SET_FILE,
	LNS_SET_COLUMN,
	LNS_NEGATE_STMT,
	LNS_BASIC_BLOCK,
	LNS_CONST_ADD_PC,
	LNS_FIXED_ADVANCE_PC,
};
enum {
	LNE_END_SEQUENCE = 1,
	LNE_SET_ADDRESS = 2,
};

struct cursor {
	const uint8_t *p, *end;
	bool failed;
};

struct program {
	struct object *object;
	const struct object_section *section;
	size_t capacity;
	unsigned min_length, opcode_base, line_range;
	int line_base;
	uint8_t lengths[256];
	/* the state machine */
	uint32_t in; /* section; 0: no address is set */
	uint64_t address, line;
};

static uint64_t take(struct cursor *c, unsigned width)
{
	uint64_t value = 0;
	if ((size_t)(c->end - c->p) < width) {
		c->failed = true;
		c->p = c->end;
		return 0;
	}
	memcpy(&value, c->p, width);
	c->p += width;
	return value;
}

static uint64_t take_uleb(struct cursor *c)
{
	uint64_t value = 0;
	for (unsigned shift = 0;; shift += 7) {
		uint8_t byte = (uint8_t)take(c, 1);
		if (shift < 64)
			value |= (uint64_t)(byte & 0x7f) << shift;
		if (c->failed || !(byte & 0x80))
			return value;
	}
}

static int64_t take_sleb(struct cursor *c)
{
	uint64_t value = 0;
	for (unsigned shift = 0;;) {
		uint8_t byte = (uint8_t)take(c, 1);
		if (shift < 64)
			value |= (uint64_t)(byte & 0x7f) << shift;
		shift += 7;
		if (c->failed || byte & 0x80) {
			if (c->failed)
				return 0;
			continue;
		}
		if (shift < 64 && byte & 0x40)
			value |= UINT64_MAX << shift;
		return (int64_t)value;
	}
}

static bool add_row(struct program *program)
{
	struct object *object = program->object;
	if (!program->in || program->line > UINT32_MAX)
		return true;
	if (object->n_lines >= LINES_MAX ||
	    !object_grow(&object->lines, object->n_lines, &program->capacity, sizeof(*object->lines)))
		return false;
	object->lines[object->n_lines++] = (struct object_line){
		.section = program->in, .line = (uint32_t)program->line, .offset = program->address};
	return true;
}

/* The operand of DW_LNE_set_address is what its relocation says. */
static void set_address(struct program *program, const uint8_t *operand)
{
	const struct object_section *s = program->section;
	uint64_t at = (uint64_t)(operand - s->data);
	program->in = 0;
	size_t k = object_relocation_from(s, at);
	const struct object_relocation *r = k < s->n_relocations ? &s->relocations[k] : NULL;
	if (!r || r->offset != at || r->type != R_X86_64_64)
		return;
	const struct object_symbol *symbol = &program->object->symbols[r->symbol];
	if (r->symbol && symbol->section != SHN_UNDEF && symbol->section < program->object->n_sections) {
		program->in = symbol->section;
		program->address = symbol->value + (uint64_t)r->addend;
	}
}

static bool extended(struct program *program, struct cursor *c)
{
	uint64_t length = take_uleb(c);
	if (!length || length > (uint64_t)(c->end - c->p))
		return false;
	struct cursor operand = {.p = c->p + 1, .end = c->p + length};
	uint8_t code = *c->p;
	c->p += length;
	if (code == LNE_END_SEQUENCE) {
		program->line = 0; /* from here on nothing is known */
		bool added = add_row(program);
		program->in = 0;
		program->address = 0;
		program->line = 1;
		return added;
	}
	if (code == LNE_SET_ADDRESS && length == 9)
		set_address(program, operand.p);
	return true;
}

static bool standard(struct program *program, struct cursor *c, unsigned opcode)
{
	switch (opcode) {
	case LNS_COPY:
		return add_row(program);
	case LNS_ADVANCE_PC:
		program->address += take_uleb(c) * program->min_length;
		return true;
	case LNS_ADVANCE_LINE:
		program->line += (uint64_t)take_sleb(c);
		return true;
	case LNS_CONST_ADD_PC:
		program->address +=
			(uint64_t)((255 - program->opcode_base) / program->line_range) * program->min_length;
		return true;
	case LNS_FIXED_ADVANCE_PC:
		program->address += take(c, 2);
		return true;
	default:
		for (unsigned i = 0; i < program->lengths[opcode]; i++)
			take_uleb(c);
		return true;
	}
}

static bool run(struct program *program, struct cursor *c)
{
	program->in = 0;
	program->address = 0;
	program->line = 1;
	while (c->p < c->end && !c->failed) {
		unsigned opcode = (unsigned)take(c, 1);
		bool good;
		if (opcode >= program->opcode_base) {
			unsigned special = opcode - program->opcode_base;
			program->address += (uint64_t)(special / program->line_range) * program->min_length;
			program->line += (uint64_t)(int64_t)(program->line_base +
							     (int)(special % program->line_range));
			good = add_row(program);
		} else {
			good = opcode == LNS_EXTENDED ? extended(program, c) : standard(program, c, opcode);
		}
		if (!good)
			return false;
	}
	return !c->failed;
}

/* The header of one unit, and its program. c is the whole unit after its length. */
static bool read_unit(struct program *program, struct cursor *c, unsigned offset_width)
{
	uint64_t version = take(c, 2);
	if (version < 2 || version > 5)
		return false;
	if (version == 5) {
		uint64_t address_size = take(c, 1), selector_size = take(c, 1);
		if (address_size != 8 || selector_size != 0)
			return false;
	}
	uint64_t header_length = take(c, offset_width);
	if (c->failed || header_length > (uint64_t)(c->end - c->p))
		return false;
	struct cursor rows = {.p = c->p + header_length, .end = c->end};
	program->min_length = (unsigned)take(c, 1);
	if (version >= 4 && take(c, 1) != 1) /* operations an instruction: not a VLIW machine */
		return false;
	take(c, 1); /* default_is_stmt */
	program->line_base = (int8_t)take(c, 1);
	program->line_range = (unsigned)take(c, 1);
	program->opcode_base = (unsigned)take(c, 1);
	if (c->failed || !program->line_range || !program->opcode_base)
		return false;
	memset(program->lengths, 0, sizeof(program->lengths));
	for (unsigned i = 1; i < program->opcode_base; i++)
		program->lengths[i] = (uint8_t)take(c, 1);
	return !c->failed && run(program, &rows);
}

static bool read_table(struct program *program)
{
	struct cursor c = {.p = program->section->data,
			   .end = program->section->data + program->section->size};
	while (c.p < c.end) {
		uint64_t length = take(&c, 4);
		unsigned width = 4;
		if (length == 0xffffffff) {
			length = take(&c, 8);
			width = 8;
		}
		if (c.failed || length > (uint64_t)(c.end - c.p))
			return false;
		struct cursor unit = {.p = c.p, .end = c.p + length};
		if (!read_unit(program, &unit, width))
			return false;
		c.p += length;
	}
	return true;
}

static int by_place(const void *a, const void *b)
{
	const struct object_line *x = a, *y = b;
	if (x->section != y->section)
		return x->section < y->section ? -1 : 1;
	if (x->offset != y->offset)
		return x->offset < y->offset ? -1 : 1;
	return x->line < y->line ? -1 : x->line > y->line;
}

struct usp_error *object_read_lines(struct object *object)
{
	for (uint32_t i = 1; i < object->n_sections; i++) {
		const struct object_section *s = &object->sections[i];
		if (strcmp(s->name, ".debug_line") || !s->data || s->flags & SHF_COMPRESSED || object->lines)
			continue;
		struct program program = {.object = object, .section = s};
		if (!read_table(&program)) {
			free(object->lines);
			object->lines = NULL;
			object->n_lines = 0;
		}
	}
	if (object->n_lines)
		qsort(object->lines, object->n_lines, sizeof(*object->lines), by_place);
	return NULL;
}

/* The first of the rows for the last place that is not after this one; NULL: none. */
static const struct object_line *find(const struct object *object, uint32_t section, uint64_t offset)
{
	size_t low = 0, high = object->n_lines;
	while (low < high) {
		size_t middle = (low + high) / 2;
		const struct object_line *l = &object->lines[middle];
		if (l->section < section || (l->section == section && l->offset <= offset))
			low = middle + 1;
		else
			high = middle;
	}
	if (!low || object->lines[low - 1].section != section)
		return NULL;
	const struct object_line *l = &object->lines[low - 1];
	while (l > object->lines && l[-1].section == section && l[-1].offset == l->offset)
		l--;
	return l;
}

bool object_lines_have(const struct object *object, uint32_t section, uint64_t offset, uint64_t line)
{
	const struct object_line *l = find(object, section, offset);
	if (!l || !line)
		return false;
	const struct object_line *end = object->lines + object->n_lines;
	for (uint64_t place = l->offset; l < end && l->section == section && l->offset == place; l++)
		if (l->line == line)
			return true;
	return false;
}

uint32_t object_lines_of(const struct object *object, uint32_t section, uint64_t offset)
{
	const struct object_line *l = find(object, section, offset);
	uint32_t line = 0;
	if (!l)
		return 0;
	const struct object_line *end = object->lines + object->n_lines;
	for (uint64_t place = l->offset; l < end && l->section == section && l->offset == place; l++)
		line = l->line ? l->line : line;
	return line;
}
