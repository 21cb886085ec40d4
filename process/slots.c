// SPDX-License-Identifier: MIT
#include "process/slots.h"

#include <string.h>

#include "process/branch.h"

bool slot_read(const struct module *module, const struct slot *slot, uint64_t offset, uint64_t *ret)
{
	return module->target &&
	       target_read(module->target, slot->address + module->bias + offset, ret, sizeof(*ret)) == 0;
}

bool slot_names(const struct dynamic *dynamic, const struct slot *slot, const char *name, const char *version)
{
	if (!slot->symbol || strcmp(dynamic_symbol_name(dynamic, slot->symbol), name) != 0)
		return false;
	const char *own = version ? dynamic_symbol_version(dynamic, slot->symbol, NULL) : NULL;
	return !version || (own && strcmp(own, version) == 0);
}

static bool binds(const struct slot *slot)
{
	return slot->type == R_X86_64_GLOB_DAT || slot->type == R_X86_64_JUMP_SLOT ||
	       (slot->type == R_X86_64_64 && slot->addend == 0);
}

bool slots_bind(struct module *module, const char *name)
{
	const struct dynamic *dynamic = module_dynamic(module);
	for (size_t i = 0; dynamic && i < dynamic->n_slots; i++)
		if (binds(&dynamic->slots[i]) && slot_names(dynamic, &dynamic->slots[i], name, NULL))
			return true;
	return false;
}

static bool in_plt_section(struct elf_file *file, uint64_t address)
{
	static const char *const names[] = {".plt", ".plt.got", ".plt.sec", ".iplt"};
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		const Elf64_Shdr *section = elf_file_section(file, names[i]);
		if (section && address >= section->sh_addr && address - section->sh_addr < section->sh_size)
			return true;
	}
	return false;
}

/* [endbr64] then jmp *slot(%rip), or the lazy half: push $n; jmp to the first entry. */
static bool looks_like_stub(const struct branch_decoder *decoder, struct elf_file *file, uint64_t address)
{
	for (int i = 0; i < 3; i++) {
		struct step step;
		uint64_t extent = elf_file_extent(file, address);
		uint64_t n = extent < BRANCH_INSTRUCTION_MAX ? extent : BRANCH_INSTRUCTION_MAX;
		const uint8_t *bytes = n ? elf_file_at_address(file, address, n) : NULL;
		if (!bytes || !branch_decode(decoder, bytes, n, address, &step))
			return false;
		if (step.is_branch)
			return step.by_slot;
		if (bytes[0] == 0x68 && n > 5) /* push $imm32: no compiler begins a function so */
			return true;
		if (!step.is_landmark)
			return false;
		address += step.length;
	}
	return false;
}

bool is_linkage_stub(struct module *module, uint64_t address)
{
	if (in_plt_section(module->elf, address))
		return true;
	struct branch_decoder *decoder = branch_decoder_create();
	bool is = !decoder || looks_like_stub(decoder, module->elf, address); /* unknown: do not believe it */
	branch_decoder_destroy(decoder);
	return is;
}

/* The definition of name in the module that holds value, if it explains that value. */
static struct module *explain(const struct modules *modules, uint64_t value, const char *name,
			      const char *version, const struct entry **ret)
{
	struct module *module = value ? modules_find_address(modules, value) : NULL;
	struct symbol_table *table;
	struct usp_error *error = module ? symbol_table_dynamic(module, &table) : NULL;
	if (!module || error) {
		usp_error_destroy(error);
		return NULL;
	}
	for (const struct entry *e = symbol_set_first(&table->dynamic, name); e;
	     e = symbol_set_next(&table->dynamic, e)) {
		uint64_t link = value - module->bias;
		if (e->binding == STB_LOCAL || e->type == STT_TLS ||
		    (version && e->version && strcmp(e->version, version) != 0))
			continue;
		if (e->type == STT_GNU_IFUNC ? link != e->value && elf_file_is_code(module->elf, link, 1) &&
						       !is_linkage_stub(module, link)
					     : link == e->value) {
			*ret = e;
			return module;
		}
	}
	return NULL;
}

struct module *slots_bound(const struct modules *modules, struct module *module, const char *name,
			   const char *version, const struct entry **entry)
{
	const struct dynamic *dynamic = module_dynamic(module);
	for (size_t i = 0; dynamic && i < dynamic->n_slots; i++) {
		const struct slot *slot = &dynamic->slots[i];
		uint64_t value;
		if (!binds(slot) || !slot_names(dynamic, slot, name, version) ||
		    !slot_read(module, slot, 0, &value))
			continue;
		const char *bound = dynamic_symbol_version(dynamic, slot->symbol, NULL);
		struct module *found = explain(modules, value, name, bound, entry);
		if (found)
			return found;
	}
	return NULL;
}

static bool is_implementation(struct module *module, const struct entry *ifunc, uint64_t value)
{
	uint64_t link = value - module->bias;
	return value >= module->start && value < module->end && link != ifunc->value &&
	       elf_file_is_code(module->elf, link, 1) && !is_linkage_stub(module, link);
}

uint64_t slots_ifunc(const struct modules *modules, struct module *module, const struct entry *ifunc)
{
	uint64_t found = 0;
	for (size_t i = 0; i < modules->n; i++) {
		struct module *from = modules->v[i];
		const struct dynamic *dynamic = module_dynamic(from);
		for (size_t j = 0; dynamic && j < dynamic->n_slots; j++) {
			const struct slot *slot = &dynamic->slots[j];
			bool relative = from == module && slot->type == R_X86_64_IRELATIVE &&
					(uint64_t)slot->addend == ifunc->value;
			uint64_t value;
			/* A local IFUNC is nobody else's; a global one may be bound by the same name and
			 * version. */
			if (!relative && (ifunc->binding == STB_LOCAL || !binds(slot) ||
					  !slot_names(dynamic, slot, ifunc->name, ifunc->version)))
				continue;
			if (!slot_read(from, slot, 0, &value) || !is_implementation(module, ifunc, value))
				continue;
			if (found && found != value)
				return 0; /* they disagree: ask the resolver */
			found = value;
		}
	}
	return found;
}
