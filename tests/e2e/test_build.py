# SPDX-License-Identifier: MIT
"""usplice build: what a changed function consists of. Each case is a small program, its patch, and what it answers.

First the cases that other tools were measured with (docs/object-diff.md), then others. refuses() wants the reason by name.
"""

import re

from harness import *
from projects import *

GCC = [("gcc", "-O2")]


def has_symbol(path, pattern):
    out = subprocess.run(["nm", path], stdout=subprocess.PIPE, check=True, text=True).stdout
    return re.search(r"\s%s$" % pattern, out, re.M)


def need_symbol(pattern):
    """The case is about something that the compiler made, in the last project."""
    path = max((tmp(n, "prog") for n in os.listdir(tmp()) if n.endswith("-run")), key=os.path.getmtime)
    check(has_symbol(path, pattern), "the compiler made no %s: this is not the case that it says" % pattern)


# --- measured cases ----------------------------------------------------------------------------------------------

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


# --- others ------------------------------------------------------------------------------------------------------

@case
def short_jump_out_of_the_function():
    """At -Os two functions lie beside each other, and the call at the end of one is a jump of two bytes to the other."""
    text = """
__attribute__((noinline)) static long near(long n)
{
	return n * 5 + 2;
}
__attribute__((noinline)) long user(long n)
{
	if (n == 3)
		return 9;
	return near(n + 1);
}
long far(long n)
{
	return user(n) + near(n);
}
long answer(long n) { return far(n); }
"""
    p = Project(text, ("n == 3", "n == 4"), make("gcc", "-Os"))
    program = p.install()
    out = subprocess.run(["objdump", "-d", p.path("a.o")], stdout=subprocess.PIPE, text=True, check=True).stdout
    user = out[out.index("<user>:"):].split("\n\n")[0]
    check(re.search(r"\t(eb|7\w) \w\w\s+\t(jmp|j\w+) .*<near>", user), "no short jump to near:\n" + user)
    p.build()
    behaves(p, program, {1: (12 + 7, 12 + 7), 3: (9 + 17, 22 + 17), 4: (27 + 22, 9 + 22)})
    patches(text, ("n * 5 + 2", "n * 5 + 3", "n == 3", "n == 4"),
            {1: (19, 21), 3: (26, 41), 4: (49, 32)}, WIDE)


@case
def computed_goto():
    text = """
static const unsigned char program[][4] = {{0, 1, 2}, {1, 1, 2}, {0, 0, 2}, {2}};
long answer(long n)
{
	static const void *const table[] = {&&add, &&sub, &&stop};
	const unsigned char *p = program[n & 3];
	goto *table[*p++];
add:
	n += 7;
	goto *table[*p++];
sub:
	n *= 3;
	goto *table[*p++];
stop:
	return n;
}
"""
    asked = {0: (21, 21), 1: (9, 9), 2: (16, 16), 3: (3, 3), 4: (33, 33), 6: (20, 1), 20: (81, 3)}
    patches(text, ("n += 7;", "n += 7;\n\tif (n > 16)\n\t\tn = 1;"), asked, WIDE, ["answer"])


@case
def recursion_of_a_changed_function():
    text = "long answer(long n)\n{\n\tif (n < 2)\n\t\treturn n;\n\treturn answer(n - 1) + answer(n - 2) * 1;\n}\n"
    patches(text, ("* 1", "* 2"), {6: (8, 21)}, WIDE, ["answer"])


STATICS = """
static long total = 10;
static long unused[3] = {1, 2, 3};
long answer(long n)
{
	static long calls;
	calls++;
	total += n;
	return total * 1000 + calls + unused[1] - 2;
}
"""


@case
def static_locals_keep_their_values():
    for number, (cc, flags) in enumerate(WIDE):
        what = cc + " " + flags
        p = Project(STATICS, ("+ calls +", "+ calls * 10 +"), make(cc, flags), name="t%d" % number)
        v = Victim(p.install())
        equal(v.ask("5"), "15001", what)
        p.build()
        on(v, "load", tmp("t%d.usp" % number))
        equal(v.ask("1"), "16020", what)
        equal(v.ask("1"), "17030", what)
        on(v, "revert", "t%d" % number)
        equal(v.ask("1"), "18004", what)


