// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include "build/place/proof.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "build/object/show.h"
#include "build/place/bytes.h"
#include "process/decoder.h"
#include "process/elf/symbols.h"

#define BYTES_SHOWN 8u

/* Names come from files: what a terminal would obey is shown as '?'. */
static void show_name(FILE *out, const char *name)
{
	for (size_t i = 0; name[i] && i < 128; i++)
		fputc((unsigned char)name[i] < 0x20 || name[i] == 0x7f ? '?' : name[i], out);
}

/* The instruction of the program at this address, and the name of where it points. */
static void show_linked(FILE *out, struct module *target, uint64_t address)
{
	uint8_t code[ZYDIS_MAX_INSTRUCTION_LENGTH];
	ZydisFormatter formatter;
	ZydisDecodedInstruction insn;
	ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
	char text[128];
	size_t n = sizeof(code);
	while (n && module_read_file(target, address, code, n) < 0)
		n--;
	if (!n) {
		fputs("(nothing)", out);
		return;
	}
	if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder_x86_64, code, n, &insn, operands)) ||
	    !ZYAN_SUCCESS(ZydisFormatterInit(&formatter, ZYDIS_FORMATTER_STYLE_ATT)) ||
	    !ZYAN_SUCCESS(ZydisFormatterSetProperty(&formatter, ZYDIS_FORMATTER_PROP_ADDR_PADDING_ABSOLUTE,
						    ZYDIS_PADDING_DISABLED)) ||
	    !ZYAN_SUCCESS(
		    ZydisFormatterSetProperty(&formatter, ZYDIS_FORMATTER_PROP_HEX_UPPERCASE, ZYAN_FALSE)) ||
	    !ZYAN_SUCCESS(ZydisFormatterFormatInstruction(&formatter, &insn, operands,
							  insn.operand_count_visible, text, sizeof(text),
							  address, NULL))) {
		fprintf(out, "(no instruction: %02x)", code[0]);
		return;
	}
	fputs(text, out);
	for (unsigned i = 0; i < insn.operand_count_visible; i++) {
		struct symbol symbol;
		uint64_t to;
		if (!ZYAN_SUCCESS(ZydisCalcAbsoluteAddress(&insn, &operands[i], address, &to)) ||
		    !symbol_at(target, to, &symbol) || !*symbol.name)
			continue;
		fputs(" <", out);
		show_name(out, symbol.name);
		if (to != symbol.address)
			fprintf(out, "+0x%" PRIx64, to - symbol.address);
		fputc('>', out);
		return;
	}
}

static void show_bytes(FILE *out, const uint8_t *bytes, uint64_t n)
{
	for (uint64_t i = 0; i < n && i < BYTES_SHOWN; i++)
		fprintf(out, "%s%02x", i ? " " : "", bytes[i]);
}

static size_t insn_at(const struct object_piece *piece, uint64_t offset)
{
	size_t i = 0;
	while (i + 1 < piece->n_insns && piece->insns[i + 1].offset <= offset)
		i++;
	return i;
}

static void show_difference(FILE *out, const struct object *object, const struct object_piece *piece,
			    uint64_t address, uint64_t difference, struct module *target)
{
	size_t insn = insn_at(piece, difference);
	bool code = object_piece_is_code(object, piece) && insn < piece->n_insns &&
		    difference < piece->insns[insn].offset + (uint64_t)piece->insns[insn].length;
	uint64_t at = code ? piece->insns[insn].offset : difference, left = piece->size - at;
	object_show_piece(out, object, piece);
	fprintf(out, "+0x%" PRIx64 " at 0x%" PRIx64 ": rebuilt: ", at, address + at);
	if (code) {
		object_show_insn(out, object, piece, insn);
		fputs("; target: ", out);
		show_linked(out, target, address + at);
		return;
	}
	uint8_t have[BYTES_SHOWN];
	uint64_t n = left < sizeof(have) ? left : sizeof(have);
	show_bytes(out, object_piece_bytes(object, piece) + at, n);
	fputs("; target: ", out);
	if (module_read_file(target, address + at, have, n) < 0)
		fputs("(nothing)", out);
	else
		show_bytes(out, have, n);
}

/* A text; bad: out of memory. */
static struct usp_error *finish(FILE *out, char **text)
{
	bool bad = ferror(out);
	if (!fclose(out) && !bad)
		return NULL;
	free(*text);
	*text = NULL;
	return &usp_error_no_memory;
}

/* Compares; *ret: the text, or NULL. `user` (or NULL) is the function that refers to it. */
static struct usp_error *compare(const struct place_bytes *with, const struct object_piece *piece,
				 uint64_t address, const struct object_piece *user, char **ret)
{
	uint64_t difference;
	struct usp_error *error = place_bytes_compare(with, piece, address, &difference);
	if (error || difference == PLACE_SAME)
		return error;
	size_t size;
	FILE *out = open_memstream(ret, &size);
	if (!out)
		return &usp_error_no_memory;
	if (user) {
		object_show_piece(out, with->object, user);
		fputs(" refers to ", out);
	}
	show_difference(out, with->object, piece, address, difference, with->target);
	return finish(out, ret);
}

