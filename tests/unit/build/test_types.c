// SPDX-License-Identifier: MIT
/*
 * types_compare() on pairs of small sources, compiled by each compiler at several levels, with what the
 * report must say; then on what cannot be told, and on broken files.
 */
#define _GNU_SOURCE
#include "types_test.h"

#include <sys/stat.h>

static const char *const usual[] = {"-O0", "-O2", "-O2 -fPIC -gdwarf-4 -gz", NULL};

#define F "int f(struct s *p) { return p ? 1 : 2; } int g(int x) { return x; }\n"

static const struct pair pairs[] = {
	{"the same", "struct s { int a; };" F, "struct s { int a; };" F, "f g", "", NULL},
	{"at the end", "struct s { int a; long b; };" F, "struct s { int a; long b; char c; };" F, "f g",
	 "layout struct s: member c added at offset 16; size 24, was 16 [f]\n", NULL},
	{"in the middle", "struct s { long a, b; };" F, "struct s { long a; char *c; long b; };" F, "f g",
	 "layout struct s: member c added at offset 8; member b at offset 16, was 8; size 24, was 16 [f]\n",
	 NULL},
	{"in padding", "struct s { int a; long b; };" F, "struct s { int a; int c; long b; };" F, "f g",
	 "layout (in padding) struct s: member c added at offset 4; size 16 as before [f]\n", NULL},
	{"removed", "struct s { int a, b, c; };" F, "struct s { int a, c; };" F, "f g",
	 "layout struct s: member b removed, was at offset 4; member c at offset 4, was 8; size 8, was 12 "
	 "[f]\n",
	 NULL},
	{"many", "struct s { char a, b, c, d, e, f, g, h, i; };" F,
	 "struct s { char z; short a, b, c, d, e, f, g, h, i; };" F, "f",
	 "layout struct s: member z added at offset 0; member a is short, was char; member b is short, was "
	 "char; member "
	 "c is short, was char; member d is short, was char; member e is short, was char; member f is short, "
	 "was char "
	 "and 3 more changed; member a at offset 2, was 0 and 8 more moved; size 20, was 9 [f]\n",
	 NULL},
	{"widened", "struct s { int a, b; };" F, "struct s { long a; int b; };" F, "f g",
	 "layout struct s: member a is long, was int; member b at offset 8, was 4; size 16, was 8 [f]\n",
	 NULL},
	{"other sign", "struct s { int a; };" F, "struct s { unsigned a; };" F, "f",
	 "layout (reread) struct s: member a is unsigned int, was int; size 4 as before [f]\n", NULL},
	{"bool to its integer", "#include <stdbool.h>\nstruct s { bool a; };" F,
	 "struct s { unsigned char a; };" F, "f",
	 "layout (reread) struct s: member a is unsigned char, was bool; size 1 as before [f]\n", NULL},
	{"integer to bool", "struct s { unsigned char a; };" F,
	 "#include <stdbool.h>\nstruct s { bool a; };" F, "f",
	 "layout struct s: member a is bool, was unsigned char [f]\n", NULL},
	{"other sign and moved", "struct s { int a, b; };" F, "struct s { int b; unsigned a; };" F, "f",
	 "layout struct s: member a is unsigned int, was int; member a at offset 4, was 0 and 1 more moved "
	 "[f]\n",
	 NULL},
	{"array grown", "struct s { char n[4]; };" F, "struct s { char n[8]; };" F, "f",
	 "layout struct s: member n is char[8], was char[4]; size 8, was 4 [f]\n", NULL},
	{"flexible array", "struct s { long a; char n[]; };" F, "struct s { long a; int b; char n[]; };" F,
	 "f",
	 "layout struct s: member b added at offset 8; member n at offset 12, was 8; size 16, was 8 [f]\n",
	 NULL},
	{"union in a header", "union u { int a; }; struct s { union u v; int t; };" F,
	 "union u { int a; long b; }; struct s { union u v; int t; };" F, "f g",
	 "layout struct s: member v is union u (8 bytes), was union u (4 bytes); member t at offset 8, was "
	 "4; size "
	 "16, was 8 [f]\n"
	 "layout union u: member b added at offset 0; size 8, was 4 [f]\n",
	 NULL},
	{"bit-field", "struct s { unsigned a : 3; unsigned b : 5; unsigned : 2; unsigned c : 20; };" F,
	 "struct s { unsigned a : 4; unsigned b : 5; unsigned : 1; unsigned c : 20; };" F, "f",
	 "layout struct s: member a is unsigned int : 4, was unsigned int : 3; member b at offset 0 bit 4, "
	 "was 0 bit 3 "
	 "[f]\n",
	 NULL},
	{"bit-field in padding", "struct s { unsigned a : 3; };" F, "struct s { unsigned a : 3, b : 1; };" F,
	 "f", "layout (in padding) struct s: member b added at offset 0 bit 3; size 4 as before [f]\n", NULL},
	{"unnamed inside",
	 "struct s { int a; struct { int x; } u; struct { int y; }; union { int i; struct { char c; } j[2]; "
	 "}; };" F,
	 "struct s { int a; struct { int w, x; } u; struct { long y; }; union { int i; struct { short c; } "
	 "j[2]; "
	 "}; };" F,
	 "f",
	 "layout struct s: member u.w added at offset 4; member u is struct {...} (8 bytes), was struct "
	 "{...} (4 "
	 "bytes); member y is long, was int; member j is struct {...} (2 bytes)[2], was struct {...} (1 "
	 "bytes)[2]; member j[].c is short, was char; member u.x at offset 8, was 4 and 4 more moved; size "
	 "32, was 16 [f]\n",
	 NULL},
	{"unnamed by pointer", "struct s { struct { int x; } *u; };" F,
	 "struct s { struct { char x[4]; } *u; };" F, "f",
	 "layout struct s: member u->x is char[4], was int [f]\n", NULL},
	{"typedef of unnamed", "typedef struct { int a; } s_t; int f(s_t *p) { return p->a; }",
	 "typedef struct { int a, b; } s_t; int f(s_t *p) { return p->a; }", "f",
	 "layout s_t: member b added at offset 4; size 8, was 4 [f]\n", NULL},
	{"typedef gets a tag", "typedef struct { int a; } s_t; int f(s_t *p) { return 1; }",
	 "typedef struct s { long a; } s_t; int f(s_t *p) { return 1; }", "f",
	 "layout s_t: member a is long, was int; size 8, was 4 [f]\n"
	 "signature f: int (struct s *), was int (s_t *) [f]\n",
	 NULL},
	{"tag and typedef: once", "typedef struct s { int a; } s_t; int f(s_t *p) { return 1; }",
	 "typedef struct s { long a; } s_t; int f(s_t *p) { return 1; }", "f",
	 "layout struct s: member a is long, was int; size 8, was 4 [f]\n", NULL},
	{"other tag", "struct s { int a; int b; };" F,
	 "union s { int a; int b; }; int f(union s *p) { return 1; }", "f",
	 "layout struct s: is a union now, was a struct; size 4, was 8 [f]\n"
	 "signature f: int (union s *), was int (struct s *) [f]\n",
	 NULL},
	{"enumeration", "enum e { A, B, C }; struct s { enum e k; };" F,
	 "enum e { A, X, B, C }; struct s { enum e k; };" F, "f g",
	 "enum enum e: enumerator B = 2, was 1; enumerator C = 3, was 2 [f]\n", NULL},
	{"enumerator removed", "enum e { A = -1, B, C }; struct s { enum e k; };" F,
	 "enum e { A = -1, B }; struct s { enum e k; };" F, "f",
	 "enum enum e: enumerator C removed, was with value 1 [f]\n", NULL},
	{"enumerator added", "enum e { A, B }; struct s { enum e k; };" F,
	 "enum e { A, B, C }; struct s { enum e k; };" F, "f", "", NULL},
	{"enumeration widened", "enum e { A }; struct s { enum e k; };" F,
	 "enum e { A, B = 0x100000000 }; struct s { enum e k; };" F, "f",
	 "layout struct s: member k is enum e (8 bytes), was enum e (4 bytes); size 8, was 4 [f]\n"
	 "enum enum e: size 8, was 4 [f]\n",
	 NULL},
	{"unnamed enumeration", "struct s { enum { P, Q } k; };" F, "struct s { enum { O, P, Q } k; };" F,
	 "f g", "enum enum {P, ...}: enumerator P = 1, was 0; enumerator Q = 2, was 1 [f g]\n", NULL},
	{"typedef of an enumeration", "typedef enum { P, Q } k_t; struct s { k_t k; };" F,
	 "typedef enum { Q, P } k_t; struct s { k_t k; };" F, "f",
	 "enum k_t: enumerator P = 1, was 0; enumerator Q = 0, was 1 [f]\n", NULL},
	{"function pointer", "struct s { int (*h)(int); };" F, "struct s { int (*h)(int, char *, ...); };" F,
	 "f", "layout struct s: member h is int (*)(int, char *, ...), was int (*)(int) [f]\n", NULL},
	{"pointer to another", "struct s { struct t *p; };" F, "struct s { struct u *p; };" F, "f",
	 "layout struct s: member p is struct u *, was struct t * [f]\n", NULL},
	{"alignment", "struct s { int a[16]; };" F, "struct s { int a[16]; } __attribute__((aligned(64)));" F,
	 "f", "layout struct s: required alignment 64, was 0 [f]\n", NULL},
	{"signatures",
	 "__attribute__((noinline)) static int h(int x) { return x * 2; } int f(int x) { return h(x); }",
	 "__attribute__((noinline)) static int h(int x, int y) { return x * y; } long f(int x) { return h(x, "
	 "x + 1); }",
	 "f", "signature f: long (int), was int (int) [f]\nsignature h: int (int, int), was int (int)%s\n",
	 NULL},
	{"variables",
	 "struct s { int a; }; struct s v; static struct { int n; } w[2]; int x; __thread int y; static int "
	 "z;\n"
	 "int f(void) { static int once; return w[x].n + y + z++ + once++; }",
	 "struct s { int a, b; }; struct s v; static struct { int n, m; } w[2]; long x; __thread long y; "
	 "static long z;\n"
	 "int f(void) { static long once; return w[x].n + w[x].m + y + z++ + once++; }",
	 "f",
	 "layout struct s: member b added at offset 4; size 8, was 4 [f]\n"
	 "variable f()::once: long, was int [f]\n"
	 "variable v: struct s (8 bytes), was struct s (4 bytes) [f]\n"
	 "variable w: struct {...} (8 bytes)[2], was struct {...} (4 bytes)[2]; member w[].m added at offset "
	 "4 [f]\n"
	 "variable x: long, was int [f]\n"
	 "variable y: long, was int [f]\n"
	 "variable z: long, was int [f]\n",
	 NULL},
	{"local variable", "int f(int n) { int v[2] = {n}; return v[n & 1]; }",
	 "int f(int n) { long v[2] = {n}; return v[n & 1]; }", "f", "", NULL},
	{"pointer to what has no name", "static struct { int a, b; } *v; int f(void) { return v->b; }",
	 "static struct { int a, c, b; } *v; int f(void) { return v->b + v->c; }", "f",
	 "variable (held) v: struct {...} (12 bytes) *, was struct {...} (8 bytes) *; member v->c added at "
	 "offset 4; member "
	 "v->b at offset 8, was 4 [f]\n",
	 NULL},
	{"pointer to an array",
	 "static int (*v)[4], *w[2], (*x)(int); static void *y; static char *z;"
	 "int f(int i) { return v[i][0] + *w[0] + x(1) + !y + *z; }",
	 "static int (*v)[8], *w[3], (*x)(int, int); static int *y; static unsigned char *z;"
	 "int f(int i) { return v[i][0] + *w[0] + x(1, 2) + *y + *z; }",
	 "f",
	 "variable (held) v: int[8] *, was int[4] * [f]\n"
	 "variable w: int *[3], was int *[2] [f]\n"
	 "variable (held) x: int (*)(int, int), was int (*)(int) [f]\n"
	 "variable y: int *, was void * [f]\n"
	 "variable z: unsigned char *, was char * [f]\n",
	 NULL},
	{"members of a variable change places",
	 "static struct { int a, b; } v; static const struct { int a, b; } w[] = {{1, 2}};"
	 "int f(int i) { return v.a++ + w[i].a; }",
	 "static struct { int b, a; } v; static const struct { int b, a; } w[] = {{2, 1}}; int f(int i) { "
	 "return v.a++ + w[i].a; }",
	 "f",
	 "variable (held) v: member v.a at offset 4, was 0 and 1 more moved [f]\n"
	 "variable w: member w[].a at offset 4, was 0 and 1 more moved [f]\n",
	 NULL},
	{"extern array", "extern int v[]; int v[4]; int f(int i) { return v[i]; }",
	 "extern int v[]; int v[8]; int f(int i) { return v[i]; }", "f",
	 "variable v: int[8], was int[4] [f]\n", NULL},
	{"by pointer to pointer", "struct t { int n; }; struct s { struct t **v; };" F,
	 "struct t { long n; }; struct s { struct t **v; };" F, "f g",
	 "layout struct t: member n is long, was int; size 8, was 4 [f]\n", NULL},
	{"recursive",
	 "struct b; struct s { struct s *next; struct b *b; }; struct b { struct s s[2]; struct b "
	 "*(*h)(struct b *); int "
	 "n; };" F,
	 "struct b; struct s { struct s *next; struct b *b; }; struct b { struct s s[2]; struct b "
	 "*(*h)(struct b *); long "
	 "m, n; };" F,
	 "f",
	 "layout struct b: member m added at offset 40; member n is long, was int; member n at offset 48, "
	 "was 40; size "
	 "56, was 48 [f]\n",
	 NULL},
	{"of another function",
	 "struct s { int a; }; struct t { int n; }; int h(struct t *p) { return p->n; }" F,
	 "struct s { int a; }; struct t { long n; }; int h(struct t *p) { return p->n; }" F, "f g",
	 "layout struct t: member n is long, was int; size 8, was 4 []\n", NULL},
	{"local variable's type", "struct t { int n; }; int f(void *p) { struct t *t = p; return t->n; }",
	 "struct t { long n; }; int f(void *p) { struct t *t = p; return t->n; }", "f",
	 "layout struct t: member n is long, was int; size 8, was 4 [f]\n", NULL},
	{"inlined",
	 "struct t { int n; }; static inline __attribute__((always_inline)) int i(void *p) { { struct t *t = "
	 "p; "
	 "return t->n; } } int f(void *p) { return i(p); } int g(int x) { return x; }",
	 "struct t { long n; }; static inline __attribute__((always_inline)) int i(void *p) { { struct t *t "
	 "= p; "
	 "return t->n; } } int f(void *p) { return i(p); } int g(int x) { return x; }",
	 "f g", "layout struct t: member n is long, was int; size 8, was 4 [f]\n", NULL},
	{"by a cast alone: seen, but not whose",
	 "struct t { int n; }; int f(void *p) { return ((struct t *)p)->n; } struct t *g(void) { return 0; }",
	 "struct t { long n; }; int f(void *p) { return ((struct t *)p)->n; } struct t *g(void) { return 0; "
	 "}",
	 "f", "layout struct t: member n is long, was int; size 8, was 4 []\n", NULL},
	{"called",
	 "struct t { int n; }; int h(struct t *); int f(void *p) { return h(p); } int g(int x) { return x; }",
	 "struct t { int n, m; }; int h(struct t *); int f(void *p) { return h(p); } int g(int x) { return "
	 "x; }",
	 "f g", "layout struct t: member m added at offset 4; size 8, was 4 [f]\n", "-O2"},
	{"in a function", "int f(void *p) { struct s { int a; } *s = p; return s->a; }",
	 "int f(void *p) { struct s { char a; } *s = p; return s->a; }", "f",
	 "layout struct f()::s: member a is char, was int; size 1, was 4 [f]\n", NULL},
	{"two of a name, one changed",
	 "int f(void *p) { if (p) { struct s { int a; } *s = p; return s->a; } else { struct s { long b; } "
	 "*s = p + 1; "
	 "return s->b; } }",
	 "int f(void *p) { if (p) { struct s { char a; } *s = p; return s->a; } else { struct s { long b; } "
	 "*s = p + 1; "
	 "return s->b; } }",
	 "f", "layout struct f()::s: member a is char, was int; size 1, was 4 [f]\n", NULL},
	{"two of a name, both changed",
	 "int f(void *p) { if (p) { struct s { int a; } *s = p; return s->a; } else { struct s { long b; } "
	 "*s = p + 1; "
	 "return s->b; } }",
	 "int f(void *p) { if (p) { struct s { char a; } *s = p; return s->a; } else { struct s { int b; } "
	 "*s = p + 1; "
	 "return s->b; } }",
	 "f",
	 "types struct f()::s: several of this name differ between the builds; which was which is not "
	 "known [f]\n",
	 NULL},
	{"no changes",
	 "typedef int i_t; struct t; struct s { int a; long b; char *c; struct t *t; const int k; int "
	 "(*h)(const char *); "
	 "};" F,
	 "typedef int j_t; struct t { int n; }; struct q { int n; }; typedef struct q q_t; enum e { A }; "
	 "struct s { const "
	 "j_t a; long long b; volatile char *const c; struct t *t; int k; int (*h)(char *); }; int h(enum e "
	 "e, q_t *q) "
	 "{ return q->n + e; }" F,
	 "f g h", "", NULL},
	{"clones", "struct s { int a; };" F, "struct s { long a; };" F,
	 "f.part.0 f.constprop.0.isra.0 f.cold f.part.0.cold",
	 "layout struct s: member a is long, was int; size 8, was 4 "
	 "[f.part.0 f.constprop.0.isra.0 f.cold f.part.0.cold]\n",
	 NULL},
	{"unknown function", "struct s { int a; };" F, "struct s { int a; };" F, "f ff",
	 "types ff: no debug information for this function [ff]\n", NULL},
	{"renamed by asm", "struct s { int a; }; int f(struct s *) __asm__(\"ff\");" F,
	 "struct s { long a; }; int f(struct s *) __asm__(\"ff\");" F, "ff",
	 "layout struct s: member a is long, was int; size 8, was 4 [ff]\n", NULL},
	{"no prototype", "int f(); int g(int x) { return f(x); }",
	 "int f(int x) { return x; } int g(int x) { return x; }", "f g", "", NULL},
	{"C++",
	 "namespace n { class b { int x; }; template <typename T> struct v { T *p; int n; }; struct s : b { "
	 "virtual int "
	 "m(); int y; static int z; v<int> w; }; int s::m() { return y; } } int f(n::s &s) { return s.y; }",
	 "namespace n { class b { long x; }; template <typename T> struct v { T *p; long n; }; struct s : b "
	 "{ virtual int "
	 "m(); virtual int o(); int y; static int z; v<int> w; }; int s::m() { return y; } } int f(n::s &s) "
	 "{ return s.y; }",
	 "_Z1fRN1n1sE",
	 "layout struct n::b: member x is long, was int; size 8, was 4 [_Z1fRN1n1sE]\n"
	 "layout struct n::s: virtual function _ZN1n1s1oEv added in slot 1; base class b is struct b (8 "
	 "bytes), was "
	 "struct b (4 bytes); member y at offset 16, was 12 and 1 more moved; size 40, was 32 [_Z1fRN1n1sE]\n"
	 "layout struct n::v<int>: member n is long, was int [_Z1fRN1n1sE]\n",
	 "-x c++"},
};