@case
def static_data_of_a_library_keeps_its_values():
    for cc in COMPILERS:
        p = Project(STATICS, ("+ calls +", "+ calls * 10 +"), ["make", "CC=" + cc], makefile=MAKEFILE_LIBRARY,
                    built="libthing.so", name=cc)
        v = Victim(p.install())
        equal(v.ask("5"), "15001", cc)
        p.build()
        on(v, "load", tmp(cc + ".usp"))
        equal(v.ask("1"), "16020", cc)
        on(v, "revert", cc)
        equal(v.ask("1"), "17003", cc)


@case
def function_split_in_two():
    text = "long answer(long n)\n{\n\treturn n * n + n * 3;\n}\n"
    new = function("static __attribute__((noinline)) long part(long n)", "return n * 3 + 1;") + \
        function("long answer(long n)", "return n * n + part(n);")
    patches(text, new, {4: (28, 29)}, WIDE, ["answer"], ["part"])


@case
def new_global_and_static_variables():
    text = "long answer(long n)\n{\n\treturn n * 7 + (n >> 1);\n}\n"
    new = """
long seen = 4;
static long counted[2];
static const long steps[] = {10, 20, 30};
long answer(long n)
{
	static const char *const words[] = {"a", "bcd", "ef"};
	counted[n & 1] += steps[n % 3];
	seen += words[n % 3][0] - 'a';
	return counted[0] * 1000 + seen;
}
"""
    for number, (cc, flags) in enumerate(WIDE):
        what = cc + " " + flags
        p = Project(text, new, make(cc, flags), name="t%d" % number)
        v = Victim(p.install())
        equal(v.ask("5"), "37", what)
        p.build()
        on(v, "load", tmp("t%d.usp" % number))
        equal(v.ask("2"), "30008", what)
        equal(v.ask("4"), "50009", what)
        on(v, "revert", "t%d" % number)
        equal(v.ask("5"), "37", what)


@case
def new_function_that_uses_old_data_by_pointer():
    text = "static long table[4] = {1, 2, 3, 4};\nlong *cursor = &table[1];\n" + \
        function("long answer(long n)", "table[n & 3]++;", "return *cursor;")
    new = ("long answer", "static long **where = &cursor;\nlong answer",
           "return *cursor;", "return **where * 100 + *cursor;")
    for number, (cc, flags) in enumerate(USUAL):
        p = Project(text, new, make(cc, flags), name="t%d" % number)
        v = Victim(p.install())
        equal(v.ask("1"), "3")
        p.build()
        on(v, "load", tmp("t%d.usp" % number))
        equal(v.ask("1"), "404")


@case
def references_to_the_midst_of_arrays():
    text = """
static long first[10] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
static int second[20] = {[7] = 70, [8] = 80, [19] = 190};
static const char letters[] = "abcdefghij";
long answer(long n)
{
	return first[n + 4] * 10000 + second[7 + (n & 1)] * 10 + letters[n + 2];
}
long end(long *p)
{
	return p == first + 10;
}
"""
    asked = {1: (50800 + ord("d"), 60800 + ord("d")), 2: (60700 + ord("e"), 70700 + ord("e"))}
    patches(text, ("first[n + 4]", "first[n + 5]"), asked, WIDE, ["answer"])
    asked = {2: (60700 + ord("e"), 50700 + ord("e"))}
    patches(text, ("first[n + 4]", "first[n + 4 - (n > 1)]"), asked, FORMS, ["answer"])


@case
def caller_of_a_weak_function():
    text = """
__attribute__((weak, noinline)) long fallback(long n)
{
	return n + 1;
}
__attribute__((weak)) long missing(long n);
long answer(long n)
{
	return fallback(n) + (missing ? 1000 : 2000);
}
"""
    patches(text, ("fallback(n) +", "fallback(n) * 2 +"), {3: (2004, 2008)}, FORMS, ["answer"])
    # The strong one of another file is the program's.
    strong = function("long fallback(long n)", "return n + 10;")
    patches({"a.c": text, "b.c": strong}, ("fallback(n) +", "fallback(n) * 2 +"),
            {3: (2013, 2026)}, FORMS, ["answer"])


