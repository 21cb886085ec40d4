// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include "helper.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "process/elf/dynamic.h"

static struct resolved find(const struct victim *victim, struct module *from, const char *name,
			    const char *file, const char *version)
{
	struct resolved r;
	ok(symbol_resolve(victim->modules, from, name, file, version, &r));
	return r;
}

static void check_says(const struct victim *victim, struct module *from, const char *name, const char *file,
		       const char *version, const char *said)
{
	struct resolved r = find(victim, from, name, file, version);
	if (r.address != victim_says(victim, said))
		fail_msg("%s is 0x%lx, not 0x%lx (%s)", name, r.address, victim_says(victim, said), said);
	assert_ptr_equal(r.module, modules_find_address(victim->modules, r.address));
}

static void check_tls(const struct victim *victim, struct module *from, const char *name, const char *said)
{
	struct resolved r = find(victim, from, name, NULL, NULL);
	assert_int_equal(r.type, STT_TLS);
	assert_true(r.tls_static);
	assert_int_equal(r.tls_tpoff, (int64_t)victim_says(victim, said));
}

/* What is true of the executable in every form. */
static void check_main(const struct victim *victim)
{
	struct module *m = victim->modules->v[0];
	struct resolved r;
	check_says(victim, m, "main", NULL, NULL, "main");
	check_says(victim, m, "exported_function", NULL, NULL, "exported_function");
	check_says(victim, m, "only_here", NULL, NULL, "only_here");
	check_says(victim, m, "only_here", "victim_a.c", NULL, "only_here");
	check_says(victim, m, "twin", "victim_a.c", NULL, "twin_a");
	check_says(victim, m, "twin", "victim_b.c", NULL, "twin_b");
	check_says(victim, m, "exported_data", NULL, NULL, "exported_data");
	check_tls(victim, m, "tls_first", "tls_first");
	check_tls(victim, m, "tls_second", "tls_second");
	check_tls(victim, m, "tls_third", "tls_third");
	assert_int_equal(find(victim, m, "tls_first", NULL, NULL).tls_module, 1);
	fails(symbol_resolve(victim->modules, m, "twin", NULL, NULL, &r), USP_AMBIGUOUS);
	fails(symbol_resolve(victim->modules, m, "twin", "other.c", NULL, &r), USP_NOT_FOUND);
	fails(symbol_resolve(victim->modules, m, "only_here", "", NULL, &r), USP_NOT_FOUND);
	fails(symbol_resolve(victim->modules, m, "exported_funktion", "", NULL, &r), USP_NOT_FOUND);
}

static void check_linked(const char *name)
{
	struct victim victim;
	struct resolved r;
	victim_start(&victim, victim_path(name), NULL);
	struct module *m = victim.modules->v[0], *lib = victim_module(&victim, "libvictim.so");
	check_main(&victim);
	for (int i = 0; i < 2; i++) {
		struct module *from = i ? lib : m;
		check_says(&victim, from, "late", NULL, NULL, "late");
		check_says(&victim, from, "versioned", NULL, NULL, "versioned_two");
		check_says(&victim, from, "versioned", NULL, "V1", "versioned_one");
		check_says(&victim, from, "chosen", NULL, NULL, "implementation_two");
		check_says(&victim, from, "copied", NULL, NULL, "copied");
		check_says(&victim, from, "interposed", NULL, NULL, "interposed");
		r = find(&victim, from, "protected_function", NULL, NULL);
		assert_ptr_equal(r.module, lib);
		r = find(&victim, from, "malloc", NULL, NULL);
		assert_string_equal(r.module->name, "libc.so.6");
		r = find(&victim, from, "memcpy", NULL, NULL);
		assert_string_equal(r.module->name, "libc.so.6");
		assert_true(r.address || r.ifunc_resolver);
		r = find(&victim, from, "strlen", NULL, NULL); /* libc's own slots have it */
		assert_int_equal(r.ifunc_resolver, 0);
		assert_ptr_equal(modules_find_address(victim.modules, r.address), r.module);
		fails(symbol_resolve(victim.modules, from, "versioned", NULL, "V9", &r), USP_NOT_FOUND);
	}
	/* Hidden: only from inside. */
	check_says(&victim, lib, "hidden_function", NULL, NULL, "hidden_function");
	fails(symbol_resolve(victim.modules, m, "hidden_function", NULL, NULL, &r), USP_NOT_FOUND);
	fails(symbol_resolve(victim.modules, m, "implementation_one", NULL, NULL, &r), USP_NOT_FOUND);
	/* The library's block is static, for it has an initial-exec variable; all variables of it follow. */
	check_tls(&victim, lib, "tls_ie", "tls_ie");
	check_tls(&victim, lib, "tls_gd", "tls_gd");
	check_tls(&victim, lib, "tls_ld", "tls_ld");
	check_tls(&victim, m, "tls_gd", "tls_gd");
	r = find(&victim, lib, "tls_gd", NULL, NULL);
	assert_int_equal(r.tls_module, 2);
	/* libc: errno's block. */
	r = find(&victim, m, "getpid", NULL, NULL);
	assert_string_equal(r.module->name, "libc.so.6");
	r = find(&victim, victim_module(&victim, "libc.so.6"), "errno", NULL, "GLIBC_PRIVATE");
	assert_int_equal(r.type, STT_TLS);
	assert_true(r.tls_static && r.tls_tpoff < 0);
	victim_stop(&victim);
}

