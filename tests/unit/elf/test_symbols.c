// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include "helper.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "process/elf/nearest.h"
#include "process/elf/symbol_table.h"

static void test_edit_distance(void **state)
{
	(void)state;
	assert_int_equal(edit_distance("abc", 3, "abc", 3, 3), 0);
	assert_int_equal(edit_distance("abc", 3, "abd", 3, 3), 1);
	assert_int_equal(edit_distance("abc", 3, "ab", 2, 3), 1);
	assert_int_equal(edit_distance("abc", 3, "xabc", 4, 3), 1);
	assert_int_equal(edit_distance("kitten", 6, "sitting", 7, 3), 3);
	assert_int_equal(edit_distance("kitten", 6, "sitting", 7, 2), 3);
	assert_int_equal(edit_distance("", 0, "abc", 3, 3), 3);
	assert_int_equal(edit_distance("abcdef", 6, "a", 1, 3), 4);
	struct nearest nearest;
	char text[64];
	nearest_init(&nearest, "process_request");
	const char *const names[] = {"process_reqest", "other",	       "process_requests", "process_request2",
				     "process_reqest", "proces_reqst", "Process_request",  "process_repuest",
				     "process_reque",  "prcs_request"};
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		nearest_offer(&nearest, names[i]);
	assert_int_equal(nearest.n, NEAREST_MAX);
	for (size_t i = 0; i < nearest.n; i++)
		assert_int_equal(nearest.v[i].distance, 1);
	nearest_format(&nearest, text, sizeof(text));
	assert_non_null(strstr(text, "process_reqest, process_requests"));
	nearest_init(&nearest, "x");
	nearest_offer(&nearest, "y");
	assert_int_equal(nearest.n, 0);
}

static void check_at(struct victim *victim, const char *name, const char *said)
{
	struct symbol symbol;
	uint64_t address = victim_says(victim, said);
	struct module *module = modules_find_address(victim->modules, address);
	assert_true(symbol_at(module, address, &symbol));
	assert_string_equal(symbol.name, name);
	assert_int_equal(symbol.address, address);
	assert_true(symbol.size > 0);
	assert_true(symbol_at(module, address + symbol.size - 1, &symbol));
	assert_string_equal(symbol.name, name);
}

static void check_form(const char *name)
{
	struct victim victim;
	struct symbol symbol;
	victim_start(&victim, victim_path(name), NULL);
	struct module *m = victim.modules->v[0];
	ok(symbol_find(m, "main", NULL, STT_FUNC, &symbol));
	assert_int_equal(symbol.address, victim_says(&victim, "main"));
	ok(symbol_find(m, "exported_function", NULL, STT_FUNC, &symbol));
	assert_int_equal(symbol.address, victim_says(&victim, "exported_function"));
	assert_int_equal(symbol.binding, STB_GLOBAL);
	ok(symbol_find(m, "exported_data", NULL, STT_OBJECT, &symbol));
	assert_int_equal(symbol.address, victim_says(&victim, "exported_data"));
	assert_int_equal(symbol.size, 20);
	ok(symbol_find(m, "only_here", NULL, STT_FUNC, &symbol));
	assert_int_equal(symbol.address, victim_says(&victim, "only_here"));
	assert_string_equal(symbol.file, "victim_a.c");
	ok(symbol_find(m, "tls_first", NULL, STT_TLS, &symbol));
	assert_true(symbol.address < 256);
	/* Two of a name. */
	const char *message = fails(symbol_find(m, "twin", NULL, STT_FUNC, &symbol), USP_AMBIGUOUS);
	assert_non_null(strstr(message, "victim_a.c"));
	assert_non_null(strstr(message, "victim_b.c"));
	ok(symbol_find(m, "twin", "victim_a.c", STT_FUNC, &symbol));
	assert_int_equal(symbol.address, victim_says(&victim, "twin_a"));
	ok(symbol_find(m, "twin", "src/victim_b.c", STT_FUNC, &symbol));
	assert_int_equal(symbol.address, victim_says(&victim, "twin_b"));
	message = fails(symbol_find(m, "twin", "ictim_b.c", STT_FUNC, &symbol), USP_NOT_FOUND);
	assert_non_null(strstr(message, "victim_a.c"));
	fails(symbol_find(m, "only_here", "victim_b.c", STT_FUNC, &symbol), USP_NOT_FOUND);
	ok(symbol_find(m, "exported_function", "victim_b.c", STT_FUNC,
		       &symbol)); /* no file is known of a global */
	/* The class counts. */
	fails(symbol_find(m, "exported_data", NULL, STT_FUNC, &symbol), USP_NOT_FOUND);
	fails(symbol_find(m, "exported_function", NULL, STT_OBJECT, &symbol), USP_NOT_FOUND);
	ok(symbol_find(m, "exported_data", NULL, STT_NOTYPE, &symbol));
	message = fails(symbol_find(m, "exported_functoin", NULL, STT_FUNC, &symbol), USP_NOT_FOUND);
	assert_non_null(strstr(message, "near it: exported_function"));
	fails(symbol_find(m, "", NULL, STT_FUNC, &symbol), USP_NOT_FOUND);
	fails(symbol_find(m, "@", NULL, STT_FUNC, &symbol), USP_NOT_FOUND);
	message = fails(symbol_find(m, "\033[2Jx", NULL, STT_FUNC, &symbol), USP_NOT_FOUND);
	assert_null(strchr(message, '\033'));
	check_at(&victim, "main", "main");
	check_at(&victim, "only_here", "only_here");
	check_at(&victim, "twin", "twin_a");
	assert_false(symbol_at(m, m->start, &symbol));
	victim_stop(&victim);
}

