// SPDX-License-Identifier: MIT
#include "build/object/show.h"

#include <inttypes.h>
#include <string.h>

#include "build/object/lines.h"
#include "build/object/target.h"
#include "process/decoder.h"

#define STRING_MAX 48

void object_show_piece(FILE *out, const struct object *object, const struct object_piece *p)
{
	if (p->name)
		fputs(p->name, out);
	else
		fprintf(out, "%s in %s+0x%" PRIx64, object_piece_is_code(object, p) ? "code" : "unnamed data",
			object_piece_section(object, p)->name, p->offset);
}

static void show_string(FILE *out, const struct object_section *in, int64_t at)
{
	int64_t n = object_string_length(in, at);
	fputc('"', out);
	for (int64_t i = 0; i < n && i < STRING_MAX; i += (int64_t)in->entry_size) {
		uint8_t c = in->data[at + i];
		if (c == '\n')
			fputs("\\n", out);
		else if (c < 0x20 || c == 0x7f)
			fprintf(out, "\\x%02x", c);
		else
			fputc(c, out);
	}
	fputs(n > STRING_MAX ? "…\"" : "\"", out);
}

static void show_addend(FILE *out, int64_t addend)
{
	if (addend > 0)
		fprintf(out, "+0x%" PRIx64, (uint64_t)addend);
	else if (addend < 0)
		fprintf(out, "-0x%" PRIx64, 0 - (uint64_t)addend);
}

static void show_constant(FILE *out, const struct object_section *in, int64_t at)
{
	fputs("constant 0x", out);
	for (uint64_t i = in->entry_size; i > 0; i--)
		fprintf(out, "%02x", in->data[(uint64_t)at + i - 1]);
}

void object_show_reference(FILE *out, const struct object *object, const struct object_reference *r)
{
	const struct object_section *in = &object->sections[r->section];
	switch (r->target) {
	case OBJECT_TARGET_NAME:
		fputs(object->symbols[r->symbol].name, out);
		break;
	case OBJECT_TARGET_PIECE: {
		const struct object_piece *p = &object->pieces[r->piece];
		const uint8_t *bytes = object_piece_bytes(object, p);
		if (!p->name && !p->n_references && bytes && !r->addend && memchr(bytes, 0, p->size) &&
		    bytes[0] >= 0x20)
			fprintf(out, "\"%.*s\"", STRING_MAX, (const char *)bytes);
		else
			object_show_piece(out, object, p);
		break;
	}
	case OBJECT_TARGET_STRING:
		show_string(out, in, r->at);
		break;
	case OBJECT_TARGET_CONSTANT:
		show_constant(out, in, r->at);
		break;
	case OBJECT_TARGET_VALUE:
		fputs("value ", out);
		break;
	case OBJECT_TARGET_UNKNOWN:
		fprintf(out, "%s+0x%" PRIx64 ", which is nothing known", in->name, (uint64_t)r->at);
		return;
	}
	show_addend(out, r->addend);
}

static void show_text(FILE *out, const uint8_t *bytes, unsigned length, uint64_t at, bool only_mnemonic)
{
	ZydisFormatter formatter;
	ZydisDecodedInstruction insn;
	ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
	char text[128] = "(bad)";
	if (ZYAN_SUCCESS(ZydisFormatterInit(&formatter, ZYDIS_FORMATTER_STYLE_ATT)) &&
	    ZYAN_SUCCESS(ZydisFormatterSetProperty(&formatter, ZYDIS_FORMATTER_PROP_FORCE_RELATIVE_RIPREL,
						   ZYAN_TRUE)) &&
	    ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder_x86_64, bytes, length, &insn, operands)))
		ZydisFormatterFormatInstruction(&formatter, &insn, operands, insn.operand_count_visible, text,
						sizeof(text), at, NULL);
	fprintf(out, "%.*s", only_mnemonic ? (int)strcspn(text, " ") : 127, text);
}

void object_show_insn(FILE *out, const struct object *object, const struct object_piece *p, size_t index)
{
	if (index >= p->n_insns) {
		fputs("(end)", out);
		return;
	}
	const struct object_insn *insn = &p->insns[index];
	const struct object_reference *first = NULL;
	bool branch = false;
	size_t n = 0;
	for (size_t i = 0; i < p->n_references; i++)
		if (p->references[i].offset >= insn->offset &&
		    p->references[i].offset < insn->offset + insn->length) {
			if (!n++)
				first = &p->references[i];
			branch |= p->references[i].branch;
		}
	show_text(out, object_piece_bytes(object, p) + insn->offset, insn->length, insn->offset, branch);
	for (size_t i = 0; i < n; i++) {
		fputs(branch ? " " : i ? ", " : " -> ", out);
		object_show_reference(out, object, first + i);
	}
}

void object_show_difference(FILE *out, const struct object_pairs *pairs, const struct object_piece *before,
			    const struct object_piece *after, enum object_same same,
			    const struct object_difference *d)
{
	const struct object_piece *pieces[2] = {before, after};
	if (d->opaque) {
		fputs("cannot be judged: its bytes are not all instructions", out);
		return;
	}
	const size_t *insn = same == OBJECT_SAME_BUT_LINES ? d->line : d->insn;
	if (same == OBJECT_SAME_BUT_LINES)
		fputs("only __LINE__ moved: ", out);
	for (int i = 0; i < 2; i++) {
		if (i)
			fputs(" became ", out);
		object_show_insn(out, pairs->side[i], pieces[i], insn[i]);
		if (insn[i] >= pieces[i]->n_insns)
			continue;
		uint64_t at = pieces[i]->insns[insn[i]].offset;
		uint32_t line = object_lines_of(pairs->side[i], pieces[i]->section, pieces[i]->offset + at);
		fprintf(out, " (+0x%" PRIx64, at);
		if (line)
			fprintf(out, ", line %u", line);
		fputc(')', out);
	}
}