static void all_pairs(const char *cc)
{
	need(cc);
	for (size_t i = 0; i < sizeof(pairs) / sizeof(*pairs); i++)
		for (const char *const *flags = usual; *flags; flags++) {
			check(cc, pairs[i].flags ? pairs[i].flags : *flags, &pairs[i]);
			if (pairs[i].flags)
				break;
		}
}

static void test_gcc(void **state)
{
	(void)state;
	all_pairs("gcc");
}

static void test_clang(void **state)
{
	(void)state;
	all_pairs("clang");
}

static void expect_unknown(const char *cc, const char *before, const char *after, const char *expected)
{
	static const char source[] = "struct s { int a; }; int n; int g(struct s *p) { return p->a; }\n"
				     "int f(struct s *p) { return g(p) + n; }";
	compile(cc, before, source, "before.o");
	compile(cc, after, source, "after.o");
	char *text = compare("f g");
	assert_string_equal(text, expected);
	free(text);
}

static void without_types(const char *cc)
{
	need(cc);
	expect_unknown(cc, "-O2", "-O2 -g0", "types after.o: no debug information; build with -g [f g]\n");
	expect_unknown(cc, "-O2 -g0", "-O2", "types before.o: no debug information; build with -g [f g]\n");
	expect_unknown(cc, "-O2 -g0", "-O2 -g0",
		       "types before.o: no debug information; build with -g [f g]\n");
	for (int level = 0; level <= 2; level += 2) {
		char flags[16];
		snprintf(flags, sizeof(flags), "-O%d -g1", level);
		expect_unknown(cc, flags, flags,
			       "types before.o: debug information without types (-g1, line tables only, or "
			       "assembler); "
			       "build with -g [f g]\n");
	}
	expect_unknown(
		cc, "-O2", "-O2 -gsplit-dwarf",
		"types after.o: debug information in another file; build without -gsplit-dwarf [f g]\n");
}

