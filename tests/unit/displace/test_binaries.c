// SPDX-License-Identifier: MIT
/*
 * Every function of at least ten large binaries as Debian ships them: a pad for its first instruction (the
 * gate's trap), for five bytes (a jump) and for as many as a site may have, each compared with the original
 * by decoding both. What may be refused is counted by reason, and for the first instruction nothing may be.
 */
#include <glob.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "process/displace.h"
#include "process/elf/module.h"
#include "process/elf/symbol_table.h"
#include "same.h"

#define BINARIES_MIN	10
#define BINARIES_MAX	20
#define SIZE_MIN	(1 << 20) /* bytes of a large file */
#define FUNCTIONS_MAX	200000	  /* looked at in a file; of more, every second, third, … */
#define PAD_BELOW	0x100000  /* bytes between a pad and the module, as usplice would map it */
#define ENTERS_SIZE_MAX 4096	  /* bytes of a function that is searched for jumps into its site */

/* What scripts/packages.txt brings first. The first match of each pattern is taken. */
static const char *const patterns[] = {
	"/usr/lib/x86_64-linux-gnu/libc.so.6",
	"/usr/lib/x86_64-linux-gnu/libstdc++.so.6",
	"/usr/lib/x86_64-linux-gnu/libcrypto.so.3",
	"/usr/lib/x86_64-linux-gnu/libpython3.*.so.1*",
	"/usr/bin/python3.1[0-9]",
	"/usr/lib/gcc/x86_64-linux-gnu/*/cc1",
	"/usr/lib/gcc/x86_64-linux-gnu/*/cc1plus",
	"/usr/lib/x86_64-linux-gnu/libLLVM-*.so.1",
	"/usr/lib/x86_64-linux-gnu/libclang-cpp.so.*",
	"/usr/bin/redis-server",
	"/usr/sbin/nginx",
	"/usr/bin/gdb",
	"/usr/bin/qemu-aarch64",
	"/usr/bin/perl",
	"/usr/bin/bash",
	"/usr/bin/perf",
	"/usr/bin/git",
	"/usr/lib/postgresql/*/bin/postgres",
	"/usr/lib/x86_64-linux-gnu/libgnutls.so.30",
	"/usr/lib/x86_64-linux-gnu/libsqlite3.so.0",
	"/usr/lib/gcc/x86_64-linux-gnu/*/lto1",
	"/usr/bin/ld.lld-*",
};

/* The refusals of process/displace.h that compiled code can meet, by what their messages say. */
static const char *const reasons[] = {
	"it would return into the bytes that are being rewritten",
	"into the middle of another that is displaced",
	"its operand lies in the bytes that are being rewritten",
	"no instruction can be decoded",
};
#define N_REASONS (sizeof(reasons) / sizeof(*reasons))

struct count {
	size_t functions, first, five, longest, too_short, not_code, searched, entered;
	size_t refused[N_REASONS], refused_longest[N_REASONS];
};

static struct {
	dev_t device;
	ino_t inode;
} seen[BINARIES_MAX];
static size_t n_seen;

/* False: refused. */
static bool check(const char *path, const uint8_t *code, size_t n, uint64_t address, size_t length,
		  uint64_t pad_address, struct count *count)
{
	uint8_t pad[DISPLACE_MAX];
	size_t size, covered;
	struct usp_error *error = displace(code, n, address, length, pad_address, pad, &size, &covered);
	if (!error) {
		const char *what = same_differs(code, n, address, length, pad_address, pad, size, covered);
		if (what)
			fail_msg("%s: 0x%" PRIx64 ", %zu bytes: differs in %s", path, address, length, what);
		return true;
	}
	assert_int_equal(error->code, USP_UNSUPPORTED);
	if (length == 1)
		fail_msg("%s: its first instruction: %s", path, error->message);
	size_t reason = 0;
	while (reason < N_REASONS && !strstr(error->message, reasons[reason]))
		reason++;
	if (reason == N_REASONS)
		fail_msg("%s: 0x%" PRIx64 ", %zu bytes: %s", path, address, length, error->message);
	if (length == DISPLACE_SITE_MAX)
		count->refused_longest[reason]++;
	else
		count->refused[reason]++;
	usp_error_destroy(error);
	return false;
}

/* The function that begins at start, whose end is known only if it is beyond. */
static void check_function(const char *path, struct elf_file *elf, uint64_t start, uint64_t end,
			   uint64_t bias, uint64_t pad_address, struct count *count)
{
	uint64_t extent = elf_file_extent(elf, start);
	size_t n = 4 + DISPLACE_SITE_MAX + DISPLACE_LOOK_AHEAD, length = 5;
	if (extent < n)
		n = (size_t)extent;
	const uint8_t *code = n ? elf_file_at_address(elf, start, n) : NULL;
	if (!code || !elf_file_is_code(elf, start, n)) {
		count->not_code++;
		return;
	}
	count->functions++;
	count->first += check(path, code, n, start + bias, 1, pad_address, count);
	uint64_t site = start;
	if (n >= 4 && !memcmp(code, "\xf3\x0f\x1e\xfa", 4))
		site += 4;
	size_t skipped = (size_t)(site - start);
	if ((end > start && end - site < length) || n < skipped + length) {
		count->too_short++;
		return;
	}
	count->five += check(path, code + skipped, n - skipped, site + bias, length, pad_address, count);
	if (end > start && end - site >= DISPLACE_SITE_MAX)
		count->longest += check(path, code + skipped, n - skipped, site + bias, DISPLACE_SITE_MAX,
					pad_address, count);
	if (end <= start || end - start > ENTERS_SIZE_MAX || end - start > extent)
		return;
	const uint8_t *whole = elf_file_at_address(elf, start, end - start);
	assert_non_null(whole);
	count->searched++;
	count->entered +=
		displace_enters_site(whole, (size_t)(end - start), start + bias, site + bias, length);
}

