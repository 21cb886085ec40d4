# SPDX-License-Identifier: MIT
"""usplice build: what a changed function may consist of and refer to. Each case is a small program and its patch."""

import re

from harness import *
from projects import *


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
    # Others have local functions of this name: that does not make it another one.
    local = function("static long fallback(long n)", "return n * %d;")
    more = {"c%d.c" % i: local % i + function("long local%d(long n)" % i, "return fallback(n) + 1;") for i in (3, 4)}
    for number, others in enumerate(({}, more)):
        p = Project({"a.c": WEAK, "b.c": other, **others},
                    {"b.c": ("long other", strong + "long other", "n * 5", "n * 6")}, name="tree%d" % number)
        p.install()
        report, r = p.build(code=UNSUPPORTED)
        contains(r.err, "(symbol)", "fallback", "which one callers mean")


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


@case
def constant_tables():
    text = """
static const long steps[] = {3, 1, 4, 1, 5, 9, 2, 6};
static const char *const words[] = {"zero", "one", "two", "three"};
__attribute__((noinline)) static long one(long n) { return steps[n & 7] + 1; }
__attribute__((noinline)) static long two(long n) { return steps[(n + 1) & 7] + 2; }
__attribute__((noinline)) static long three(long n) { return words[n & 3][1]; }
long answer(long n) { return one(n) * 1000000 + two(n) * 1000 + three(n); }
"""
    patches(text, ("5, 9, 2", "5, 8, 2"), {4: (6011101, 6010101), 5: (10004110, 9004110), 1: (2006110, 2006110)}, WIDE)
    patches(text, ('"one"', '"ona"', '[1]; }', '[2]; }'), {1: (2006110, 2006097), 2: (5003119, 5003111)}, FORMS, ["three"])


@case
def constant_table_that_others_see():
    """An exported one is the target's: its content cannot change."""
    text = "const long steps[] = {3, 1, 4, 1};\nlong answer(long n)\n{\n\treturn steps[n & 3] + 1;\n}\n"
    refuses(text, ("4, 1", "4, 2"), "data", "steps", builds=GCC)


@case
def table_of_functions():
    """The target's own table goes on leading to the one entry of each."""
    text = """
static long one(long n) { return n + 1; }
static long two(long n) { return n + 2; }
static long (*const table[])(long) = {one, two};
static const struct { const char *name; long (*call)(long); } rows[] = {{"one", one}, {"two", two}};
long answer(long n) { return table[n & 1](n) * 1000 + rows[(n >> 1) & 1].call(n); }
"""
    patches(text, ("n + 1", "n + 3"), {0: (1001, 3003), 1: (3002, 3004), 2: (3004, 5004), 3: (5005, 5005)}, WIDE, ["one"])
    patches(text, ("* 1000", "* 2000", "n + 2", "n + 4"), {0: (1001, 2001), 1: (3002, 10002), 2: (3004, 6006)}, WIDE)


@case
def new_table_of_old_and_new_functions():
    text = """
__attribute__((noinline)) static long one(long n) { return n + 1; }
long answer(long n) { return one(n) * 10; }
"""
    new = """
__attribute__((noinline)) static long one(long n) { return n + 1; }
static long two(long n) { return one(n) + 2; }
static long (*const table[])(long) = {one, two};
long (*writable[])(long) = {two, one};
long answer(long n) { return table[n & 1](n) * 10 + writable[n & 1](n) + (table[0] == one); }
"""
    for number, (cc, flags) in enumerate(WIDE):
        p = Project(text, new, make(cc, flags), name="t%d" % number)
        v = Victim(p.install())
        p.build()
        answers(v, {0: (10, 0), 1: (20, 0)}, 0, cc + flags)
        on(v, "load", tmp("t%d.usp" % number))
        answers(v, {0: (0, 14), 1: (0, 43)}, 1, cc + flags)


