// SPDX-License-Identifier: MIT
#include "process/clobber/extern.h"

#include <string.h>

#include "process/elf/dynamic.h"

/* Functions with so many integer parameters, no others, and not variadic; sorted by name. */
static const struct {
	const char *name;
	unsigned parameters;
} known[] = {
	{"__cxa_end_catch", 0},
	{"__errno_location", 0},
	{"__stack_chk_fail", 0},
	{"abort", 0},
	{"calloc", 2},
	{"clock_gettime", 2},
	{"close", 1},
	{"exit", 1},
	{"fclose", 1},
	{"fflush", 1},
	{"fork", 0},
	{"free", 1},
	{"fwrite", 4},
	{"getenv", 1},
	{"getpid", 0},
	{"gettimeofday", 2},
	{"malloc", 1},
	{"memchr", 3},
	{"memcmp", 3},
	{"memcpy", 3},
	{"memmove", 3},
	{"memset", 3},
	{"pthread_mutex_lock", 1},
	{"pthread_mutex_unlock", 1},
	{"putchar", 1},
	{"puts", 1},
	{"read", 3},
	{"realloc", 2},
	{"strchr", 2},
	{"strcmp", 2},
	{"strcpy", 2},
	{"strdup", 1},
	{"strerror", 1},
	{"strlen", 1},
	{"strncmp", 3},
	{"strrchr", 2},
	{"strtol", 3},
	{"time", 1},
	{"write", 3},
};

static const char *slot_name(const struct text *text, uint64_t slot)
{
	const struct dynamic *dynamic = text->module ? module_dynamic(text->module) : NULL;
	for (size_t i = 0; dynamic && i < dynamic->n_slots; i++)
		if (dynamic->slots[i].address == slot && dynamic->slots[i].symbol)
			return dynamic_symbol_name(dynamic, dynamic->slots[i].symbol);
	return NULL;
}

clobber_set extern_parameters(const struct text *text, const struct insn *insn)
{
	static const uint8_t order[] = {CLOBBER_RDI, CLOBBER_RSI, CLOBBER_RDX,
					CLOBBER_RCX, CLOBBER_R8,  CLOBBER_R9};
	const char *name = insn->pointer ? slot_name(text, insn->pointer) : NULL;
	for (size_t i = 0; name && i < sizeof(known) / sizeof(*known); i++) {
		clobber_set set = 0;
		if (strcmp(known[i].name, name))
			continue;
		for (unsigned n = 0; n < known[i].parameters; n++)
			set |= CLOBBER_BIT(order[n]);
		return set;
	}
	return CLOBBER_ARGUMENTS;
}