@case
def function_shorter_than_a_jump():
    text = "long answer(long n)\n{\n\treturn n;\n}\n"
    p = Project(text, ("return n", "return n * 3"))
    p.install()
    _, r = p.build(code=UNSUPPORTED)
    contains(r.err, "answer", "too few for a jump")


WEAK = """
__attribute__((weak, noinline)) long fallback(long n)
{
	return n + 1;
}
long answer(long n)
{
	return fallback(n);
}
"""


@case
def weak_function_that_gets_a_strong_one():
    """Callers of the old one are not rebuilt, and still go to it: not to be passed over in silence."""
    other = function("long other(long n)", "return n * 5;")
    strong = function("long fallback(long n)", "return n * 2;")
    p = Project({"a.c": WEAK, "b.c": other}, {"b.c": ("long other", strong + "long other", "n * 5", "n * 6")})
    p.install()
    report, r = p.build(code=UNSUPPORTED)
    contains(r.err, "fallback")


@case
def weak_function_changed():
    refuses(WEAK, ("n + 1", "n + 2"), "symbol", "fallback", builds=GCC)


LIBRARY = """
__attribute__((noinline)) long inner(long n)
{
	return n + 1;
}
__attribute__((noinline, visibility("hidden"))) long hidden(long n)
{
	return n + 2;
}
__attribute__((noinline)) static long local(long n)
{
	return n + 3;
}
long (*table[])(long) = {inner, hidden, local};
long answer(long n)
{
	return inner(n) + hidden(n) * 100 + local(n) * 10000 + table[n % 3](n) * 1000000;
}
"""


def library(edit, asked, replaced, cc, flags):
    p = Project(LIBRARY, edit, ["make", "CC=" + cc, "CFLAGS=-g " + flags], MAKEFILE_LIBRARY,
                built="libthing.so", name="%s%s" % (cc, flags.replace(" ", "")))
    program = p.install()
    report, r = p.build()
    equal(p.named(report, "replaced"), sorted(replaced), "%s %s\n%s" % (cc, flags, r))
    behaves(p, program, asked)
    shutil.rmtree(p.tree)


@case
def function_of_a_library_called_through_the_plt():
    for cc, flags in WIDE:
        library(("return inner(n) +", "return inner(n) * 2 +"), {3: (4060504, 4060508)}, ["answer"], cc, flags)


@case
def calls_among_library_functions():
    for cc, flags in WIDE + [("gcc", "-O2 -fno-plt"), ("gcc", "-O2 -fno-semantic-interposition"),
                             ("gcc", "-O2 -fcf-protection -fstack-protector-strong")]:
        library(("n + 1", "n + 4", "n + 2", "n + 5", "n + 3", "n + 6"),
                {3: (4060504, 7090807), 4: (6070605, 9100908), 5: (8080706, 11111009)},
                ["inner", "hidden", "local"], cc, flags)


@case
def function_that_the_program_has_instead_of_the_library():
    """A call of an exported function goes where the dynamic linker sends it, in the new code as in the old."""
    main_c = MAIN.replace("int main", "long inner(long n) { return n + 50; }\nint main")
    p = Project(LIBRARY, ("return inner(n) +", "return inner(n) * 2 +"), makefile=MAKEFILE_LIBRARY,
                built="libthing.so", main=main_c)
    program = p.install()
    p.build()
    behaves(p, program, {3: (53060553, 53060606)})


@case
def global_data_of_a_library_that_the_program_has_copied():
    """COPY relocation: the library's variable lives in the program."""
    text = "long level = 7;\nlong answer(long n)\n{\n\treturn n + level;\n}\n"
    main_c = MAIN.replace("int main", "extern long level;\nint main")
    main_c = main_c.replace("answer(atol(line))", "(level += 1, answer(atol(line)))")
    makefile = MAKEFILE_LIBRARY.replace("$(CFLAGS) -fPIC", "$(CFLAGS) $(if $(filter main.c,$<),,-fPIC)")
    p = Project(text, ("n + level", "n * 100 + level"), ["make", "CFLAGS=-g -O2 -fno-pic", "LDFLAGS=-no-pie"], makefile,
                main_c, built="libthing.so")
    v = Victim(p.install())
    equal(v.ask("5"), "13")
    p.build()
    on(v, "load", tmp("tree.usp"))
    equal(v.ask("5"), "509")
    on(v, "revert", "tree")
    equal(v.ask("5"), "15")


