// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include "helper.h"

#include <Zydis/Zydis.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "process/elf/symbol_table.h"

static void ranges_of(struct module *module, const char *name, const char *file, struct range_set *set)
{
	struct symbol symbol;
	ok(symbol_find(module, name, file, STT_FUNC, &symbol));
	*set = (struct range_set){0};
	ok(function_ranges(module, symbol.address, symbol.size, set));
	range_set_seal(set);
	assert_non_null(range_set_find(set, symbol.address));
	assert_non_null(range_set_find(set, symbol.address + symbol.size - 1));
}

static void check_split(const char *name)
{
	struct module *module;
	struct symbol cold, whole;
	struct range_set set;
	ok(module_open_file(victim_path(name), &module));
	ok(symbol_find(module, "risky.cold", NULL, STT_FUNC, &cold));
	ranges_of(module, "risky", NULL, &set);
	assert_int_equal(set.n, 2);
	assert_non_null(range_set_find(&set, cold.address));
	assert_non_null(range_set_find(&set, cold.address + cold.size - 1));
	assert_null(range_set_find(&set, cold.address + cold.size));
	range_set_deinit(&set);
	/* Tail calls and calls are none of it. */
	ranges_of(module, "exported_function", NULL, &set);
	ok(symbol_find(module, "exported_function", NULL, STT_FUNC, &whole));
	assert_int_equal(set.n, 1);
	assert_int_equal(set.v[0].start, whole.address);
	assert_int_equal(set.v[0].end, whole.address + whole.size);
	range_set_deinit(&set);
	module_close(module);
}

static void test_pie(void **state)
{
	(void)state;
	check_split("elf_pie");
}
static void test_nopie(void **state)
{
	(void)state;
	check_split("elf_nopie");
}
static void test_static(void **state)
{
	(void)state;
	check_split("elf_static");
}
static void test_musl(void **state)
{
	(void)state;
	check_split("elf_musl");
}

/* The names are gone: the FDE of .cold is found by the jumps to and from it. */
static void test_stripped(void **state)
{
	struct module *named, *stripped;
	struct range_set with, without = {0};
	struct symbol risky;
	char path[128];
	(void)state;
	const char *directory = make_directory();
	snprintf(path, sizeof(path), "%s/v", directory);
	run("strip -o %s '%s'", path, victim_path("elf_pie"));
	ok(module_open_file(victim_path("elf_pie"), &named));
	ok(module_open_file(path, &stripped));
	ranges_of(named, "risky", NULL, &with);
	ok(symbol_find(named, "risky", NULL, STT_FUNC, &risky));
	ok(function_ranges(stripped, risky.address, risky.size, &without));
	range_set_seal(&without);
	assert_int_equal(with.n, without.n);
	assert_memory_equal(with.v, without.v, with.n * sizeof(*with.v));
	range_set_deinit(&with);
	range_set_deinit(&without);
	/* Size 0: the FDE's. */
	ok(function_ranges(stripped, risky.address, 0, &without));
	assert_true(without.n >= 2);
	range_set_deinit(&without);
	fails(function_ranges(stripped, risky.address + 1, 0, &without), USP_NOT_FOUND);
	fails(function_ranges(stripped, risky.address, UINT64_MAX, &without), USP_NOT_FOUND);
	fails(function_ranges(stripped, 0, 100, &without), USP_NOT_FOUND);
	fails(function_ranges(stripped, UINT64_MAX - 5, 5, &without), USP_NOT_FOUND);
	module_close(named);
	module_close(stripped);
	run("rm -r %s", directory);
}

/*
 * Odd code, in assembly: parts named and not, jumps into the middle of another function, code without any
 * description, data between instructions, a jump table to a part, landing pads.
 */
