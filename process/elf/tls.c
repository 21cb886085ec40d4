// SPDX-License-Identifier: MIT
/*
 * The executable's block comes first, so its place follows from the file: it ends at the thread pointer, and
 * begins at the alignment of its segment. A library's place was chosen at run time; these slots tell it:
 *
 *   DTPMOD64  the module id (symbol 0: of the module that has the slot)
 *   TPOFF64   block + symbol + addend, from the thread pointer, so the block is static
 *   TLSDESC   the same in its second word, if its first points to the C library's function that just returns
 * that
 *
 * A slot that names a symbol speaks of the module that defines it; that is only clear if no other one does.
 */
#include "process/elf/tls.h"

#include <errno.h>
#include <string.h>

#include "process/slots.h"

#define MODULE_ID_MAX (UINT64_C(1) << 20)
#define OFFSET_MAX    (INT64_C(1) << 30)

static const Elf64_Phdr *tls_segment(const struct module *module)
{
	for (size_t i = 0; i < module->n_phdr; i++)
		if (module->phdr[i].p_type == PT_TLS)
			return &module->phdr[i];
	return NULL;
}

/* The least distance of the block's start from the thread pointer that holds it and is aligned as the file
 * says. */
static bool executable_block(const Elf64_Phdr *segment, int64_t *ret)
{
	uint64_t align = segment->p_align ? segment->p_align : 1;
	if ((align & (align - 1)) || align > (UINT64_C(1) << 30) || segment->p_memsz > (uint64_t)OFFSET_MAX)
		return false;
	uint64_t size = segment->p_memsz + ((0 - segment->p_vaddr - segment->p_memsz) & (align - 1));
	*ret = -(int64_t)size;
	return true;
}

static bool defines_tls(struct module *module, const char *name)
{
	struct symbol_table *table;
	struct usp_error *error = symbol_table_dynamic(module, &table);
	if (error) {
		usp_error_destroy(error);
		return true; /* perhaps */
	}
	for (const struct entry *e = symbol_set_first(&table->dynamic, name); e;
	     e = symbol_set_next(&table->dynamic, e))
		if (e->type == STT_TLS && e->binding != STB_LOCAL)
			return true;
	return false;
}

/* The dynamic TLS symbol that the slot names, if it is defined in `module` and nowhere else. */
static const struct entry *slot_symbol(const struct modules *modules, struct module *module, const char *name)
{
	struct symbol_table *table;
	struct usp_error *error = symbol_table_dynamic(module, &table);
	const struct entry *found = NULL;
	if (error) {
		usp_error_destroy(error);
		return NULL;
	}
	for (const struct entry *e = symbol_set_first(&table->dynamic, name); e;
	     e = symbol_set_next(&table->dynamic, e)) {
		if (e->type != STT_TLS || e->binding == STB_LOCAL)
			continue;
		if (found && found->value != e->value)
			return NULL; /* two versions of it */
		found = e;
	}
	for (size_t i = 0; found && i < modules->n; i++)
		if (modules->v[i] != module && modules->v[i]->fd >= 0 && defines_tls(modules->v[i], name))
			return NULL;
	return found;
}

/* [endbr64] mov 8(%rax),%rax; ret: the resolver of a descriptor whose variable lies in the static block. */
static bool returns_argument(const struct target *target, uint64_t address)
{
	static const uint8_t body[] = {0x48, 0x8b, 0x40, 0x08, 0xc3}, mark[] = {0xf3, 0x0f, 0x1e, 0xfa};
	uint8_t code[sizeof(mark) + sizeof(body)];
	if (target_read(target, address, code, sizeof(code)) < 0)
		return false;
	return memcmp(code, body, sizeof(body)) == 0 ||
	       (memcmp(code, mark, sizeof(mark)) == 0 &&
		memcmp(code + sizeof(mark), body, sizeof(body)) == 0);
}

struct known {
	uint64_t id;
	bool is_static;
	int64_t block;
};

static void learn_block(struct known *known, uint64_t value, uint64_t symbol_value, int64_t addend)
{
	int64_t block = (int64_t)(value - symbol_value - (uint64_t)addend);
	if (block < 0 && block > -OFFSET_MAX) {
		known->block = block;
		known->is_static = true;
	}
}

static void learn(struct known *known, const struct module *from, const struct slot *slot,
		  uint64_t symbol_value)
{
	uint64_t value, argument;
	switch (slot->type) {
	case R_X86_64_DTPMOD64:
		if (slot_read(from, slot, 0, &value) && value > 0 && value < MODULE_ID_MAX)
			known->id = value;
		break;
	case R_X86_64_TPOFF64:
		if (slot_read(from, slot, 0, &value) && value)
			learn_block(known, value, symbol_value, slot->addend);
		break;
	case R_X86_64_TLSDESC:
		if (slot_read(from, slot, 0, &value) && slot_read(from, slot, 8, &argument) &&
		    returns_argument(from->target, value))
			learn_block(known, argument, symbol_value, slot->addend);
		break;
	default:
		break;
	}
}

static bool is_tls_slot(const struct slot *slot)
{
	return slot->type == R_X86_64_DTPMOD64 || slot->type == R_X86_64_TPOFF64 ||
	       slot->type == R_X86_64_TLSDESC;
}

/*
 * All slots that speak of module: its own without a symbol, and those that name the variable or, in the
 * module itself, any other variable of it.
 */
static int learn_from_slots(const struct modules *modules, struct module *module, const char *name,
			    struct known *known)
{
	for (size_t i = 0; i < modules->n; i++) {
		struct module *from = modules->v[i];
		const struct dynamic *dynamic = module_dynamic(from);
		if (!dynamic)
			return -ENOMEM;
		for (size_t j = 0; j < dynamic->n_slots && !(known->id && known->is_static); j++) {
			const struct slot *slot = &dynamic->slots[j];
			if (!is_tls_slot(slot))
				continue;
			const char *named = slot->symbol ? dynamic_symbol_name(dynamic, slot->symbol) : NULL;
			if (!named) {
				if (from == module)
					learn(known, from, slot, 0);
				continue;
			}
			if (from != module && strcmp(named, name) != 0)
				continue;
			const struct entry *entry = slot_symbol(modules, module, named);
			if (entry)
				learn(known, from, slot, entry->value);
		}
	}
	return 0;
}

int tls_resolve(const struct modules *modules, struct module *module, const char *name, uint64_t offset,
		struct resolved *ret)
{
	const Elf64_Phdr *segment = tls_segment(module);
	struct known known = {0};
	ret->tls_offset = offset;
	if (!segment)
		return 0;
	if (module->is_main) {
		known.id = 1;
		known.is_static = executable_block(segment, &known.block);
	} else {
		int r = learn_from_slots(modules, module, name, &known);
		if (r < 0)
			return r;
	}
	ret->tls_module = known.id;
	ret->tls_static = known.is_static;
	ret->tls_tpoff = known.is_static ? known.block + (int64_t)offset : 0;
	return 0;
}
