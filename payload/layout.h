/* SPDX-License-Identifier: MIT */
/*
 * Where each thing of a payload lies in its image. Depends on the file alone: a place is counted for every
 * slot and word that may be needed, so that the size is known before the base is.
 */
#ifndef PAYLOAD_LAYOUT_H
#define PAYLOAD_LAYOUT_H

#include "payload/file.h"

#define PAYLOAD_PAGE	  4096u
#define PAYLOAD_SLOT_SIZE 8u /* ff 25 rel32, two int3 */

/* Fills in file->layout, and the offsets of sections and symbols. file is complete otherwise. */
_must_check_ struct usp_error *payload_layout(struct payload_file *file);

/* Whether symbol gets an entry in the image's own symbol table. */
bool payload_layout_names(const struct payload_file *file, const struct payload_symbol *symbol);

/* The ELF program headers and section headers that every image has room for. */
#define PAYLOAD_PROGRAM_HEADERS 6
#define PAYLOAD_OUTPUT_SECTIONS 12
#define PAYLOAD_OUTPUT_NAMES                                                                            \
	"\0.note.gnu.build-id\0.rodata\0.eh_frame_hdr\0.eh_frame\0.symtab\0.strtab\0.shstrtab\0.text\0" \
	".usplice.slots\0.data\0.bss"

#endif