static void test_pie(void **state)
{
	(void)state;
	check_linked("elf_pie");
}
static void test_nopie(void **state)
{
	(void)state;
	check_linked("elf_nopie");
}
static void test_now(void **state)
{
	(void)state;
	check_linked("elf_now");
}
static void test_clang(void **state)
{
	(void)state;
	check_linked("elf_clang");
}

static void check_alone(const char *name, bool ifunc)
{
	struct victim victim;
	victim_start(&victim, victim_path(name), NULL);
	struct module *m = victim.modules->v[0];
	check_main(&victim);
	check_says(&victim, m, "interposed", NULL, NULL, "interposed");
	if (ifunc) {
		check_says(&victim, m, "main_chosen", NULL, NULL, "main_implementation");
		assert_int_equal(find(&victim, m, "main_chosen", NULL, NULL).type, STT_FUNC);
		assert_true(find(&victim, m, "main_chosen", NULL, NULL).size > 0);
	}
	victim_stop(&victim);
}

static void test_static(void **state)
{
	(void)state;
	check_alone("elf_static", true);
}
static void test_static_pie(void **state)
{
	(void)state;
	check_alone("elf_static_pie", true);
}
static void test_musl(void **state)
{
	(void)state;
	check_alone("elf_musl", false);
}
static void test_musl_static(void **state)
{
	(void)state;
	check_alone("elf_musl_static", false);
}

/* The library linked with -Bsymbolic binds to itself. */
static void test_symbolic(void **state)
{
	struct victim victim;
	char path[128];
	(void)state;
	const char *directory = make_directory();
	snprintf(path, sizeof(path), "%s/elf_pie", directory);
	run("cp '%s' %s", victim_path("elf_pie"), path);
	run("cp '%s' %s/libvictim.so", victim_path("libsymbolic.so"), directory);
	victim_start(&victim, path, NULL);
	assert_int_equal(victim_says(&victim, "lib_interposed"), 40);
	struct module *lib = victim_module(&victim, "libvictim.so");
	assert_ptr_equal(find(&victim, lib, "interposed", NULL, NULL).module, lib);
	check_says(&victim, victim.modules->v[0], "interposed", NULL, NULL, "interposed");
	victim_stop(&victim);
	run("rm -r %s", directory);
}