static void test_without_types(void **state)
{
	(void)state;
	without_types("gcc");
}

static void test_without_types_clang(void **state)
{
	(void)state;
	without_types("clang");
}

static void test_type_units(void **state)
{
	(void)state;
	need("gcc");
	expect_unknown("gcc", "-O2 -fdebug-types-section", "-O2",
		       "types before.o: debug information in several sections; build without "
		       "-fdebug-types-section [f g]\n");
	expect_unknown("gcc", "-O2 -gdwarf-4 -fdebug-types-section", "-O2",
		       "types before.o: debug information in several sections; build without "
		       "-fdebug-types-section [f g]\n");
}

static void expect_error(enum usp_code code, const char *part)
{
	struct types_report *report;
	struct usp_error *error = types_compare("before.o", "after.o", NULL, 0, &report);
	assert_non_null(error);
	if (error->code != code || !strstr(error->message, part))
		fail_msg("%d: %s", error->code, error->message);
	usp_error_destroy(error);
}

static void test_files(void **state)
{
	(void)state;
	need("gcc");
	compile("gcc", "", "int x;", "before.o");
	expect_error(USP_NOT_FOUND, "after.o");
	put("after.o", "no");
	expect_error(USP_BAD_PAYLOAD, "after.o: not an ELF file");
	run("gcc -g -shared before.o -o after.o");
	expect_error(USP_UNSUPPORTED, "after.o: not a relocatable object");
	compile("gcc", "-gz=zlib-gnu", "int x;", "after.o");
	compile("gcc", "", "int x;", "before.o");
	char *text = compare("");
	assert_true(!*text || strstr(text, ".zdebug")); /* newer assemblers write the new way */
	free(text);
}