@case
def new_variables_beside_each_other():
    """What begins where another new one ends: whether the end or the beginning is meant cannot be told, so it is refused."""
    text = function("long answer(long n)", "return n * 7 + (n >> 1);")
    new = "static long first[4], second[4];\n__attribute__((noinline)) static long sum(const long *v)\n{\n" \
        "\treturn v[0] + v[1] + v[2] + v[3];\n}\n" + \
        function("long answer(long n)", "first[n & 3] += n;", "second[(n + 1) & 3] += 2 * n;",
                 "return sum(first) * 1000 + sum(second);")
    refuses(text, new, "ambiguous", "answer", "the end of", "the start of", builds=GCC)


@case
def vectors_and_wide_constants():
    text = """
#include <wchar.h>
static double values[8];
long answer(long n)
{
	static const double weights[8] = {1, 2, 3, 4, 5, 6, 7, 8};
	long double exact = n * 1.25L;
	double sum = 0;
	for (int i = 0; i < 8; i++)
		values[i] = (double)n * weights[i] + 0.5;
	for (int i = 0; i < 8; i++)
		sum += values[i];
	return (long)sum * 1000 + (long)exact * 10 + (long)wcslen(L"wide");
}
"""
    patches(text, ("4, 5, 6", "4, 6, 6", "1.25L", "2.25L", 'L"wide"', 'L"wider"'), {4: (148054, 152095)},
            [(c, f) for c in COMPILERS for f in ("-O2", "-O3 -ffast-math", "-O0", "-O3 -fno-pic")], ["answer"])


@case
def strings_that_share_an_end():
    text = """
const char *first = "a long foobar";
const char *answer(long n)
{
	return n == 1 ? "foobar" : n == 2 ? "bar" : n == 3 ? __func__ : first;
}
"""
    patches(text, ('"bar"', '"obar"', "n == 3", "n == 4"), {1: ("foobar", "foobar"), 2: ("bar", "obar"), 4: ("a long foobar", "answer")},
            WIDE, ["answer"], main=MAIN_TEXT)


@case
def aliases_sections_and_asm():
    text = """
__attribute__((section(".text.hot_ones"), noinline)) long placed(long n) { return n * 3; }
__attribute__((noinline, used)) static long real(long n) { return n + 7; }
long other(long n) __attribute__((alias("real")));
long answer(long n)
{
	long r;
	__asm__ goto("test $1, %0; jnz %l1" : : "r"((int)n) : "cc" : odd);
	r = placed(n);
	__asm__("lea 5(%1), %0" : "=r"(r) : "r"(r));
	return r;
odd:
	return other(n);
}
"""
    patches(text, ("n * 3", "n * 4", "lea 5", "lea 6"), {2: (11, 14), 3: (10, 10)}, WIDE, ["answer", "placed"])
    # An alias is one function with two names; clang leaves only the one that debug information does not know.
    patches(text, ("n + 7", "n + 8", "return r;", "return r + 1;"), {2: (11, 12), 3: (10, 11)}, [b for b in WIDE if b[0] == "gcc"])


@case
def same_named_data_elsewhere():
    text = "static long state = %d;\nlong table[3] = {%d, 2, 3};\n"
    files = {"a.c": "static long state = 5;\nextern long state_of_b(void);\nextern int shared;\n" +
                    function("long answer(long n)", "state += n;", "shared++;", "return state * 1000 + state_of_b() * 10 + shared;"),
             "b.c": "static long state = 7;\nint shared;\n" + function("long state_of_b(void)", "return state;")}
    for number, (cc, flags) in enumerate(WIDE + [("gcc", "-O2 -fcommon")]):
        p = Project(files, ("* 1000", "* 2000"), make(cc, flags), name="t%d" % number)
        v = Victim(p.install())
        equal(v.ask("1"), "6071")
        p.build()
        on(v, "load", tmp("t%d.usp" % number))
        equal(v.ask("1"), "14072", cc + flags)
        on(v, "revert", "t%d" % number)
        equal(v.ask("1"), "8073", cc + flags)