/* Nobody has bound it yet: the resolver is handed out. And a slot that was tampered with is not believed. */
static void test_ifunc_unbound(void **state)
{
	struct victim victim;
	struct resolved r;
	(void)state;
	victim_start(&victim, victim_path("elf_nopie"), NULL);
	struct module *libc = victim_module(&victim, "libc.so.6");
	size_t unbound = 0, bound = 0;
	static const char *const names[] = {"memcpy",	    "strlen",	    "strchr",  "wcsnlen",
					    "strpbrk",	    "strcspn",	    "wmemset", "time",
					    "gettimeofday", "strcasecmp_l", "memmem",  "stpncpy"};
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		struct symbol symbol;
		ok(symbol_resolve(victim.modules, victim.modules->v[0], names[i], NULL, NULL, &r));
		if (symbol_find(libc, names[i], NULL, STT_FUNC, &symbol) || symbol.type != STT_GNU_IFUNC)
			continue;
		if (r.ifunc_resolver) {
			assert_int_equal(r.address, 0);
			assert_int_equal(r.ifunc_resolver, symbol.address);
			unbound++;
		} else {
			assert_int_not_equal(r.address, symbol.address);
			bound++;
		}
	}
	assert_true(bound > 0);
	assert_true(unbound > 0);
	victim_stop(&victim);
}