/* Entries that lead to themselves, in every way that a walk could follow. A compiler writes none of them. */
#define HEAD                                                                                       \
	".section .debug_abbrev,\"\",@progbits\n"                                                  \
	".uleb128 1,0x11\n.byte 1\n.byte 0,0\n"					/* unit */         \
	".uleb128 2,0x16\n.byte 0\n.uleb128 3,8,0x49,0x13\n.byte 0,0\n"		/* typedef */      \
	".uleb128 3,0x26\n.byte 0\n.uleb128 0x49,0x13\n.byte 0,0\n"		/* const */        \
	".uleb128 4,0x13\n.byte 1\n.uleb128 3,8\n.byte 0,0\n"			/* struct s */     \
	".uleb128 5,0xd\n.byte 0\n.uleb128 3,8,0x49,0x13\n.byte 0,0\n"		/* member */       \
	".uleb128 6,0x13\n.byte 1\n.byte 0,0\n"					/* struct */       \
	".uleb128 7,0x1\n.byte 1\n.uleb128 0x49,0x13\n.byte 0,0\n"		/* array */        \
	".uleb128 8,0xf\n.byte 0\n.uleb128 0x49,0x13\n.byte 0,0\n"		/* pointer */      \
	".uleb128 9,0x15\n.byte 1\n.uleb128 0x49,0x13\n.byte 0,0\n"		/* function */     \
	".uleb128 10,0x5\n.byte 0\n.uleb128 0x49,0x13\n.byte 0,0\n"		/* parameter */    \
	".uleb128 11,0x2e\n.byte 1\n.uleb128 3,8,0x31,0x13\n.byte 0,0\n"	/* function f */   \
	".uleb128 12,0x34\n.byte 0\n.uleb128 3,8,1,0x13,0x49,0x13\n.byte 0,0\n" /* with sibling */ \
	".uleb128 13,0x2e\n.byte 0\n.uleb128 0x31,0x13\n.byte 0,0\n"		/* origin only */  \
	".byte 0\n"                                                                                \
	".section .debug_info,\"\",@progbits\n"                                                    \
	"b: .long e-s\ns: .value 4\n.long .debug_abbrev\n.byte 8\n.uleb128 1\n"