@case
def common_variable():
    text = "int shared[4];\n" + function("long answer(long n)", "shared[n & 3] = (int)n;", "return shared[1] + shared[2];")
    for flags in ("-O2 -fcommon", "-O2 -fcommon -fno-pic"):
        patches(text, ("shared[2];", "shared[2] * 100;"), {1: (1, 1)}, [(c, flags) for c in COMPILERS[:1]])
    p = Project(text, ("shared[2];", "shared[2] * 100;"), make("gcc", "-O2 -fcommon"), name="kept")
    v = Victim(p.install())
    equal((v.ask("1"), v.ask("2")), ("1", "3"))
    p.build()
    on(v, "load", tmp("kept.usp"))
    equal(v.ask("1"), "201")


@case
def constructor_changed():
    text = "static long start = 3;\n__attribute__((constructor)) static void begin(void)\n{\n\tstart *= 2;\n}\n" + \
        function("long answer(long n)", "return n + start;")
    refuses(text, ("start *= 2", "start *= 5"), "start", "begin", builds=GCC)


@case
def many_arguments_and_structures_by_value():
    text = """
struct big { long v[6]; };
__attribute__((noinline)) static struct big fill(long n, double d, struct big b, long a1, long a2, long a3, long a4, long a5)
{
	for (int i = 0; i < 6; i++)
		b.v[i] += n * i + (long)d;
	b.v[5] += a1 + a2 + a3 + a4 + a5;
	return b;
}
long answer(long n)
{
	struct big b = {{1, 2, 3, 4, 5, 6}};
	b = fill(n, 2.5, b, 1, 2, 3, 4, 5);
	long sum = 0;
	for (int i = 0; i < 6; i++)
		sum = sum * 3 + b.v[i];
	return sum;
}
"""
    def value(n, step):
        total = 0
        for i in range(6):
            total = total * 3 + i + 1 + n * i * step + 2 + (15 if i == 5 else 0)
        return total
    patches(text, ("n * i +", "n * i * 2 +"), {3: (value(3, 1), value(3, 2)), 9: (value(9, 1), value(9, 2))}, WIDE)


@case
def static_function_with_the_same_name_is_new():
    """A new static helper that is called as one of another file is not that one."""
    files = {"a.c": function("long answer(long n)", "return n * 3 + (n >> 9);"),
             "b.c": function("__attribute__((noinline, used)) static long helper(long n)", "return n * 100;")}
    new = function("__attribute__((noinline)) static long helper(long n)", "return n * 7;") + \
        function("long answer(long n)", "return helper(n) + (n >> 9);")
    patches(files, new, {2: (6, 14)}, WIDE, ["answer"], ["helper"])


@case
def static_that_becomes_global():
    """Another file uses it now: it is the one that the target has, state and all."""
    files = {"a.c": "static long count;\n" + function("__attribute__((noinline)) static long helper(long n)", "return n * 3 + ++count;") +
                    "long other(long n);\n" + function("long answer(long n)", "return n > 50 ? helper(n) : other(n);"),
             "b.c": function("__attribute__((noinline)) long other(long n)", "return n * 5 + (n >> 9);")}
    opened = {"a.c": ("static long count", "long count", ") static long helper", ") long helper"),
              "b.c": ("__attribute__", "long helper(long n);\nextern long count;\n__attribute__", "return n * 5", "return helper(n) * 1000 + count")}
    patches(files, opened, {}, WIDE, ["other"])
    p = Project(files, opened, make("gcc", "-O2"))
    program = p.install()
    p.build()
    v = Victim(program)
    for n, said in (("60", "181"), ("61", "185"), ("7", "35")):
        equal(v.ask(n), said)
    on(v, "load", tmp("tree.usp"))
    for n, said in (("7", "24003"), ("60", "184"), ("7", "26005")):
        equal(v.ask(n), said)