static void write_file(const char *directory, const char *name, const char *text)
{
	char path[256];
	snprintf(path, sizeof(path), "%s/%s", directory, name);
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

/*
 * Two plugins, opened locally, each with a library of its own that define the same names: what one of them
 * sees is not what the other does. And descriptors for thread-local data.
 */
static void test_opened(void **state)
{
	struct victim victim;
	struct resolved r;
	char path[256];
	(void)state;
	const char *directory = make_directory();
	write_file(directory, "q.c",
		   "int shared_name(int x) { return x + Q; } int only_in_q(int x) { return x * Q; }");
	write_file(directory, "p.c",
		   "int shared_name(int); int plugin_value(int x) { return shared_name(x) + P; }");
	write_file(directory, "d.c",
		   "static __thread int tls_descriptor = 4; __thread int tls_wide = 5;\n"
		   "void d_report(void (*say)(const char *, unsigned long)) {\n"
		   "say(\"tls_descriptor\", (char *)&tls_descriptor - (char *)__builtin_thread_pointer());\n"
		   "say(\"tls_wide\", (char *)&tls_wide - (char *)__builtin_thread_pointer()); }");
	write_file(
		directory, "main.c",
		"#define _GNU_SOURCE\n#include <dlfcn.h>\n#include <stdio.h>\n#include <unistd.h>\n"
		"void d_report(void (*say)(const char *, unsigned long));\n"
		"static void say(const char *n, unsigned long v) { printf(\"%s 0x%lx\\n\", n, v); }\n"
		"int main(void) { char b[8]; void *h[3]; int i; char n[16];\n"
		"for (i = 1; i < 3; i++) { snprintf(n, 16, \"libp%d.so\", i); h[i] = dlopen(n, RTLD_NOW);\n"
		"if (!h[i]) return puts(dlerror()), 1; snprintf(n, 16, \"shared%d\", i);\n"
		"say(n, (unsigned long)dlsym(h[i], \"shared_name\")); snprintf(n, 16, \"only%d\", i);\n"
		"say(n, (unsigned long)dlsym(h[i], \"only_in_q\")); }\n"
		"void *other = dlmopen(LM_ID_NEWLM, \"libp1.so\", RTLD_NOW);\n"
		"if (!other) return puts(dlerror()), 1;\n"
		"say(\"shared3\", (unsigned long)dlsym(other, \"shared_name\"));\n"
		"d_report(say); puts(\"ready\"); fflush(stdout); while (read(0, b, 8) > 0); return 0; }");
	run("cd %s && for i in 1 2; do gcc -O2 -shared -fPIC -DQ=$i -o libq$i.so q.c && "
	    "gcc -O2 -shared -fPIC -DP=$i -Wl,-rpath,'$ORIGIN' -o libp$i.so p.c -L. -lq$i; done && "
	    "gcc -O2 -shared -fPIC -mtls-dialect=gnu2 -o libd.so d.c && "
	    "gcc -O2 -Wl,-rpath,'$ORIGIN' -o main main.c -L. -ld",
	    directory);
	snprintf(path, sizeof(path), "%s/main", directory);
	victim_start(&victim, path, NULL);
	struct module *m = victim.modules->v[0], *p1 = NULL, *p2 = victim_module(&victim, "libp2.so"),
		      *p3 = NULL;
	for (size_t i = 0; i < victim.modules->n; i++)
		if (strcmp(victim.modules->v[i]->name, "libp1.so") == 0)
			*(i < victim.modules->n_linked ? &p1 : &p3) = victim.modules->v[i];
	assert_non_null(p1);
	assert_non_null(p3); /* the copy in the other namespace */
	check_says(&victim, p1, "shared_name", NULL, NULL, "shared1");
	check_says(&victim, p2, "shared_name", NULL, NULL, "shared2");
	check_says(&victim, p3, "shared_name", NULL, NULL, "shared3");
	/* Not imported by them: by what they need. */
	check_says(&victim, p1, "only_in_q", NULL, NULL, "only1");
	check_says(&victim, p2, "only_in_q", NULL, NULL, "only2");
	const char *message =
		fails(symbol_resolve(victim.modules, m, "plugin_value", NULL, NULL, &r), USP_AMBIGUOUS);
	assert_non_null(strstr(message, "libp1.so"));
	assert_non_null(strstr(message, "libp2.so"));
	fails(symbol_resolve(victim.modules, NULL, "shared_name", NULL, NULL, &r), USP_AMBIGUOUS);
	struct module *d = victim_module(&victim, "libd.so");
	check_tls(&victim, d, "tls_descriptor", "tls_descriptor");
	check_tls(&victim, d, "tls_wide", "tls_wide");
	victim_stop(&victim);
	run("rm -r %s", directory);
}

/* Slots are the target's to write: what does not fit the defining file is not believed. */
static void test_tampered_slots(void **state)
{
	struct victim victim;
	struct resolved r;
	char name[64];
	(void)state;
	victim_start(&victim, victim_path("elf_now"), NULL);
	struct module *m = victim.modules->v[0], *lib = victim_module(&victim, "libvictim.so");
	snprintf(name, sizeof(name), "/proc/%d/mem", (int)victim.pid);
	int fd = open(name, O_RDWR | O_CLOEXEC);
	r = find(&victim, m, "chosen", NULL, NULL);
	uint64_t resolver = 0, wild[] = {0,
					 1,
					 UINT64_MAX,
					 0x8000000000000000,
					 victim_says(&victim, "main"),
					 lib->start,
					 victim_says(&victim, "late") + 1};
	struct symbol symbol;
	ok(symbol_find(lib, "chosen", NULL, STT_FUNC, &symbol));
	resolver = symbol.address;
	for (size_t i = 0; i < sizeof(wild) / sizeof(*wild); i++) {
		for (size_t k = 0; k < victim.modules->n; k++) {
			const struct dynamic *dynamic = module_dynamic(victim.modules->v[k]);
			for (size_t j = 0; j < dynamic->n_slots; j++) {
				const char *slot = dynamic_symbol_name(dynamic, dynamic->slots[j].symbol);
				uint64_t at = dynamic->slots[j].address + victim.modules->v[k]->bias;
				if (strcmp(slot, "chosen") == 0 || strcmp(slot, "late") == 0 ||
				    (victim.modules->v[k] == lib &&
				     dynamic->slots[j].type == R_X86_64_TPOFF64))
					assert_int_equal(pwrite(fd, &wild[i], 8, (off_t)at), 8);
			}
		}
		check_says(&victim, m, "late", NULL, NULL, "late");
		r = find(&victim, m, "chosen", NULL, NULL);
		if (wild[i] !=
		    victim_says(&victim, "late") + 1) { /* that is code of the library: cannot be told */
			assert_int_equal(r.address, 0);
			assert_int_equal(r.ifunc_resolver, resolver);
		}
		r = find(&victim, lib, "tls_ie", NULL, NULL);
		assert_true(!r.tls_static || (r.tls_tpoff < 0 && r.tls_tpoff > -(1 << 30)));
	}
	close(fd);
	kill(victim.pid, SIGKILL);
	victim_stop(&victim);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pie),	 cmocka_unit_test(test_nopie),
		cmocka_unit_test(test_now),	 cmocka_unit_test(test_clang),
		cmocka_unit_test(test_static),	 cmocka_unit_test(test_static_pie),
		cmocka_unit_test(test_musl),	 cmocka_unit_test(test_musl_static),
		cmocka_unit_test(test_symbolic), cmocka_unit_test(test_ifunc_unbound),
		cmocka_unit_test(test_opened),	 cmocka_unit_test(test_tampered_slots),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
