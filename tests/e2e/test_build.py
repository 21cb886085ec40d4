# SPDX-License-Identifier: MIT
"""usplice build: the cases that other tools were measured with. Each is a small program, its patch, and what it answers.

More of the kind are in test_build_code.py. refuses() wants the reason by name.
"""

from harness import *
from projects import *

TWIN = """
static __attribute__((noinline)) long helper(long n)
{
	return n * %s;
}
long %s(long n)
{
	return helper(n) + 1;
}
"""
TWINS = """
long first(long), second(long);
long answer(long n)
{
	return first(n) * 1000 + second(n);
}
"""


@case
def same_named_static_functions_in_two_files():
    patches({"a.c": TWIN % (3, "first"), "b.c": TWIN % (5, "second"),
             "c.c": TWINS},
            {"b.c": ("n * 5", "n * 7 + (n >> 5)")}, {2: (7011, 7015)}, WIDE)


@case
def same_named_static_functions_of_same_named_files():
    makefile = MAKEFILE.replace("$(wildcard *.c)", "main.c c.c x/u.c y/u.c")
    patches({"x/u.c": TWIN % (3, "first"), "y/u.c": TWIN % (5, "second"),
             "c.c": TWINS},
            {"y/u.c": ("n * 5", "n * 7 + (n >> 5)")}, {2: (7011, 7015)}, makefile=makefile)


COLD = """
extern int failures;
int failures;
__attribute__((noinline, cold)) long report(long n)
{
	failures++;
	return -n;
}
__attribute__((noinline)) static long work(long n)
{
	if (__builtin_expect(n < 0, 0)) {
		if (report(n) > 100)
			return report(n + 1000) * 3;
		return report(n + 4) + 1;
	}
	return n * 3;
}
long answer(long n)
{
	return work(n) + 1;
}
"""


@case
def only_the_cold_part_changed():
    patches(COLD, ("n + 4) + 1", "n + 4) + 2"), {-9: (7, 8), 2: (7, 7), -200: (-2399, -2399)}, WIDE)
    patches(COLD, ("n + 4) + 1", "n + 4) + 2"), {-9: (7, 8), 2: (7, 7)}, GCC, replaced=["work"])
    need_symbol(r"work\.cold")


@case
def parent_with_cold_changed():
    patches(COLD, ("n * 3;\n}", "n * 4;\n}"), {-9: (7, 7), 2: (7, 9), -200: (-2399, -2399)}, GCC, ["work"])
    need_symbol(r"work\.cold")


@case
def floating_point_constant():
    text = "long answer(long n)\n{\n\tdouble x = (double)n * 2.25;\n\treturn (long)(x * (float)n * 1.5f);\n}\n"
    patches(text, ("2.25", "2.75"), {2: (13, 16), 4: (54, 66)}, WIDE, ["answer"])


@case
def initialised_data_changed():
    text = "int limit = 10;\nlong answer(long n)\n{\n\treturn n > limit ? -1 : n;\n}\n"
    refuses(text, ("limit = 10", "limit = 20"), "data", "limit")
    # With code beside it, too: it is no reason to forget the data.
    refuses(text, ("limit = 10", "limit = 20", "? -1", "? -2"), "data", "limit", builds=GCC)


LINES = """
static volatile int last;
__attribute__((noinline)) long note(int line, long n)
{
	last = line;
	return n;
}
__attribute__((noinline)) static long first(long n)
{
	return n + 1;
}
__attribute__((noinline)) static long second(long n)
{
	if (n < 0)
		return note(__LINE__, n - 5);
	if (n > 1000)
		return note(__LINE__, n) + 1;
	return n * 2;
}
long answer(long n)
{
	return first(n) + second(n);
}
"""


@case
def line_numbers_that_moved():
    patches(LINES, ("\treturn n + 1;", "\tif (n == 7)\n\t\treturn 100;\n\treturn n + 1;"),
            {7: (22, 114), -1: (-6, -6), 3: (10, 10)}, [(c, f) for c in COMPILERS for f in ("-O0", "-O2")],
            replaced=["first"], lines=["second"])


