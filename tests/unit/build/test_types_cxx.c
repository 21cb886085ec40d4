// SPDX-License-Identifier: MIT
/*
 * types_compare(): whose debug information is a function's, where names do not say it. Each case asks for symbols by
 * name; a structure changes, and those that use it must be told, and nobody else.
 */
#define _GNU_SOURCE
#include "types_test.h"

#define HEAD                                                                                     \
	"#ifdef __clang__\n#define NOIPA\n#else\n#define NOIPA __attribute__((noipa))\n#endif\n" \
	"#define ALONE __attribute__((noinline, used)) NOIPA\n#ifdef AFTER\n#define MORE long "  \
	"more;\n#else\n"                                                                         \
	"#define MORE\n#endif\nstruct s { long a; MORE }; struct t { long a; };\n"
#define CHANGED "layout struct s: member more added at offset 8; size 16, was 8 "

static const char *const forms[] = {"-O0",
				    "-O2",
				    "-O2 -ffunction-sections -gdwarf-4",
				    "-O2 -fPIC -ffunction-sections -gdwarf-5 -gz",
				    "-Os -gdwarf-4 -fno-pic",
				    NULL};

struct source {
	const char *name, *text;
	const char *functions, *expected; /* as of a struct pair */
};

static const struct source cxx[] = {
	{"static", "ALONE static long h(s *p) { return p->a; } ALONE static long i(t *p) { return p->a; }",
	 "_ZL1hP1s _ZL1iP1t", CHANGED "[_ZL1hP1s]\n"},
	{"overloads",
	 "ALONE static long h(t *p) { return p->a; } ALONE static long h(s *p) { return p->a; }\n"
	 "ALONE static long h(s &p, int n) { return p.a + n; }",
	 "_ZL1hP1t _ZL1hP1s _ZL1hR1si", CHANGED "[_ZL1hP1s _ZL1hR1si]\n"},
	{"namespaces",
	 "namespace { ALONE long h(s *p) { return p->a; } ALONE long i(t *p) { return p->a; } }\n"
	 "namespace n { ALONE static long h(t *p) { return p->a; } namespace { ALONE long h(s *p) { return "
	 "p->a; } } }",
	 "_ZN12_GLOBAL__N_11hEP1s _ZN12_GLOBAL__N_11iEP1t _ZN1nL1hEP1t _ZN1n12_GLOBAL__N_11hEP1s",
	 CHANGED "[_ZN12_GLOBAL__N_11hEP1s _ZN1n12_GLOBAL__N_11hEP1s]\n"},
	{"templates",
	 "namespace { template <class T> ALONE long h(T *p) { return p->a; } }\n"
	 "long f(s *p, t *q) { return h(p) * h(q); }\n"
	 "template <class T> ALONE long i(T *p) { return p->a; } long g(s *p, t *q) { return i(p) * i(q); }",
	 "_ZN12_GLOBAL__N_11hI1sEElPT_ _ZN12_GLOBAL__N_11hI1tEElPT_ _Z1iI1sElPT_ _Z1iI1tElPT_",
	 CHANGED "[_ZN12_GLOBAL__N_11hI1sEElPT_ _Z1iI1sElPT_]\n"},
	{"members",
	 "namespace { struct c { ALONE static long h(s *p) { return p->a; } ALONE long i(t *p) { return "
	 "p->a; } }; }\n"
	 "long f(s *p) { return c::h(p); } long g(t *p) { return c().i(p); }",
	 "_ZN12_GLOBAL__N_11c1hEP1s _ZN12_GLOBAL__N_11c1iEP1t", CHANGED "[_ZN12_GLOBAL__N_11c1hEP1s]\n"},
	{"both constructors: one has the debug information",
	 "struct c { long n; c(s *); c(t *); }; ALONE c::c(s *p) { n = p->a; } ALONE c::c(t *p) { n = p->a; "
	 "}",
	 "_ZN1cC1EP1s _ZN1cC2EP1s _ZN1cC1EP1t _ZN1cC2EP1t", CHANGED "[_ZN1cC1EP1s _ZN1cC2EP1s]\n"},
	{"no debug information, and a name that another one has",
	 "__asm__(\".text\\n.type h,@function\\nh: ret\\n.size h,.-h\\n\");\n"
	 "namespace n { ALONE static long h(s *p) { return p->a; } }",
	 "h _ZN1nL1hEP1s", CHANGED "[_ZN1nL1hEP1s]\ntypes h: no debug information for this function [h]\n"},
};