static void test_pie(void **state)
{
	(void)state;
	check_form("elf_pie");
}
static void test_nopie(void **state)
{
	(void)state;
	check_form("elf_nopie");
}
static void test_now(void **state)
{
	(void)state;
	check_form("elf_now");
}
static void test_clang(void **state)
{
	(void)state;
	check_form("elf_clang");
}
static void test_static(void **state)
{
	(void)state;
	check_form("elf_static");
}
static void test_static_pie(void **state)
{
	(void)state;
	check_form("elf_static_pie");
}
static void test_musl(void **state)
{
	(void)state;
	check_form("elf_musl");
}
static void test_musl_static(void **state)
{
	(void)state;
	check_form("elf_musl_static");
}

static void test_versions(void **state)
{
	struct victim victim;
	struct symbol symbol;
	(void)state;
	victim_start(&victim, victim_path("elf_pie"), NULL);
	struct module *lib = victim_module(&victim, "libvictim.so");
	ok(symbol_find(lib, "versioned", NULL, STT_FUNC, &symbol));
	assert_int_equal(symbol.address, victim_says(&victim, "versioned_two"));
	assert_string_equal(symbol.version, "V2");
	ok(symbol_find(lib, "versioned@V1", NULL, STT_FUNC, &symbol));
	assert_int_equal(symbol.address, victim_says(&victim, "versioned_one"));
	ok(symbol_find(lib, "versioned@@V2", NULL, STT_FUNC, &symbol));
	fails(symbol_find(lib, "versioned@V3", NULL, STT_FUNC, &symbol), USP_NOT_FOUND);
	struct module *libc = victim_module(&victim, "libc.so.6");
	ok(symbol_find(libc, "malloc", NULL, STT_FUNC, &symbol));
	assert_true(symbol.size > 16);
	ok(symbol_find(libc, "memcpy", NULL, STT_FUNC, &symbol));
	assert_string_equal(symbol.version, "GLIBC_2.14");
	assert_int_equal(symbol.type, STT_GNU_IFUNC);
	ok(symbol_find(libc, "memcpy@GLIBC_2.2.5", NULL, STT_FUNC, &symbol));
	struct module *vdso = victim_module(&victim, "[vdso]");
	ok(symbol_find(vdso, "__vdso_clock_gettime", NULL, STT_FUNC, &symbol));
	assert_true(symbol.address >= vdso->start && symbol.address < vdso->end);
	victim_stop(&victim);
}

