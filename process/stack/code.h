/* SPDX-License-Identifier: MIT */
/*
 * What is known about the code in a target, for walking stacks: CFI and names of each module and of each
 * payload image, by runtime address. Payload images are read from the target's memory; modules from
 * module.h's copies.
 */
#ifndef PROCESS_STACK_CODE_H
#define PROCESS_STACK_CODE_H

#include <elfutils/libdw.h>
#include <libelf.h>

#include "process/stack/stack.h"
#include "process/elf/symbols.h"

struct stack_object {
	uint64_t start, end, bias;
	const char *name;
	struct module *module; /* NULL: a payload image */
	uint8_t *image;	       /* copy of the image, else NULL */
	bool opened;	       /* the following are what there is */
	Elf *elf;
	Dwarf_CFI *eh;	  /* .eh_frame, or NULL */
	Dwarf *dwarf;	  /* only where there is .debug_frame, else NULL */
	Dwarf_CFI *debug; /* owned by dwarf */
};

struct stack_code {
	struct stack_object *v; /* modules, ascending by start, then images */
	size_t n_modules, n;
};

_must_check_ struct usp_error *stack_code_open(const struct target *target, const struct modules *modules,
					       const struct stack_image *images, size_t n_images,
					       struct stack_code *ret);
void stack_code_close(struct stack_code *code);
/* Loads every module's CFI, which otherwise is done for the first address in it that is asked for. */
void stack_code_prepare(struct stack_code *code);

/* The CFI row that covers a runtime address: malloc'd, or NULL when there is none. */
Dwarf_Frame *stack_code_row(struct stack_code *code, uint64_t address);

/* "name+0x12 (module)" for a frame's address; exact: not a return address. */
void stack_code_describe(struct stack_code *code, uint64_t pc, bool exact, char *buf, size_t size);

#endif