@case
def jump_table():
    text = """
__attribute__((noinline)) static long g(long n) { return n + 3; }
__attribute__((noinline)) static long h(long n) { return n * 2; }
__attribute__((noinline)) static long pick(long n)
{
	switch (n) {
	case 0: return g(1);
	case 1: return h(g(2));
	case 2: return g(h(3) + 1);
	case 3: return h(4) - 1;
	case 4: return g(5) * g(6);
	case 5: return g(7) + h(8);
	case 6: return g(9) - h(10);
	case 7: return h(h(g(11)));
	}
	return 0;
}
__attribute__((noinline)) static long other(long n)
{
	switch (n) {
	case 0: return h(1);
	case 1: return h(h(2));
	case 2: return g(h(3) + 2);
	case 3: return h(4) - 3;
	case 4: return h(5) * g(6);
	case 5: return h(7) + h(8);
	}
	return 1;
}
long answer(long n)
{
	return pick(n) * 1000 + other(n);
}
"""
    old = [4, 10, 10, 7, 72, 26, -8, 56, 0]
    new = [4, 10, 10, 7, 26, 73, -8, 56, 0]
    other = [2, 8, 11, 5, 90, 30, 1, 1, 1]
    asked = {n: (old[n] * 1000 + other[n], new[n] * 1000 + other[n]) for n in range(9)}
    patches(text, ("case 4: return g(5) * g(6);\n\tcase 5: return g(7) + h(8);",
                   "case 5: return g(5) * g(6) + 1;\n\tcase 4: return g(7) + h(8);"),
            asked, WIDE, ["pick"])


@case
def constprop_callee():
    text = """
__attribute__((noinline)) static long g(long n) { return n + 3; }
__attribute__((noinline)) static long work(long x, long mode)
{
	long n = 0;
	for (long i = 0; i < x; i++)
		n += g(i + mode);
	return n;
}
__attribute__((noinline)) static long one(long x) { return work(x, 3); }
__attribute__((noinline)) static long two(long x) { return work(x + 1, 3); }
long answer(long n)
{
	return one(n) * 1000 + two(n);
}
"""
    patches(text, ("\treturn n;\n", "\treturn n + g(mode);\n"), {2: (13021, 19027)}, WIDE)
    patches(text, ("i + mode", "i - mode"), {2: (13021, 1003)}, GCC)
    need_symbol(r"work\.(constprop|isra)\.\d+")


@case
def same_named_static_locals_inlined():
    """gcc calls them count.0 and count.1: right, or refused as what cannot be told apart."""
    text = """
static inline long first(long n)
{
	static long count = 5;
	count += n;
	return count;
}
static inline long second(long n)
{
	static long count = 500;
	count += 2 * n;
	return count;
}
long answer(long n)
{
	return first(n) * 10000 + second(n);
}
"""
    for cc in COMPILERS:
        p = Project(text, ("return first(n) * 10000", "return first(n) * 100000"), make(cc), name=cc)
        v = Victim(p.install())
        equal(v.ask("1"), "60502")
        report, r = p.build(code=(OK, UNSUPPORTED) if cc == "gcc" else OK)
        if r.code != OK:
            found = [(f["kind"], plain(f["name"])) for f in report["findings"]]
            equal(found, [("ambiguous", "count")] * 2, str(r))
            continue
        on(v, "load", tmp(cc + ".usp"))
        equal(v.ask("1"), "700504", cc)
        on(v, "revert", cc)
        equal(v.ask("1"), "80506", cc)


@case
def static_locals_that_cannot_be_told_apart():
    text = """
__attribute__((always_inline)) static inline long first(long n)
{
	static long count;
	return n + count++;
}
__attribute__((always_inline)) static inline long second(long n)
{
	static long count;
	return n - count++;
}
long answer(long n)
{
	return first(n) * 1000 + second(n);
}
"""
    refuses(text, ("return n + count++", "count += n;\n\treturn n + count++"), "ambiguous", "count",
            builds=GCC)


TLS = """
static __thread long mine = 3;
__thread long shared;
long answer(long n)
{
	mine += n;
	shared = n;
	return mine;
}
"""


@case
def existing_thread_local_variable():
    for number, (cc, flags) in enumerate(FORMS):
        p = Project(TLS, ("shared = n;\n\treturn mine;", "shared += n;\n\treturn mine * 1000 + shared;"),
                    make(cc, flags), name="t%d" % number)
        v = Victim(p.install())
        equal(v.ask("4"), "7")
        p.build()
        on(v, "load", tmp("t%d.usp" % number))
        equal(v.ask("5"), "12009", cc + flags)
        on(v, "revert", "t%d" % number)
        equal(v.ask("1"), "13", cc + flags)