/* Stripped: .dynsym and FDEs only; then with debug files in each of the places. */
static void test_stripped(void **state)
{
	struct victim victim;
	struct symbol symbol;
	char path[128], debug[256];
	(void)state;
	const char *directory = make_directory();
	snprintf(path, sizeof(path), "%s/elf_pie", directory);
	run("cp '%s' %s/", victim_path("libvictim.so"), directory);
	run("cp '%s' %s && objcopy --only-keep-debug %s %s.debug && strip %s", victim_path("elf_pie"), path,
	    path, path, path);
	victim_start(&victim, path, NULL);
	struct module *m = victim.modules->v[0];
	ok(symbol_find(m, "exported_function", NULL, STT_FUNC, &symbol));
	const char *message = fails(symbol_find(m, "only_here", NULL, STT_FUNC, &symbol), USP_NOT_FOUND);
	assert_non_null(strstr(message, ".build-id/"));
	uint64_t only_here = victim_says(&victim, "only_here");
	assert_true(symbol_at(m, only_here + 1, &symbol));
	assert_string_equal(symbol.name, "");
	assert_int_equal(symbol.address, only_here);
	uint64_t size = symbol.size;
	victim_stop(&victim);

	/* By the link: beside it, in .debug, and a wrong one. */
	static const char *const places[] = {"elf_pie.debug", ".debug/elf_pie.debug"};
	for (int i = 0; i < 2; i++) {
		run("cd %s && objcopy --remove-section=.gnu_debuglink elf_pie && objcopy "
		    "--add-gnu-debuglink=elf_pie.debug elf_pie && "
		    "mkdir -p .debug && { [ %d = 0 ] || mv elf_pie.debug .debug/; }",
		    directory, i);
		victim_start(&victim, path, NULL);
		m = victim.modules->v[0];
		ok(symbol_find(m, "only_here", NULL, STT_FUNC, &symbol));
		assert_int_equal(symbol.address, victim_says(&victim, "only_here"));
		assert_int_equal(symbol.size, size);
		assert_string_equal(symbol.file, "victim_a.c");
		ok(symbol_find(m, "twin", "victim_b.c", STT_FUNC, &symbol));
		assert_int_equal(symbol.address, victim_says(&victim, "twin_b"));
		victim_stop(&victim);
		/* Another build's debug file is not taken. */
		snprintf(debug, sizeof(debug), "%s/%s", directory, places[i]);
		run("cp %s %s.keep && objcopy --only-keep-debug '%s' %s", debug, debug,
		    victim_path("elf_nopie"), debug);
		victim_start(&victim, path, NULL);
		fails(symbol_find(victim.modules->v[0], "only_here", NULL, STT_FUNC, &symbol), USP_NOT_FOUND);
		victim_stop(&victim);
		run("mv %s.keep %s", debug, debug);
	}
	run("rm -r %s", directory);
}

/* No build-id: the checksum decides. */
static void test_debug_link_crc(void **state)
{
	struct module *module;
	struct symbol symbol;
	char path[128];
	(void)state;
	const char *directory = make_directory();
	snprintf(path, sizeof(path), "%s/v", directory);
	run("cd %s && cp '%s' v && objcopy --only-keep-debug v v.debug && strip v && objcopy "
	    "--add-gnu-debuglink=v.debug v",
	    directory, victim_path("elf_noid"));
	ok(module_open_file(path, &module));
	assert_int_equal(module->bias, 0);
	ok(symbol_find(module, "only_here", NULL, STT_FUNC, &symbol));
	module_close(module);
	run("printf x >> %s/v.debug", directory);
	ok(module_open_file(path, &module));
	fails(symbol_find(module, "only_here", NULL, STT_FUNC, &symbol), USP_NOT_FOUND);
	module_close(module);
	run("rm -r %s", directory);
}

/* A target in a chroot: its debug file lies below its root, by build-id. */
static void test_chroot(void **state)
{
	struct victim victim;
	struct symbol symbol;
	char hex[2 * BUILD_ID_MAX + 1], evil[128];
	struct module *module;
	(void)state;
	if (geteuid() != 0)
		skip();
	const char *directory = make_directory();
	run("cp '%s' %s/v", victim_path("elf_static_pie"), directory);
	snprintf(evil, sizeof(evil), "%s/v", directory);
	ok(module_open_file(evil, &module));
	build_id_format(module->build_id, module->build_id_size, hex);
	module_close(module);
	run("cd %s && mkdir -p usr/lib/debug/.build-id/%.2s && objcopy --only-keep-debug v d && strip v && "
	    "ln -s /d usr/lib/debug/.build-id/%.2s/%s.debug",
	    directory, hex, hex, hex + 2);
	victim_start(&victim, "/v", directory);
	ok(symbol_find(victim.modules->v[0], "only_here", NULL, STT_FUNC, &symbol));
	assert_int_equal(symbol.address, victim_says(&victim, "only_here"));
	victim_stop(&victim);
	/* A link out of the root to the true file, and a fifo in its place. */
	int pid = (int)getpid();
	run("cd %s && mv d /tmp/usplice-evil-%d && ln -s /../../../tmp/usplice-evil-%d d", directory, pid,
	    pid);
	for (int i = 0; i < 2; i++) {
		victim_start(&victim, "/v", directory);
		fails(symbol_find(victim.modules->v[0], "only_here", NULL, STT_FUNC, &symbol), USP_NOT_FOUND);
		victim_stop(&victim);
		run("cd %s && rm d && mkfifo d 2>/dev/null", directory);
	}
	run("rm -r %s /tmp/usplice-evil-%d", directory, pid);
}