/* The read-only data of its own that the code refers to. What has no name may go on in the next piece. */
static struct usp_error *compare_constants(const struct place_bytes *with, const struct object_piece *user,
					   char **ret)
{
	const struct object *object = with->object;
	for (size_t i = 0; i < user->n_references; i++) {
		const struct object_reference *r = &user->references[i];
		if (r->target != OBJECT_TARGET_PIECE ||
		    object->sections[r->section].kind != OBJECT_KIND_CONSTANT)
			continue;
		const struct object_piece *p = &object->pieces[r->piece];
		for (; p; p = p->symbol ? NULL : object_piece_goes_on(object, p)) {
			uint64_t address =
				place_of_piece(object, with->place, (uint32_t)(p - object->pieces));
			struct usp_error *error =
				address == PLACE_NONE ? NULL : compare(with, p, address, user, ret);
			if (error || *ret)
				return error;
		}
	}
	return NULL;
}

static bool has_hint(const struct place_bytes *with, const struct object_piece *piece)
{
	return piece->symbol && with->place->hints[piece->symbol].address != PLACE_NONE;
}

/* In what a piece differs from what the program has by its name. */
static struct usp_error *compare_hint(const struct place_bytes *with, const struct object_piece *piece,
				      char **ret)
{
	const struct place_hint *hint = &with->place->hints[piece->symbol];
	if (!has_hint(with, piece))
		return NULL;
	struct usp_error *error = compare(with, piece, hint->address, NULL, ret);
	if (!error && !*ret && hint->size != piece->size &&
	    asprintf(ret, "%s at 0x%" PRIx64 ": rebuilt: 0x%" PRIx64 " bytes; target: 0x%" PRIx64 " bytes",
		     piece->name, hint->address, piece->size, hint->size) < 0) {
		*ret = NULL;
		error = &usp_error_no_memory;
	}
	return error;
}

/* What is beside the piece in the object is elsewhere in the program, or not the same. */
static struct usp_error *compare_beside(const struct place_bytes *with, const struct object_piece *piece,
					const struct object_piece *other, char **ret)
{
	const struct place_hint *hints = with->place->hints;
	const char *section = object_piece_section(with->object, piece)->name;
	_cleanup_free_ char *beside = NULL;
	struct usp_error *error = compare_hint(with, other, &beside);
	if (error || !has_hint(with, other))
		return error;
	int64_t here = (int64_t)(other->offset - piece->offset);
	int64_t there = (int64_t)(hints[other->symbol].address - hints[piece->symbol].address);
	int n = 0;
	if (beside)
		n = asprintf(ret, "%s may be the same, but beside it in %s is not: %s", piece->name, section,
			     beside);
	else if (here != there)
		n = asprintf(ret,
			     "%s may be the same, but from it to %s are: rebuilt: %" PRId64
			     " bytes; target: %" PRId64,
			     piece->name, other->name, here, there);
	if (n >= 0)
		return NULL;
	*ret = NULL;
	return &usp_error_no_memory;
}

/*
 * Its section has no place. Of what the program has by the same names, something is different: the piece itself, or
 * something beside it in the section.
 */
static struct usp_error *explain(struct place_bytes *with, const struct object_piece *piece, char **ret)
{
	const struct object_section *s = object_piece_section(with->object, piece);
	with->guess = true;
	if (!has_hint(with, piece))
		return NULL;
	struct usp_error *error = compare_hint(with, piece, ret);
	for (uint32_t i = 0; i < s->n_pieces && !error && !*ret; i++)
		error = compare_beside(with, piece, &with->object->pieces[s->first_piece + i], ret);
	return error;
}

struct usp_error *proof_piece(const struct object *object, const struct place *place, uint32_t piece,
			      struct module *target, char **difference)
{
	const struct object_piece *p = &object->pieces[piece];
	struct place_bytes with = {.object = object, .place = place, .target = target};
	uint64_t address = place_of_piece(object, place, piece);
	struct usp_error *error = NULL;
	*difference = NULL;
	if (address != PLACE_NONE) {
		error = compare(&with, p, address, NULL, difference);
		return error || *difference || !object_piece_is_code(object, p)
			       ? error
			       : compare_constants(&with, p, difference);
	}
	if (place->sections[p->section] == PLACE_NONE && place->state != PLACE_ABSENT)
		error = explain(&with, p, difference);
	if (error || *difference)
		return error;
	return usp_errorf(USP_NOT_FOUND, "%s of %s is not in %s, or it cannot be told where",
			  p->name ? p->name : object_piece_section(object, p)->name, object->path,
			  target->path);
}