@case
def thread_local_variable_of_a_library():
    p = Project(TLS, ("shared = n;\n\treturn mine;", "shared += n;\n\treturn mine * 1000 + shared;"),
                makefile=MAKEFILE_LIBRARY, built="libthing.so")
    v = Victim(p.install())
    equal(v.ask("4"), "7")
    p.build()
    on(v, "load", tmp("tree.usp"))
    equal(v.ask("5"), "12009")


@case
def new_thread_local_variable():
    refuses(TLS, ("__thread long shared;", "__thread long shared;\nstatic __thread long fresh = 2;",
                  "return mine;", "fresh += n;\n\treturn mine + fresh;"), "tls", "fresh")


@case
def new_call_into_the_c_library():
    text = "#include <stdlib.h>\n#include <string.h>\nlong answer(long n)\n{\n\treturn n + 1;\n}\n"
    patches(text, ("return n + 1", 'return a64l("./z") + strspn("aab", "ab") + (n & 1)'),
            {3: (4, (1 << 6) + (63 << 12) + 3 + 1)}, WIDE, ["answer"])


@case
def new_call_into_another_library():
    text = "#include <math.h>\nlong answer(long n)\n{\n\treturn (long)floor((double)n / 2);\n}\n"
    patches(text, ("floor((double)n / 2)", "cbrt((double)n)"), {27: (13, 3)},
            [(c, "-O2 -fno-builtin") for c in COMPILERS], makefile=MAKEFILE.replace("$(LIBS)", "-lm"))


@case
def call_into_a_library_that_is_not_there():
    """Nothing of the target needs libm: refused at build, by name."""
    text = "#include <math.h>\nlong answer(long n)\n{\n\treturn n / 2;\n}\n"
    p = Project(text, {"a.c": ("n / 2", "(long)cbrt((double)n)"), "Makefile": ("$(LIBS)", "-lm")})
    v = Victim(p.install())
    if "libm" in "".join(m.name for m in maps(v.pid)):
        raise Skip("the C library is one with libm here")
    _, r = p.build(code=NOT_FOUND)
    contains(r.err, "cbrt", "libc.so.6")


@case
def pointer_to_a_patched_function():
    text = """
long work(long n)
{
	return n + 1;
}
static long (*stored)(long);
__attribute__((noinline)) static long ask(long n)
{
	return (stored == work) * 1000 + stored(n);
}
__attribute__((noinline)) static void store(void)
{
	stored = work;
}
long answer(long n)
{
	if (!stored || n == 0)
		store();
	return ask(n);
}
"""
    edit = ("return n + 1;", "return n + 2;", "* 1000", "* 3000",
            "stored = work;\n", "stored = work;\n\tif (n > 9)\n\t\tstored(5);\n",
            "store(void)", "store(long n)", "store();", "store(n);")
    patches(text, edit, {5: (1006, 3007), 0: (1001, 3002), 1: (1002, 3003)}, WIDE)


IFUNC = """
static long plain(long n)
{
	return n + 1;
}
static long (*resolve(void))(long)
{
	return plain;
}
long pick(long n) __attribute__((ifunc("resolve")));
%slong answer(long n)
{
	return pick(n) * 2;
}
"""


@case
def caller_of_an_ifunc():
    edit = ("pick(n) * 2", "pick(n + 1) * 3")
    patches(IFUNC % "", edit, {3: (8, 15)}, WIDE, ["answer"])
    apart = (IFUNC % "@").split("@")
    patches({"b.c": apart[0], "a.c": "long pick(long n);\n" + apart[1]}, edit, {3: (8, 15)}, FORMS, ["answer"])


@case
def caller_of_an_ifunc_of_the_c_library():
    text = "#include <string.h>\nchar buffer[64];\n" + \
        function("long answer(long n)", "memset(buffer, 'x', n);", "buffer[n] = 0;", "return strlen(buffer);")
    patches(text, ("strlen(buffer)", "strchr(buffer, 0) - strrchr(buffer, 'x') + 10 * strlen(buffer)"),
            {7: (7, 71)}, [(c, f + " -fno-builtin") for c, f in FORMS], ["answer"])