#define TAIL   ".byte 0\ne:\n"
#define REF(x) ".long " #x "-b\n"
#define STRUCT ".uleb128 4\n.string \"s\"\n.uleb128 5\n.string \"m\"\n" REF(x) ".byte 0\n"

static const char *const circles[] = {
	HEAD STRUCT "x: .uleb128 2\n.string \"t\"\n" REF(x) TAIL,
	HEAD STRUCT "x: .uleb128 3\n" REF(x) TAIL,
	HEAD STRUCT "x: .uleb128 7\n" REF(x) ".byte 0\n" TAIL,
	HEAD STRUCT "x: .uleb128 8\n" REF(x) TAIL,
	/* unnamed and in itself: by value, by array, by pointer */
	HEAD STRUCT "x: .uleb128 6\n.uleb128 5\n.string \"m\"\n" REF(x) ".byte 0\n" TAIL,
	HEAD STRUCT "x: .uleb128 6\n.uleb128 5\n.string \"\"\n" REF(x) ".uleb128 5\n.string \"\"\n" REF(
		x) ".byte 0\n" TAIL,
	HEAD STRUCT "x: .uleb128 6\n.uleb128 5\n.string \"m\"\n" REF(y) ".byte 0\ny: .uleb128 8\n" REF(x)
		TAIL,
	/* a function type whose parameters and result are pointers to it: twice as much with each level */
	HEAD STRUCT "x: .uleb128 8\n" REF(y) "y: .uleb128 9\n" REF(x) ".uleb128 10\n" REF(x) ".byte 0\n" TAIL,
	/* origins */
	HEAD "x: .uleb128 11\n.string \"f\"\n" REF(x) ".byte 0\n" TAIL,
	HEAD "x: .uleb128 13\n" REF(y) "y: .uleb128 13\n" REF(x) TAIL,
	/* a sibling before, in the middle, outside */
	HEAD "x: .uleb128 12\n.string \"v\"\n" REF(x) REF(x) TAIL,
	HEAD "x: .uleb128 12\n.string \"v\"\n" REF(b) REF(x) TAIL,
	HEAD "x: .uleb128 12\n.string \"v\"\n.long 0x7fffffff\n" REF(x) TAIL,
	/*
	 * references to the header, to the middle, to nothing; children without an end; an unknown
	 * abbreviation
	 */
	HEAD STRUCT "x=b\n" TAIL,
	HEAD STRUCT "x=b+0x7fffff\n" TAIL,
	HEAD STRUCT "x=e\n" TAIL,
	HEAD ".uleb128 4\n.string \"s\"\nx: .uleb128 5\n.string \"m\"\n" REF(x) "e:\n",
	HEAD ".uleb128 77\n" TAIL,
};

