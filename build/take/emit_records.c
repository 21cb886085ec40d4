// SPDX-License-Identifier: MIT
/* The records of a payload (docs/payload-format.md), as far as they do not follow from the target: emit_records(). */
#include <string.h>

#include "build/take/emit_internal.h"

static void text(FILE *out, unsigned *n, const char *string)
{
	fprintf(out, "\n\t.section .rodata,\"a\",@progbits\n.Lrecord%u:\n", (*n)++);
	emit_bytes(out, (const uint8_t *)string, strlen(string) + 1);
}

/* has_witness is set; the rest of the record is filled in later (fill.c). */
static void function_record(FILE *out, const struct take *take, size_t object, uint32_t piece, unsigned *n)
{
	const struct take_object *o = &take->objects[object];
	const struct object *before = o->diff->side[OBJECT_BEFORE];
	const struct object_piece *old = &before->pieces[o->diff->pairs.other[OBJECT_AFTER][piece]];
	text(out, n, old->name);
	fprintf(out,
		"\n\t.section .usplice.funcs,\"a\",@progbits\n\t.balign 8\n\t.quad .Lrecord%u\n\t.quad "
		"0\n\t.quad ",
		*n - 1);
	emit_label(out, take, object, piece);
	fprintf(out, "\n\t.long 0, 0\n\t.quad 0x%llx\n\t.quad 0x%llx\n\t.zero 33\n\t.byte 1\n\t.zero 46\n",
		(unsigned long long)take_original(o, piece), (unsigned long long)old->size);
}

void emit_records(FILE *out, const struct take *take)
{
	unsigned n = 0;
	for (size_t i = 0; i < take->n; i++)
		for (uint32_t k = 0; k < take->objects[i].diff->side[OBJECT_AFTER]->n_pieces; k++)
			if (take_replaces(&take->objects[i], k))
				function_record(out, take, i, k, &n);
	for (size_t i = 0; i < take->n_imports; i++) {
		const struct take_import *import = &take->imports[i];
		if (import->weak) {
			fputs("\t.weak ", out);
			emit_symbol(out, import->name);
			fputs("\n", out);
		}
		if (!import->by_address)
			continue;
		text(out, &n, import->name);
		fprintf(out,
			"\n\t.section .usplice.symbols,\"a\",@progbits\n\t.balign 8\n\t.quad "
			".Lrecord%u\n\t.quad 0\n"
			"\t.quad 0x%llx\n\t.byte 1,0,0,0,0,0,0,0\n",
			n - 1, (unsigned long long)import->address);
	}
}
