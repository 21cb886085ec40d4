// SPDX-License-Identifier: MIT
#include "build/object/compare.h"

#include <string.h>

#include "build/object/calls.h"
#include "build/object/lines.h"
#include "process/decoder.h"

#define INSN_MAX 15

/* One side of a comparison in progress. */
struct walker {
	const struct object *object;
	const struct object_piece *piece;
	const uint8_t *bytes;
	size_t insn;
	size_t next; /* reference */
};

static void skip_nops(struct walker *w)
{
	while (w->insn < w->piece->n_insns && w->piece->insns[w->insn].nop)
		w->insn++;
	const struct object_insn *insn = w->insn < w->piece->n_insns ? &w->piece->insns[w->insn] : NULL;
	while (insn && w->next < w->piece->n_references &&
	       w->piece->references[w->next].offset < insn->offset)
		w->next++; /* marks on NOPs */
}

static size_t count_references(const struct walker *w, const struct object_insn *insn)
{
	size_t n = 0;
	while (w->next + n < w->piece->n_references &&
	       w->piece->references[w->next + n].offset < insn->offset + insn->length)
		n++;
	return n;
}

/* The instruction's bytes with what points somewhere blanked. */
static void masked(const struct walker *w, const struct object_insn *insn, size_t n, uint8_t out[INSN_MAX])
{
	memset(out, 0, INSN_MAX);
	memcpy(out, w->bytes + insn->offset, insn->length);
	for (size_t i = 0; i < n; i++) {
		const struct object_reference *r = &w->piece->references[w->next + i];
		if (r->offset >= insn->offset && r->offset - insn->offset + r->width <= insn->length)
			memset(out + (r->offset - insn->offset), 0, r->width);
	}
}

/* Where the only immediate operand of the instruction lies; false: there is none, or not only one, or a distance. */
static bool find_immediate(const uint8_t *bytes, unsigned length, unsigned *at, unsigned *width,
			   uint64_t *value)
{
	ZydisDecodedInstruction insn;
	if (!ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(&decoder_x86_64, NULL, bytes, length, &insn)))
		return false;
	if (!insn.raw.imm[0].size || insn.raw.imm[1].size || insn.raw.imm[0].is_relative)
		return false;
	*at = insn.raw.imm[0].offset;
	*width = insn.raw.imm[0].size / 8;
	uint64_t raw = 0;
	memcpy(&raw, bytes + *at, *width);
	*value = raw;
	return true;
}

/* Lines of the two functions that hold the same instruction: one of those rows, on both sides. */
static bool same_place(const struct walker *b, uint64_t before, const struct walker *a, uint64_t after)
{
	for (size_t i = 0, k = 0; i < b->piece->n_insns && k < a->piece->n_insns; i++) {
		const struct object_insn *x = &b->piece->insns[i];
		while (k < a->piece->n_insns &&
		       (a->piece->insns[k].nop || a->piece->insns[k].index < x->index))
			k++;
		if (!x->nop && k < a->piece->n_insns && a->piece->insns[k].index == x->index &&
		    object_lines_have(b->object, b->piece->section, b->piece->offset + x->offset, before) &&
		    object_lines_have(a->object, a->piece->section,
				      a->piece->offset + a->piece->insns[k].offset, after))
			return true;
	}
	return false;
}

/* The line that the instruction comes from, or the one that its function was inlined into: an argument of the call. */
static bool are_lines(const struct walker *b, uint64_t before, const struct walker *a, uint64_t after)
{
	const struct object_insn *bi = &b->piece->insns[b->insn], *ai = &a->piece->insns[a->insn];
	if (object_lines_have(b->object, b->piece->section, b->piece->offset + bi->offset, before) &&
	    object_lines_have(a->object, a->piece->section, a->piece->offset + ai->offset, after))
		return true;
	return object_calls_have(b->object, before) && object_calls_have(a->object, after) &&
	       same_place(b, before, a, after);
}

