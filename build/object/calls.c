// SPDX-License-Identifier: MIT
#include "build/object/calls.h"

#include <dwarf.h>
#include <elfutils/libdw.h>
#include <stdlib.h>

#define STEPS_MAX (1u << 23) /* a sibling may be said to lie before */
#define DEPTH_MAX 256

static bool add(struct object_calls *calls, Dwarf_Word line)
{
	if (!line || line > UINT32_MAX || (calls->n && calls->lines[calls->n - 1] == line))
		return true;
	if (!object_grow(&calls->lines, calls->n, &calls->capacity, sizeof(*calls->lines)))
		return false;
	calls->lines[calls->n++] = (uint32_t)line;
	return true;
}

/* A unit's entries, each after what it lies in. */
static bool read_unit(struct object_calls *calls, const Dwarf_Die *unit, unsigned *steps)
{
	Dwarf_Die stack[DEPTH_MAX];
	int depth = 0;
	stack[0] = *unit;
	while (depth >= 0) {
		Dwarf_Attribute attr;
		Dwarf_Word line;
		if (++*steps > STEPS_MAX)
			return false;
		if (dwarf_tag(&stack[depth]) == DW_TAG_inlined_subroutine &&
		    dwarf_attr(&stack[depth], DW_AT_call_line, &attr) && !dwarf_formudata(&attr, &line) &&
		    !add(calls, line))
			return false;
		if (depth + 1 == DEPTH_MAX)
			return false;
		int r = dwarf_child(&stack[depth], &stack[depth + 1]);
		if (!r) {
			depth++;
			continue;
		}
		for (; r >= 0 && depth >= 0; depth--) {
			r = depth ? dwarf_siblingof(&stack[depth], &stack[depth]) : 1;
			if (!r)
				break;
		}
		if (r < 0)
			return false;
	}
	return true;
}

static bool read_all(struct object_calls *calls, Dwarf *dwarf)
{
	Dwarf_CU *cu = NULL;
	Dwarf_Die unit;
	unsigned steps = 0;
	int r;
	while (!(r = dwarf_get_units(dwarf, cu, &cu, NULL, NULL, &unit, NULL)))
		if (!read_unit(calls, &unit, &steps))
			return false;
	return r == 1;
}

static int by_number(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return x < y ? -1 : x > y;
}

/* Nothing of it is relocated: call lines need no relocation, and one unit's abbreviations are the table's first. */
static void read_lines(struct object_calls *calls, const struct object *object)
{
	calls->is_read = true;
	elf_version(EV_CURRENT);
	Elf *elf = elf_memory((char *)object->data, object->size);
	Dwarf *dwarf = elf ? dwarf_begin_elf(elf, DWARF_C_READ, NULL) : NULL;
	if (!dwarf || !read_all(calls, dwarf))
		calls->n = 0;
	if (calls->n)
		qsort(calls->lines, calls->n, sizeof(*calls->lines), by_number);
	dwarf_end(dwarf);
	elf_end(elf);
}

bool object_calls_have(const struct object *object, uint64_t line)
{
	if (!object->calls->is_read)
		read_lines(object->calls, object);
	uint32_t wanted = (uint32_t)line;
	return line <= UINT32_MAX && object->calls->n &&
	       bsearch(&wanted, object->calls->lines, object->calls->n, sizeof(wanted), by_number);
}