@case
def function_sections_and_what_the_linker_leaves_out():
    text = "long unused(long n)\n{\n\treturn n * 9;\n}\nlong answer(long n)\n{\n\treturn n + 1;\n}\n"
    p = Project(text, ("n * 9", "n * 8", "n + 1", "n + 2"),
                ["make", "CFLAGS=-g -O2 -ffunction-sections -fdata-sections", "LDFLAGS=-Wl,--gc-sections"])
    program = p.install()
    report, r = p.build()
    equal({f["name"]: f["role"] for f in report["functions"]}, {"unused": "absent", "answer": "replaced"})
    behaves(p, program, {1: (2, 3)})


@case
def change_only_in_what_the_linker_left_out():
    text = "long unused(long n)\n{\n\treturn n * 9;\n}\nlong answer(long n)\n{\n\treturn n + 1;\n}\n"
    p = Project(text, ("n * 9", "n * 8"),
                ["make", "CFLAGS=-g -O2 -ffunction-sections -fdata-sections", "LDFLAGS=-Wl,--gc-sections"])
    p.install()
    report, r = p.build(code=NO_CHANGE)
    equal(report["verdict"], "no-change")
    equal({f["name"]: f["role"] for f in report["functions"]}, {"unused": "absent"})


@case
def optimisation_with_registers_that_a_callee_leaves_alone():
    """-fipa-ra: callers of a function that now clobbers more are taken along, or the payload would break them."""
    text = """
volatile long sink;
__attribute__((noinline)) static long leaf(long n)
{
	return n + 1;
}
__attribute__((noinline)) static long keeps(long n, long a, long b, long c)
{
	long r = leaf(n);
	return r + a * 10 + b * 100 + c * 1000;
}
long answer(long n)
{
	return keeps(n, 1, n & 3, 3);
}
"""
    edit = ("\treturn n + 1;", """\tlong x[6];
	for (int i = 0; i < 6; i++) {
		sink = n * i;
		x[i] = sink;
	}
	sink = x[0] + x[5] * x[3] / (x[1] + 1) + x[2] * x[4];
	__asm__ volatile("" ::: "rsi", "rcx", "rdx", "rdi", "r8", "r9", "r10", "r11");
	return n + 2;""")
    patches(text, edit, {5: (3116, 3117)}, GCC, replaced=["leaf", "keeps"])


@case
def stack_protector_fortify_and_branch_protection():
    text = """
#include <stdio.h>
#include <string.h>
char out[100];
const char *answer(long n)
{
	char buffer[32];
	snprintf(buffer, sizeof(buffer), "<%ld>", n);
	strcpy(out, buffer);
	return out;
}
"""
    hard = "-O2 -fstack-protector-strong -D_FORTIFY_SOURCE=2 -fcf-protection -Wformat -Werror=format-security"
    patches(text, ("<%ld>", "[%ld]", "strcpy(out, buffer);",
                   "memcpy(out, buffer, strlen(buffer) + 1);\n\tstrncat(out, \"!\", 2);"), {4: ("<4>", "[4]!")},
            [(c, hard) for c in COMPILERS], ["answer"], main=MAIN_TEXT)


@case
def higher_levels_and_sections():
    text = """
__attribute__((noinline)) static long sum(const long *v, long n)
{
	long r = 0;
	for (long i = 0; i < n; i++)
		r += v[i] * v[i];
	return r;
}
long values[40];
long answer(long n)
{
	for (long i = 0; i < 40; i++)
		values[i] = i % (n + 1);
	return sum(values, 40);
}
"""
    def total(n, f):
        return sum(f(i % (n + 1)) for i in range(40))
    patches(text, ("v[i] * v[i]", "v[i] * v[i] + (v[i] ^ 5)"),
            {6: (total(6, lambda v: v * v), total(6, lambda v: v * v + (v ^ 5)))},
            [(c, f) for c in COMPILERS
             for f in ("-O3", "-O3 -ffast-math -funroll-loops", "-O1", "-Og", "-O2 -ffunction-sections")])


main()