static void test_odd_code(void **state)
{
	struct module *module;
	struct range_set set;
	struct symbol a, b;
	char path[128];
	(void)state;
	const char *directory = make_directory();
	snprintf(path, sizeof(path), "%s/x.s", directory);
	FILE *f = fopen(path, "w");
	fputs(".text\n"
	      ".macro F name\n.globl \\name\n.type \\name,@function\n\\name:\n.cfi_startproc\n.endm\n"
	      ".macro E name\n.cfi_endproc\n.size \\name,.-\\name\n.endm\n"
	      "F into_middle\n test %edi,%edi\n jne inside\n ret\nE into_middle\n"
	      ".skip 16,0x90\n"
	      "F middle\n nop\n nop\ninside: nop\n ret\nE middle\n"
	      ".skip 16,0x90\n"
	      "F tail\n nop\n jmp middle\nE tail\n"
	      ".skip 16,0x90\n"
	      "F bare\n nop\n jmp nowhere\nE bare\n"
	      ".skip 16,0x90\n"
	      "nowhere: nop\n nop\n jmp nowhere2\n"
	      ".skip 16,0x90\n"
	      "nowhere2: test %edi,%edi\n je nowhere\n ret\n"
	      ".skip 16,0x90\n"
	      "F data\n ret\n .byte 0x06,0x06,0x06\nE data\n"
	      ".skip 16,0x90\n"
	      "F via_plt\n jmp outside@PLT\nE via_plt\n"
	      "F parts\n ret\nE parts\n"
	      ".type parts.part.0,@function\nparts.part.0: jmp 1f\n .size parts.part.0,.-parts.part.0\n"
	      ".skip 16,0x90\n"
	      ".type parts.part.0.cold,@function\nparts.part.0.cold: nop\n1: ret\n .size "
	      "parts.part.0.cold,.-parts.part.0.cold\n"
	      ".type parts.constprop.0,@function\nparts.constprop.0: ret\n .size "
	      "parts.constprop.0,.-parts.constprop.0\n"
	      ".skip 16,0x90\n"
	      "F table\n jmp *%rax\nback: ret\nE table\n"
	      ".skip 16,0x90\n"
	      ".cfi_startproc\nonly_by_table: nop\n jmp back\n.cfi_endproc\n"
	      ".skip 16,0x90\n"
	      "F looping\n1: nop\n loop 1b\n jrcxz 1b\n jmp looping\nE looping\n",
	      f);
	fclose(f);
	run("cd %s && gcc -shared -nostdlib -o x.so x.s", directory);
	snprintf(path, sizeof(path), "%s/x.so", directory);
	ok(module_open_file(path, &module));
	ranges_of(module, "into_middle", NULL, &set);
	ok(symbol_find(module, "middle", NULL, STT_FUNC, &a));
	assert_non_null(range_set_find(&set, a.address));
	range_set_deinit(&set);
	ranges_of(module, "tail", NULL, &set);
	assert_int_equal(set.n, 1);
	range_set_deinit(&set);
	ranges_of(module, "via_plt", NULL, &set);
	assert_int_equal(set.n, 1);
	range_set_deinit(&set);
	ranges_of(module, "looping", NULL, &set);
	assert_int_equal(set.n, 1);
	range_set_deinit(&set);
	ranges_of(module, "bare", NULL, &set);
	assert_int_equal(set.n, 3);
	ok(symbol_find(module, "nowhere", NULL, STT_NOTYPE, &a));
	ok(symbol_find(module, "nowhere2", NULL, STT_NOTYPE, &b));
	assert_int_equal(range_set_find(&set, a.address)->start, a.address);
	assert_int_equal(range_set_find(&set, b.address)->start, b.address);
	assert_null(range_set_find(&set, b.address + 5));
	range_set_deinit(&set);
	ranges_of(module, "parts", NULL, &set);
	ok(symbol_find(module, "parts.part.0", NULL, STT_FUNC, &a));
	assert_non_null(range_set_find(&set, a.address));
	ok(symbol_find(module, "parts.part.0.cold", NULL, STT_FUNC, &a));
	assert_non_null(range_set_find(&set, a.address));
	ok(symbol_find(module, "parts.constprop.0", NULL, STT_FUNC, &b));
	assert_null(range_set_find(&set, b.address));
	range_set_deinit(&set);
	ok(symbol_find(module, "data", NULL, STT_FUNC, &a));
	set = (struct range_set){0};
	const char *message = fails(function_ranges(module, a.address, a.size, &set), USP_UNSUPPORTED);
	assert_non_null(strstr(message, "cannot decode"));
	ok(symbol_find(module, "table", NULL, STT_FUNC, &a));
	ok(symbol_find(module, "only_by_table", NULL, STT_NOTYPE, &b));
	module_close(module);
	/* Stripped, only the way back tells that it belongs. */
	run("strip %s", path);
	ok(module_open_file(path, &module));
	ok(function_ranges(module, a.address, a.size, &set));
	range_set_seal(&set);
	assert_non_null(range_set_find(&set, b.address));
	range_set_deinit(&set);
	module_close(module);
	run("rm -r %s", directory);
}