static uint64_t negative(uint64_t value, unsigned width)
{
	return width < 8 ? -value & ((UINT64_C(1) << 8 * width) - 1) : -value;
}

/* Both instructions differ in an immediate operand only, and it is a line, or the negative of one. */
static bool line_moved(const struct walker *b, const uint8_t x[INSN_MAX], const struct walker *a,
		       const uint8_t y[INSN_MAX])
{
	const struct object_insn *bi = &b->piece->insns[b->insn], *ai = &a->piece->insns[a->insn];
	unsigned at[2], width[2];
	uint64_t value[2];
	if (!find_immediate(x, bi->length, &at[0], &width[0], &value[0]) ||
	    !find_immediate(y, ai->length, &at[1], &width[1], &value[1]))
		return false;
	if (at[0] != at[1] || width[0] != width[1] || bi->length != ai->length || memcmp(x, y, at[0]) ||
	    memcmp(x + at[0] + width[0], y + at[0] + width[0], INSN_MAX - at[0] - width[0]))
		return false;
	return are_lines(b, value[0], a, value[1]) ||
	       are_lines(b, negative(value[0], width[0]), a, negative(value[1], width[1]));
}

static enum object_same compare_insn(struct object_equal *equal, struct walker *b, struct walker *a,
				     struct object_difference *difference)
{
	const struct object_insn *bi = &b->piece->insns[b->insn], *ai = &a->piece->insns[a->insn];
	size_t n = count_references(b, bi);
	enum object_same same = OBJECT_SAME;
	uint8_t x[INSN_MAX], y[INSN_MAX];
	if (n != count_references(a, ai))
		return OBJECT_DIFFERENT;
	masked(b, bi, n, x);
	masked(a, ai, n, y);
	bool jumps = bi->jump && bi->jump == ai->jump;
	if (!jumps && (bi->length != ai->length || memcmp(x, y, INSN_MAX))) {
		if (!line_moved(b, x, a, y))
			return OBJECT_DIFFERENT;
		same = OBJECT_SAME_BUT_LINES;
	}
	for (size_t i = 0; i < n; i++) {
		const struct object_reference *rb = &b->piece->references[b->next + i],
					      *ra = &a->piece->references[a->next + i];
		if ((jumps || rb->offset - bi->offset == ra->offset - ai->offset) &&
		    object_equal_references(equal, rb, ra))
			continue;
		difference->reference[0] = rb;
		difference->reference[1] = ra;
		return OBJECT_DIFFERENT;
	}
	b->next += n;
	a->next += n;
	return same;
}

enum object_same object_compare(struct object_equal *equal, const struct object_piece *before,
				const struct object_piece *after, struct object_difference *difference)
{
	const struct object *objects[2] = {equal->pairs->side[0], equal->pairs->side[1]};
	struct walker b = {.object = objects[0],
			   .piece = before,
			   .bytes = object_piece_bytes(objects[0], before)},
		      a = {.object = objects[1],
			   .piece = after,
			   .bytes = object_piece_bytes(objects[1], after)};
	enum object_same result = OBJECT_SAME;
	*difference = (struct object_difference){.opaque = before->opaque || after->opaque};
	if (difference->opaque)
		return OBJECT_DIFFERENT;
	for (;; b.insn++, a.insn++) {
		skip_nops(&b);
		skip_nops(&a);
		bool b_ends = b.insn == before->n_insns, a_ends = a.insn == after->n_insns;
		difference->insn[0] = b.insn;
		difference->insn[1] = a.insn;
		if (b_ends && a_ends)
			return result;
		enum object_same one =
			b_ends || a_ends ? OBJECT_DIFFERENT : compare_insn(equal, &b, &a, difference);
		if (one == OBJECT_SAME_BUT_LINES && result == OBJECT_SAME) {
			difference->line[0] = b.insn;
			difference->line[1] = a.insn;
		}
		if (one > result)
			result = one;
		if (result == OBJECT_DIFFERENT)
			return result;
	}
}