static void test_circles(void **state)
{
	(void)state;
	need("gcc");
	for (size_t i = 0; i < sizeof(circles) / sizeof(*circles); i++) {
		put("circle.s", circles[i]);
		run("gcc -c circle.s -o before.o && cp before.o after.o");
		char *text = compare("f");
		if (!strstr(text, "types "))
			fail_msg("circle %zu: %s", i, text);
		free(text);
	}
}

static const char rich[] =
	"enum e { A, B = -7 }; typedef struct { char c[3][4]; enum e e; } t_t; union u { t_t t; double d; "
	"};\n"
	"struct s { struct s *next; union u u; unsigned b : 3, c : 9; struct { int x; struct { long y; } "
	"z[2]; };\n"
	"int (*h)(struct s *, const t_t **, ...); enum { P, Q } k; _Bool f[]; };\n"
	"static struct { int a; } table[4]; __thread long tls; extern struct q *q; struct q *h(struct s *, "
	"...);\n"
	"static inline int i(struct s *p, int n) { static short once; struct l { t_t *t; } l = { &p->u.t };\n"
	"return l.t->c[n][1] + once++ + table[n].a; }\n"
	"int f(struct s *p) { q = h(p, i(p, 1)); return i(p, 2) + tls; } void g(int x) { table[x & 3].a = P; "
	"}\n";