static const struct source c[] = {
	{"static",
	 "ALONE static long h(struct s *p) { return p->a; } ALONE static long i(struct t *p) { return p->a; "
	 "}",
	 "h i", CHANGED "[h]\n"},
	{"aliases",
	 "ALONE long h(struct s *p) { return p->a; } long h2(struct s *) __attribute__((alias(\"h\")));\n"
	 "ALONE long i(struct t *p) { return p->a; } long i2(struct t *) __attribute__((weak, "
	 "alias(\"i\")));",
	 "h h2 i i2", CHANGED "[h h2]\n"},
	{"a resolver",
	 "ALONE static long h(void *p) { return (long)p; } static void *pick(void) { struct s v = {0}, *p = "
	 "&v;\n"
	 "return p->a ? 0 : h; } long h2(void *) __attribute__((ifunc(\"pick\")));",
	 "h h2", CHANGED "[h2]\n"},
	{"no debug information",
	 "__asm__(\".text\\n.type h,@function\\nh: ret\\n.size h,.-h\\n\");\n"
	 "ALONE long i(struct s *p) { return p->a; }",
	 "h i", CHANGED "[i]\ntypes h: no debug information for this function [h]\n"},
	{"parts and clones that are not there",
	 "ALONE long h(struct s *p) { return p->a; }\n"
	 "ALONE long i(struct t *p) { return p->a; }",
	 "h.part.0 h.cold i.isra.0.cold", CHANGED "[h.part.0 h.cold]\n"},
};

/* Made of what gcc likes to make clones of: each of these is there, or the test says so. */
#define LONG_WAY \
	"for (int i = 0; i < 10; i++) if (p->a > i) { say(i); say(n); say(i + n); say(i * n); say(i - n); }"
#define CLONES                                                                                              \
	"void say(long);\n"                                                                                 \
	"__attribute__((noinline)) static long isra(struct s *p, int unused) { return p->a * 3 + 1; }\n"    \
	"long f(struct s *p, int n) { return isra(p, n) + isra(p + 1, n + 2); }\n"                          \
	"__attribute__((noinline)) static void prop(struct s *p, int n) { " LONG_WAY " }\n"                 \
	"void g(struct s *p) { prop(p, 4); prop(p + 1, 4); }\n"                                             \
	"static void part(struct s *p, int n) { if (__builtin_expect(!p, 1)) return; " LONG_WAY LONG_WAY    \
		LONG_WAY LONG_WAY " }\n"                                                                    \
	"void h(struct s *p, int n) { part(p, n); } void h1(struct s *p, int n) { part(p, 2 * n); }\n"      \
	"void h2(struct s *p, int n) { part(p + n, 3); } void h3(struct s *p, int n) { part(p, 7 + n); }\n" \
	"long other(struct t *p) { return p->a; }\n"

static void check_source(const char *cc, const char *flags, const struct source *source)
{
	char before[4096], after[4096];
	snprintf(before, sizeof(before), HEAD "%s\n", source->text);
	snprintf(after, sizeof(after), "#define AFTER\n" HEAD "%s\n", source->text);
	check(cc, flags,
	      &(struct pair){.name = source->name,
			     .before = before,
			     .after = after,
			     .functions = source->functions,
			     .expected = source->expected});
}

static void check_sources(const char *cc, const struct source *v, size_t n)
{
	need(cc);
	for (size_t i = 0; i < n; i++)
		for (const char *const *flags = forms; *flags; flags++)
			check_source(cc, *flags, &v[i]);
}