/* C++: a function that catches; the parts that only the unwinder enters. */
static void test_landing_pads(void **state)
{
	struct module *module;
	struct range_set set;
	struct symbol symbol;
	char path[128];
	(void)state;
	const char *directory = make_directory();
	snprintf(path, sizeof(path), "%s/x.so", directory);
	if (system("command -v g++ >/dev/null") != 0)
		skip();
	run("cd %s && printf 'void f(int); struct D { ~D(); }; extern \"C\" int catcher(int x) { try { D d; "
	    "f(x); } catch (int e) { return e; } return x; }' > x.cc && "
	    "g++ -O2 -fPIC -shared -o x.so x.cc",
	    directory);
	ok(module_open_file(path, &module));
	ok(symbol_find(module, "catcher.cold", NULL, STT_FUNC, &symbol));
	ranges_of(module, "catcher", NULL, &set);
	assert_non_null(range_set_find(&set, symbol.address));
	size_t n = set.n;
	range_set_deinit(&set);
	uint64_t cold = symbol.address;
	module_close(module);
	run("strip %s", path);
	ok(module_open_file(path, &module));
	ranges_of(module, "catcher", NULL, &set);
	assert_int_equal(set.n, n);
	assert_non_null(range_set_find(&set, cold));
	range_set_deinit(&set);
	module_close(module);
	run("rm -r %s", directory);
}

struct sweep {
	struct module *module;
	struct symbol_table *table;
	ZydisDecoder decoder;
	size_t functions, refused, multipart, unaccounted;
	uint64_t largest;
};

/* By another reading of the code: no direct jump may leave the ranges but to where a function (or a stub)
 * begins. */
static void account(struct sweep *sweep, const struct range_set *set, const char *name)
{
	for (size_t i = 0; i < set->n; i++) {
		size_t n = set->v[i].end - set->v[i].start, at = 0;
		uint8_t *code = malloc(n);
		assert_int_equal(module_read_file(sweep->module, set->v[i].start, code, n), 0);
		while (at < n) {
			ZydisDecodedInstruction insn;
			ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
			ZyanU64 target;
			struct symbol symbol;
			if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&sweep->decoder, code + at, n - at, &insn,
								 operands)))
				break;
			uint64_t here = set->v[i].start + at;
			at += insn.length;
			if (insn.meta.branch_type == ZYDIS_BRANCH_TYPE_NONE ||
			    insn.meta.category == ZYDIS_CATEGORY_CALL ||
			    insn.meta.category == ZYDIS_CATEGORY_RET ||
			    operands[0].type != ZYDIS_OPERAND_TYPE_IMMEDIATE ||
			    !ZYAN_SUCCESS(ZydisCalcAbsoluteAddress(&insn, &operands[0], here, &target)) ||
			    range_set_find(set, target))
				continue;
			if (symbol_at(sweep->module, target, &symbol) && symbol.address == target &&
			    *symbol.name)
				continue;
			uint8_t stub[16];
			if (module_read_file(sweep->module, target, stub, 16) == 0 &&
			    (memcmp(stub, "\xff\x25", 2) == 0 ||
			     memcmp(stub, "\xf3\x0f\x1e\xfa\xff\x25", 6) == 0 ||
			     memcmp(stub, "\xf3\x0f\x1e\xfa\xf2\xff\x25", 7) == 0))
				continue;
			/* A label without type or size that the linker keeps for assembly. */
			ssize_t f = function_before(sweep->table, target);
			if (f >= 0 && sweep->table->functions[f].start == target)
				continue;
			print_message("# %s: jump at 0x%lx to 0x%lx\n", name, here, (uint64_t)target);
			sweep->unaccounted++;
		}
		free(code);
	}
}