static void test_mutated(void **state)
{
	const char *more = getenv("TYPES_SEEDS"); /* for a long run by hand */
	uint32_t n = more ? (uint32_t)strtoul(more, NULL, 0) : 600;
	(void)state;
	mutate("gcc", "-O2", rich, 0, n);
	mutate("gcc", "-O2 -gdwarf-4", rich, n, n);
	mutate("gcc", "-O0 -gz", rich, 2 * n, n);
}

static void test_mutated_clang(void **state)
{
	(void)state;
	mutate("clang", "-O2", rich, 10000000, 600);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_gcc, setup, teardown),
		cmocka_unit_test_setup_teardown(test_clang, setup, teardown),
		cmocka_unit_test_setup_teardown(test_without_types, setup, teardown),
		cmocka_unit_test_setup_teardown(test_without_types_clang, setup, teardown),
		cmocka_unit_test_setup_teardown(test_type_units, setup, teardown),
		cmocka_unit_test_setup_teardown(test_files, setup, teardown),
		cmocka_unit_test_setup_teardown(test_circles, setup, teardown),
		cmocka_unit_test_setup_teardown(test_mutated, setup, teardown),
		cmocka_unit_test_setup_teardown(test_mutated_clang, setup, teardown),
	};
	return cmocka_run_group_tests_name("types", tests, NULL, NULL);
}