@case
def static_that_becomes_global_beside_another_of_its_name():
    """Callers of the other one, or of a library's, are not rebuilt, and still go there."""
    files = {"a.c": function("__attribute__((noipa)) static long labs(long n)", "return n * 3;") +
                    "long other(long n);\n" + function("long answer(long n)", "return labs(n) + other(n);"),
             "b.c": "#include <stdlib.h>\n" + function("__attribute__((noipa)) long other(long n)", "return labs(n) + 1;")}
    refuses(files, {"a.c": (") static long", ") long")}, "symbol", "labs", builds=[("gcc", "-O2 -fno-builtin")])


@case
def functions_that_the_linker_has_folded():
    """Two that are the same have one place (--icf; here it is made by hand), and only one of them is patched."""
    same = "__attribute__((noinline)) long %s(long n)"
    files = {"a.c": function(same % "one", "return n * 3 + (n >> 9);") + "long two(long n);\n" +
             function("long answer(long n)", "return one(n) + two(n) * 1000;")}
    p = Project(files, {"a.c": ("n * 3", "n * 4")}, ["make", "CFLAGS=-g -O2", "LDFLAGS=-Wl,--defsym,two=one"])
    p.install()
    report, r = p.build(code=UNSUPPORTED)
    equal([(f["kind"], f["name"]) for f in report["findings"]], [("ambiguous", "one")], str(r))
    contains(report["findings"][0]["text"], "two")


@case
def two_patches_on_one_process():
    """Made each for itself, one after the other on a running program, and off again in the reverse order."""
    text = """
static long state;
__attribute__((noinline)) static long one(long n) { return n + 1 + state; }
long answer(long n) { state++; return one(n) * 10; }
"""
    p = Project(text, ("n + 1", "n + 3"), name="first")
    v = Victim(p.install())
    p.build()
    q = Project(text, ("* 10", "* 100"), name="second")
    q.install()
    q.target = p.target
    q.build()
    equal(v.ask("1"), "30")
    on(v, "load", tmp("first.usp"))
    equal(v.ask("1"), "60")
    on(v, "load", tmp("second.usp"))
    equal(v.ask("1"), "700")
    on(v, "revert", "second")
    equal(v.ask("1"), "80")
    on(v, "revert", "first")
    equal(v.ask("1"), "70")


# g++ makes the function twice, in two ways; the linker keeps a.o's.
COMDAT = """
struct thing { int *v; int n; };
__attribute__((noinline)) inline int cold(const thing &t)
{
	int s = 0;
	for (int i = 0; i < t.n; i++)
		s += t.v[i] * 3;
	return s;
}
__attribute__((noinline)) inline int sum(const thing &t)
{
	if (t.n > 1000)
		return 0;
	return cold(t);
}
"""
COMDAT_MAKEFILE = """
prog: main.o a.o libthing.so
	gcc -o $@ main.o a.o -L. -lthing -Wl,-rpath,'$$ORIGIN'
libthing.so: one.o two.o
	g++ -shared -o $@ one.o two.o
one.o: one.cc h.h
	g++ -g -O2 -fPIC -c one.cc
two.o: two.cc h.h
	g++ -g -Os -fPIC -c two.cc
"""


@case
def comdat_function_that_another_object_brought():
    files = {"h.h": COMDAT, "one.cc": '#include "h.h"\nint one(const thing &t)\n{\n\treturn sum(t) + 1;\n}\n',
             "two.cc": '#include "h.h"\nstatic int v[9] = {1, 2, 3, 4, 5, 6, 7, 8, 9};\nextern "C" long two(long n)\n{\n'
                       '\tthing t = {v, (int)n};\n\treturn t.n > 5 ? sum(t) + 2 : 0;\n}\n',
             "a.c": "long two(long n);\n" + function("long answer(long n)", "return two(n);")}
    p = Project(files, {"two.cc": ("t.n > 5", "t.n > 2")}, ["make"], COMDAT_MAKEFILE, built="libthing.so")
    program = p.install()
    report, r = p.build()
    equal(p.named(report, "replaced"), ["two"], str(r))
    behaves(p, program, {3: (0, 20), 6: (65, 65)})


main()