static int sweep_one(void *context, const struct symbol *symbol)
{
	struct sweep *sweep = context;
	struct range_set set = {0};
	if (!symbol->size)
		return 0;
	struct usp_error *error = function_ranges(sweep->module, symbol->address, symbol->size, &set);
	sweep->functions++;
	if (error) {
		sweep->refused++;
		usp_error_destroy(error);
	} else {
		range_set_seal(&set);
		sweep->multipart += set.n > 1;
		uint64_t total = 0;
		for (size_t i = 0; i < set.n; i++)
			total += set.v[i].end - set.v[i].start;
		if (total - symbol->size > sweep->largest && total > symbol->size)
			sweep->largest = total - symbol->size;
		account(sweep, &set, symbol->name);
	}
	range_set_deinit(&set);
	return 0;
}

/* The linkage table has an FDE of its own, and is no function. */
static bool fde_is_linkage(const struct sweep *sweep, const struct fde *fde)
{
	const Elf64_Shdr *text = elf_file_section(sweep->module->elf, ".text");
	return fde->start < text->sh_addr || fde->start >= text->sh_addr + text->sh_size;
}

static uint64_t now_us(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static void sweep_file(const char *path)
{
	struct sweep sweep = {0};
	struct symbol first;
	if (access(path, R_OK) != 0)
		skip();
	uint64_t start = now_us();
	ok(module_open_file(path, &sweep.module));
	uint64_t opened = now_us();
	ok(symbol_table_functions(sweep.module, &sweep.table));
	uint64_t loaded = now_us();
	assert_true(sweep.table->fdes.complete);
	(void)symbol_at(sweep.module, sweep.table->functions[0].start, &first);
	ZydisDecoderInit(&sweep.decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	symbols_each_function(sweep.module, sweep_one, &sweep);
	/* What has no name counts as well. */
	for (size_t i = 0; i < sweep.table->fdes.n; i++) {
		const struct fde *fde = &sweep.table->fdes.v[i];
		struct symbol symbol = {.name = "", .address = fde->start, .size = fde->end - fde->start};
		if (!sweep.table->has_symtab && !fde_is_linkage(&sweep, fde))
			sweep_one(&sweep, &symbol);
	}
	print_message(
		"# %s: open %lu us, load %lu us, %zu functions in %lu us (%zu with parts, %zu refused), "
		"%zu FDEs, largest part %lu bytes\n",
		path, opened - start, loaded - opened, sweep.functions, now_us() - loaded, sweep.multipart,
		sweep.refused, sweep.table->fdes.n, sweep.largest);
	assert_int_equal(sweep.unaccounted, 0);
	assert_true(sweep.functions > 0);
	assert_true(sweep.refused * 100 <= sweep.functions);
	module_close(sweep.module);
}

static void test_redis(void **state)
{
	(void)state;
	sweep_file("/usr/bin/redis-server");
}
static void test_nginx(void **state)
{
	(void)state;
	sweep_file("/usr/sbin/nginx");
}
static void test_libc(void **state)
{
	(void)state;
	sweep_file("/lib/x86_64-linux-gnu/libc.so.6");
}
static void test_memcached(void **state)
{
	(void)state;
	sweep_file("/usr/bin/memcached");
}
static void test_static_libc(void **state)
{
	(void)state;
	sweep_file(victim_path("elf_static"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pie),	     cmocka_unit_test(test_nopie),
		cmocka_unit_test(test_static),	     cmocka_unit_test(test_musl),
		cmocka_unit_test(test_stripped),     cmocka_unit_test(test_odd_code),
		cmocka_unit_test(test_landing_pads), cmocka_unit_test(test_redis),
		cmocka_unit_test(test_nginx),	     cmocka_unit_test(test_libc),
		cmocka_unit_test(test_memcached),    cmocka_unit_test(test_static_libc),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
