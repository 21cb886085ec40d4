// SPDX-License-Identifier: MIT
/*
 * The order in which the target's dynamic linker looks symbols up: its link map, found through DT_DEBUG of
 * the executable, or through _r_debug of the dynamic linker when that was started as a program. Read from the
 * target's memory, hence hostile: the walk is bounded and follows only what leads to known modules.
 */
#include "process/elf/module_new.h"

#include <errno.h>
#include <string.h>

#include "process/elf/dynamic.h"

#define STRANGERS_MAX 64u /* entries that are none of our modules */

/* What <link.h> and musl agree on. */
struct link_entry {
	uint64_t address, name, dynamic, next, previous;
};
struct link_head {
	int32_t version, padding;
	uint64_t map;
};

static uint64_t runtime_dynamic(const struct module *module)
{
	for (size_t i = 0; i < module->n_phdr; i++)
		if (module->phdr[i].p_type == PT_DYNAMIC)
			return module->phdr[i].p_vaddr + module->bias;
	return 0;
}

static uint64_t read_head(const struct target *target, uint64_t address)
{
	struct link_head head;
	if (!address || target_read(target, address, &head, sizeof(head)) < 0 || head.version < 1)
		return 0;
	return head.map;
}

static uint64_t head_from_debug_tag(struct module *module)
{
	const struct dynamic *dynamic = module_dynamic(module);
	uint64_t pointer;
	if (!dynamic || !dynamic->has_debug ||
	    target_read(module->target, dynamic->debug_address + module->bias, &pointer, sizeof(pointer)) < 0)
		return 0;
	return read_head(module->target, pointer);
}

static uint64_t head_from_symbol(struct module *module)
{
	const struct dynamic *dynamic = module_dynamic(module);
	for (size_t i = 1; dynamic && i < dynamic->n_symbols; i++)
		if (dynamic->symbols[i].st_shndx != SHN_UNDEF &&
		    strcmp(dynamic_symbol_name(dynamic, i), "_r_debug") == 0)
			return read_head(module->target, dynamic->symbols[i].st_value + module->bias);
	return 0;
}

static uint64_t find_head(struct modules *modules, size_t main_index)
{
	uint64_t head = main_index < modules->n ? head_from_debug_tag(modules->v[main_index]) : 0;
	for (size_t i = 0; !head && i < modules->n; i++)
		if (modules->v[i]->elf && strncmp(modules->v[i]->name, "ld", 2) == 0)
			head = head_from_symbol(modules->v[i]);
	return head;
}

static void move_to(struct modules *modules, size_t from, size_t to)
{
	struct module *module = modules->v[from];
	memmove(&modules->v[to + 1], &modules->v[to], (from - to) * sizeof(*modules->v));
	modules->v[to] = module;
}

/* The not yet ordered module whose dynamic section this is; n when there is none. */
static size_t find_by_dynamic(const struct modules *modules, size_t first, uint64_t address)
{
	size_t i = first;
	while (i < modules->n && runtime_dynamic(modules->v[i]) != address)
		i++;
	return i;
}

int modules_order(struct modules *modules, size_t main_index)
{
	uint64_t at = find_head(modules, main_index);
	size_t strangers = 0;
	if (main_index < modules->n)
		modules->v[main_index]->is_main = true;
	while (at && modules->n_linked < modules->n && strangers < STRANGERS_MAX) {
		struct link_entry entry;
		if (target_read(modules->target, at, &entry, sizeof(entry)) < 0)
			break;
		size_t i = entry.dynamic ? find_by_dynamic(modules, modules->n_linked, entry.dynamic)
					 : modules->n;
		if (i < modules->n)
			move_to(modules, i, modules->n_linked++);
		else
			strangers++;
		at = entry.next;
	}
	if (modules->n_linked) {
		for (size_t i = 0; i < modules->n; i++)
			modules->v[i]->is_main = i == 0;
	} else if (main_index < modules->n) {
		move_to(modules, main_index, 0);
	}
	return 0;
}