static int count(void *context, const struct symbol *symbol)
{
	struct {
		int n;
		const char *wanted;
		uint64_t address;
	} *c = context;
	c->n++;
	if (c->wanted && strcmp(symbol->name, c->wanted) == 0)
		c->address = symbol->address;
	return 0;
}

static int stop(void *context, const struct symbol *symbol)
{
	(void)context;
	(void)symbol;
	return 42;
}

static void test_each_and_clones(void **state)
{
	struct victim victim;
	size_t n;
	struct {
		int n;
		const char *wanted;
		uint64_t address;
	} c = {.wanted = "only_here"};
	(void)state;
	victim_start(&victim, victim_path("elf_pie"), NULL);
	struct module *m = victim.modules->v[0];
	assert_int_equal(symbols_each_function(m, count, &c), 0);
	assert_true(c.n > 10);
	assert_int_equal(c.address, victim_says(&victim, "only_here"));
	assert_int_equal(symbols_each_function(m, stop, NULL), 42);
	ok(symbol_clones(m, "cloned", NULL, NULL, NULL, &n));
	assert_int_equal(n, 1);
	ok(symbol_clones(m, "cloned", "victim_a.c", NULL, NULL, &n));
	assert_int_equal(n, 1);
	ok(symbol_clones(m, "cloned", "victim_b.c", NULL, NULL, &n));
	assert_int_equal(n, 0);
	ok(symbol_clones(m, "risky", NULL, NULL, NULL, &n)); /* its .cold is no clone */
	assert_int_equal(n, 0);
	victim_stop(&victim);
}

static void test_files(void **state)
{
	struct module *module;
	struct symbol symbol;
	char path[128];
	uint8_t byte[16];
	(void)state;
	ok(module_open_file(victim_path("elf_nopie"), &module));
	assert_int_equal(module->bias, 0);
	ok(symbol_find(module, "main", NULL, STT_FUNC, &symbol));
	assert_int_equal(module_read_file(module, symbol.address, byte, 16), 0);
	assert_int_equal(module_read_file(module, 0, byte, 1), -14);
	assert_int_equal(module_read_file(module, module->end - 1, byte, 16), -14);
	assert_int_equal(module_read_file(module, UINT64_MAX, byte, 16), -14);
	assert_int_equal(module_read_file(module, symbol.address, byte, SIZE_MAX), -14);
	module_close(module);
	fails(module_open_file("/nowhere/x", &module), USP_NOT_FOUND);
	fails(module_open_file("/dev/null", &module), USP_UNSUPPORTED);
	fails(module_open_file("/etc/passwd", &module), USP_UNSUPPORTED);
	fails(module_open_file("/", &module), USP_UNSUPPORTED);
	const char *directory = make_directory();
	snprintf(path, sizeof(path), "%s/fifo", directory);
	assert_int_equal(mkfifo(path, 0600), 0);
	fails(module_open_file(path, &module), USP_UNSUPPORTED);
	run("cd %s && printf 'int x;' | gcc -xc -c -o o.o -", directory);
	snprintf(path, sizeof(path), "%s/o.o", directory);
	fails(module_open_file(path, &module), USP_UNSUPPORTED);
	run("rm -r %s", directory);
	assert_true(file_matches("a.c", "src/a.c") && file_matches("src/a.c", "a.c") &&
		    file_matches("a.c", "a.c"));
	assert_true(file_matches("/src/a.c", "/x/src/a.c"));
	assert_false(file_matches("a.c", "ba.c") || file_matches("", "a.c") ||
		     file_matches("b/a.c", "c/a.c"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_edit_distance), cmocka_unit_test(test_pie),
		cmocka_unit_test(test_nopie),	      cmocka_unit_test(test_now),
		cmocka_unit_test(test_clang),	      cmocka_unit_test(test_static),
		cmocka_unit_test(test_static_pie),    cmocka_unit_test(test_musl),
		cmocka_unit_test(test_musl_static),   cmocka_unit_test(test_versions),
		cmocka_unit_test(test_stripped),      cmocka_unit_test(test_debug_link_crc),
		cmocka_unit_test(test_chroot),	      cmocka_unit_test(test_each_and_clones),
		cmocka_unit_test(test_files),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