static void test_gcc(void **state)
{
	(void)state;
	check_sources("gcc", c, sizeof(c) / sizeof(*c));
}

static void test_clang(void **state)
{
	(void)state;
	check_sources("clang", c, sizeof(c) / sizeof(*c));
}

static void test_gxx(void **state)
{
	(void)state;
	check_sources("g++ -x c++", cxx, sizeof(cxx) / sizeof(*cxx));
}

static void test_clangxx(void **state)
{
	(void)state;
	check_sources("clang++ -x c++", cxx, sizeof(cxx) / sizeof(*cxx));
}

/* "name.isra.0" as the compiler has called it now, or the test fails. */
static const char *clone(const char *name, const char *sort)
{
	static char text[3][64];
	static unsigned k;
	char command[256], *ret = text[k++ % 3];
	snprintf(command, sizeof(command),
		 "nm after.o | sed -n 's/.* t \\(%s\\.[a-z0-9.]*%s\\.[0-9]*\\)$/\\1/p'", name, sort);
	FILE *f = popen(command, "r");
	assert_non_null(f);
	if (!fgets(ret, sizeof(text[0]), f))
		fail_msg("no %s.%s was made: this is not the case that it says", name, sort);
	assert_int_equal(pclose(f), 0);
	ret[strcspn(ret, "\n")] = '\0';
	return ret;
}

static void check_clones(const char *cc, const char *flags, const char *const names[4])
{
	char functions[512], expected[512];
	need(cc);
	compile_pair(cc, flags,
		     &(struct pair){.before = HEAD CLONES, .after = "#define AFTER\n" HEAD CLONES});
	const char *isra = clone(names[0], "isra"), *prop = clone(names[1], "constprop"),
		   *part = clone(names[2], "part");
	snprintf(functions, sizeof(functions), "%s %s %s %s", isra, prop, part, names[3]);
	snprintf(expected, sizeof(expected), CHANGED "[%s %s %s]\n", isra, prop, part);
	char *text = compare(functions);
	assert_string_equal(text, expected);
	free(text);
}

static void test_clones(void **state)
{
	static const char *const names[] = {"isra", "prop", "part", "other"}, *const mangled[] = {
										      "_ZL4israP1si",
										      "_ZL4propP1si",
										      "_ZL4partP1si",
										      "_Z5otherP1t"};
	(void)state;
	for (const char *const *flags =
		     (const char *const[]){"-O2", "-O2 -ffunction-sections -gdwarf-4", "-O2 -fPIC", NULL};
	     *flags; flags++) {
		check_clones("gcc", *flags, names);
		check_clones("g++ -x c++", *flags, mangled);
	}
}

static void test_placed_already(void **state)
{
	(void)state;
	need("gcc");
	compile("gcc", "-O2", "int f(int n) { return n + 1; }", "before.o");
	run("cp before.o after.o && objcopy --change-section-address .text=0x1000 after.o");
	char *text = compare("f");
	assert_string_equal(text, "types after.o: section .text has an address already [f]\n");
	free(text);
}

static void test_mutated(void **state)
{
	(void)state;
	mutate("g++ -x c++", "-O2 -ffunction-sections", HEAD CLONES, 0, 400);
	mutate("g++ -x c++", "-O2 -gdwarf-4", HEAD CLONES, 1000, 400);
	mutate("clang++ -x c++", "-O2", HEAD CLONES, 2000, 400);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_gcc, setup, teardown),
		cmocka_unit_test_setup_teardown(test_clang, setup, teardown),
		cmocka_unit_test_setup_teardown(test_gxx, setup, teardown),
		cmocka_unit_test_setup_teardown(test_clangxx, setup, teardown),
		cmocka_unit_test_setup_teardown(test_clones, setup, teardown),
		cmocka_unit_test_setup_teardown(test_placed_already, setup, teardown),
		cmocka_unit_test_setup_teardown(test_mutated, setup, teardown),
	};
	return cmocka_run_group_tests_name("types of C++", tests, NULL, NULL);
}
