// SPDX-License-Identifier: MIT
/*
 * libFuzzer: all that is read of a target's files, its memory map, and its memory as far as link map and
 * slots go. tests/fuzz/run.sh elf SECONDS
 */
#include <stdlib.h>
#include <string.h>

#include "process/elf/dynamic.h"
#include "process/elf/module_new.h"
#include "process/elf/symbol_table.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FUNCTIONS_MAX 24

/* A target's memory is a hash of the address: as good as any that a hostile one has. */
int target_read(const struct target *target, uint64_t address, void *buf, size_t n)
{
	(void)target;
	if (address < 4096 || n > 65536)
		return -14;
	for (size_t i = 0; i < n; i++)
		((uint8_t *)buf)[i] = (uint8_t)((address + i) * 0x9e3779b97f4a7c15u >> 56);
	return 0;
}

static void fuzz_maps(const uint8_t *data, size_t size)
{
	struct maps maps;
	if (maps_parse((const char *)data, size, &maps) < 0)
		return;
	for (size_t i = 0; i < maps.n; i++) {
		if (maps_find(&maps, maps.v[i].start) != &maps.v[i] ||
		    maps_find(&maps, maps.v[i].end - 1) != &maps.v[i])
			abort();
		uint64_t gap = maps_find_gap(&maps, maps.v[i].start, maps.v[i].end, 65536, INT32_MAX);
		if (gap && (maps_find(&maps, gap) || maps_find(&maps, gap + 65535)))
			abort();
	}
	maps_deinit(&maps);
}

struct tried {
	struct module *module;
	const struct modules *modules;
	int n;
};

static int try_function(void *context, const struct symbol *symbol)
{
	struct tried *tried = context;
	struct range_set set = {0};
	struct symbol found;
	struct resolved resolved;
	usp_error_destroy(function_ranges(tried->module, symbol->address, symbol->size, &set));
	range_set_seal(&set);
	range_set_deinit(&set);
	if (!symbol_at(tried->module, symbol->address, &found) && symbol->size)
		abort();
	usp_error_destroy(symbol_find(tried->module, symbol->name, symbol->file, STT_FUNC, &found));
	usp_error_destroy(symbol_clones(tried->module, symbol->name, NULL, NULL, NULL, NULL));
	usp_error_destroy(symbol_resolve(tried->modules, tried->module, symbol->name, NULL, symbol->version,
					 &resolved));
	return ++tried->n >= FUNCTIONS_MAX;
}

static void fuzz_elf(const uint8_t *data, size_t size, uint64_t bias)
{
	static const struct target target = {.pid = 1, .procfd = -1, .memfd = -1};
	struct elf_file *elf;
	struct module *module;
	uint8_t bytes[64];
	if (elf_file_from_memory(data, size, &elf) < 0 || module_new(&target, elf, "fuzz", bias, &module) < 0)
		return;
	struct module *list[] = {module};
	struct modules modules = {.v = list, .n = 1, .target = &target};
	if (modules_order(&modules, 0) < 0)
		abort();
	usp_error_destroy(module_load(module));
	(void)module_same_in_memory(module);
	struct symbol symbol;
	struct resolved resolved;
	(void)symbol_at(module, module->start + 64, &symbol);
	usp_error_destroy(symbol_find(module, "function", "a.c", STT_FUNC, &symbol));
	usp_error_destroy(symbol_resolve(&modules, module, "memcpy", NULL, NULL, &resolved));
	struct tried tried = {module, &modules, 0};
	(void)symbols_each_function(module, try_function, &tried);
	const struct dynamic *dynamic = module_dynamic(module);
	for (size_t i = 0; i < dynamic->n_symbols && i < 64; i++) {
		const char *name = dynamic_symbol_name(dynamic, i);
		usp_error_destroy(symbol_resolve(&modules, module, name, NULL, NULL, &resolved));
	}
	for (size_t i = 0; i < module->n_phdr; i++) {
		if (module_read_file(module, module->phdr[i].p_vaddr, bytes, sizeof(bytes)) < 0)
			continue;
		const void *p = elf_file_at_address(module->elf, module->phdr[i].p_vaddr, 1);
		if (p && *(const uint8_t *)p != bytes[0])
			abort();
	}
	module_close(module);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!size)
		return 0;
	if (*data == 'm')
		fuzz_maps(data + 1, size - 1);
	else
		fuzz_elf(data + 1, size - 1,
			 *data & 1   ? UINT64_C(0x555555554000)
			 : *data & 2 ? -UINT64_C(0x1000)
				     : 0);
	return 0;
}