CXX = """
#include <stdexcept>
struct shape {
	virtual ~shape() {}
	virtual long area(long n) const;
};
struct square : shape {
	long area(long n) const override;
};
template <typename T> __attribute__((noinline)) T twice(T n) { return n * 2; }
long shape::area(long n) const { return n; }
long square::area(long n) const { return twice(n * n); }
static square one;
static shape two;
__attribute__((noinline)) long check(long n)
{
	if (n < 0)
		throw std::runtime_error("negative");
	return n;
}
__attribute__((noinline)) long guarded(long n)
{
	try {
		return check(n);
	} catch (const std::exception &) {
		return -1;
	}
}
static const shape *volatile pick[] = {&one, &two};
extern "C" long answer(long n) { return pick[n & 1]->area(n) * 1000 + guarded(n - 3); }
"""
CXX_MAKEFILE = """
CXX = g++
CXXFLAGS = -g -O2
prog: main.o a.o
	$(CXX) -o $@ main.o a.o
a.o: a.cc Makefile
	$(CXX) $(CXXFLAGS) -c -o $@ a.cc
main.o: main.c
	gcc -g -O2 -c -o $@ main.c
"""
CXX_BUILDS = [c for c in ("g++", "clang++") if shutil.which(c)]


def cxx(compiler, *edit):
    return Project({"a.cc": CXX, "Makefile": CXX_MAKEFILE}, {"a.cc": edit}, ["make", "CXX=" + compiler], name=compiler)


@case
def cxx_virtual_function():
    for compiler in CXX_BUILDS or [need("g++")]:
        p = cxx(compiler, "twice(n * n)", "twice(n * n + 1) + 1")
        program = p.install()
        report, r = p.build()
        equal([f["name"] for f in report["functions"] if f["role"] == "replaced"], ["_ZNK6square4areaEl"], compiler)
        behaves(p, program, {4: (32001, 35001), 3: (3000, 3000), 2: (7999, 10999)})


@case
def cxx_comdat_function():
    for compiler in CXX_BUILDS or [need("g++")]:
        p = cxx(compiler, "return n * 2;", "return n * 3;")
        p.install()
        report, r = p.build(code=UNSUPPORTED)
        found = [(f["kind"], f["name"]) for f in report["findings"] if not f["note"]]
        equal(found, [("symbol", "_Z5twiceIlET_S0_")], compiler)


@case
def cxx_function_with_a_handler():
    for compiler in CXX_BUILDS or [need("g++")]:
        p = cxx(compiler, "return -1;", "return -2;")
        p.install()
        _, r = p.build(code=UNSUPPORTED)
        check("guarded" in r.err or ".gcc_except_table" in r.err, str(r))
        # And nobody's word makes it possible.
        _, r = p.build("--allow", "section=because", code=UNSUPPORTED)
        contains(r.err, "guarded", "exceptions")


@case
def cxx_function_that_throws():
    for compiler in CXX_BUILDS or [need("g++")]:
        p = cxx(compiler, "if (n < 0)", "if (n <= 0)")
        program = p.install()
        _, r = p.build(code=(OK, UNSUPPORTED))
        if r.code == OK:
            behaves(p, program, {3: (3000, 2999), 4: (32001, 32001), 2: (7999, 7999)})
        else:
            contains(r.err, "check")  # cleans up what it was about to throw


@case
def strings():
    text = 'const char *name = "nobody";\nconst char *answer(long n)\n{\n\treturn n ? "good morning" : name;\n}\n'
    patches(text, ("good morning", "good evening, and a long way home"),
            {1: ("good morning", "good evening, and a long way home"), 0: ("nobody", "nobody")},
            WIDE, ["answer"], main=MAIN_TEXT)


@case
def inlined_callee():
    text = """
static inline long clamp(long n)
{
	return n > 100 ? 100 : n;
}
__attribute__((noinline)) long one(long n) { return clamp(n) + 1; }
__attribute__((noinline)) long two(long n) { return clamp(n * 2) + 2; }
__attribute__((noinline)) long three(long n) { return n * 3; }
long answer(long n) { return one(n) * 1000000 + two(n) * 1000 + three(n); }
"""
    patches(text, ("n > 100 ? 100", "n > 50 ? 50"), {60: (61102180, 51052180)},
            replaced=["one", "two"])
    patches(text, ("n > 100 ? 100", "n > 50 ? 50"), {60: (61102180, 51052180)},
            [(c, "-O0") for c in COMPILERS], replaced=["clamp"])


main()