/* Symbols and unwind entries, merged: where both begin, once. */
static void check_functions(struct module *module, const struct symbol_table *table, struct count *count)
{
	size_t n = table->n_functions + table->fdes.n, stride = 1 + n / FUNCTIONS_MAX, i = 0, j = 0, k = 0;
	uint64_t bias = module->ehdr.e_type == ET_DYN ? 0x7f1200000000u : 0, lowest = UINT64_MAX;
	for (size_t h = 0; h < module->n_phdr; h++)
		if (module->phdr[h].p_type == PT_LOAD && module->phdr[h].p_vaddr < lowest)
			lowest = module->phdr[h].p_vaddr;
	uint64_t pad_address = lowest + bias - PAD_BELOW;
	while (i < table->n_functions || j < table->fdes.n) {
		const struct function *function = i < table->n_functions ? &table->functions[i] : NULL;
		const struct fde *fde = j < table->fdes.n ? &table->fdes.v[j] : NULL;
		uint64_t start =
			!fde || (function && function->start <= fde->start) ? function->start : fde->start;
		uint64_t end = 0;
		for (; i < table->n_functions && table->functions[i].start == start; i++)
			end = table->functions[i].end;
		for (; j < table->fdes.n && table->fdes.v[j].start == start; j++)
			if (end <= start)
				end = table->fdes.v[j].end;
		if (k++ % stride == 0)
			check_function(module->path, module->elf, start, end, bias, pad_address, count);
	}
}

static bool is_new(const struct stat *stat)
{
	for (size_t i = 0; i < n_seen; i++)
		if (seen[i].device == stat->st_dev && seen[i].inode == stat->st_ino)
			return false;
	seen[n_seen].device = stat->st_dev;
	seen[n_seen++].inode = stat->st_ino;
	return true;
}

static void add(struct count *sum, const struct count *count)
{
	sum->functions += count->functions;
	sum->first += count->first;
	sum->five += count->five;
	sum->longest += count->longest;
	sum->too_short += count->too_short;
	sum->not_code += count->not_code;
	sum->searched += count->searched;
	sum->entered += count->entered;
	for (size_t i = 0; i < N_REASONS; i++) {
		sum->refused[i] += count->refused[i];
		sum->refused_longest[i] += count->refused_longest[i];
	}
}

static void print(const char *path, const struct count *count)
{
	print_message(
		"# %s: %zu functions; pads: %zu for the first instruction, %zu for 5 bytes, %zu for %d\n",
		path, count->functions, count->first, count->five, count->longest, DISPLACE_SITE_MAX);
	print_message("#     %zu shorter than 5 bytes, %zu not code; site entered in %zu of %zu searched\n",
		      count->too_short, count->not_code, count->entered, count->searched);
	for (size_t i = 0; i < N_REASONS; i++)
		if (count->refused[i] || count->refused_longest[i])
			print_message("#     refused for 5 bytes %zu, for %d %zu: %s\n", count->refused[i],
				      DISPLACE_SITE_MAX, count->refused_longest[i], reasons[i]);
}

static void test_binaries(void **state)
{
	(void)state;
	struct count sum = {0};
	for (size_t i = 0; i < sizeof(patterns) / sizeof(*patterns) && n_seen < BINARIES_MAX; i++) {
		glob_t found;
		struct stat stat_of;
		if (glob(patterns[i], 0, NULL, &found)) {
			print_message("# %s: not here\n", patterns[i]);
			continue;
		}
		const char *path = found.gl_pathv[0];
		if (stat(path, &stat_of) == 0 && stat_of.st_size >= SIZE_MIN && is_new(&stat_of)) {
			struct count count = {0};
			struct module *module;
			struct symbol_table *table;
			struct usp_error *error = module_open_file(path, &module);
			if (error)
				fail_msg("%s", error->message);
			error = symbol_table_functions(module, &table);
			if (error)
				fail_msg("%s", error->message);
			check_functions(module, table, &count);
			print(path, &count);
			if (!count.functions)
				fail_msg("%s has no functions", path);
			add(&sum, &count);
			module_close(module);
		}
		globfree(&found);
	}
	print("all", &sum);
	if (n_seen < BINARIES_MIN)
		fail_msg("only %zu of %d large binaries are here; scripts/packages.txt names the packages",
			 n_seen, BINARIES_MIN);
	assert_int_equal(sum.first, sum.functions);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_binaries)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
