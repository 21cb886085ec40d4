# SPDX-License-Identifier: MIT
"""usplice build on C++: functions that the debug information names otherwise, and what handles exceptions."""

from harness import *
from projects import *

CXX_BUILDS = [c for c in ("g++", "clang++") if shutil.which(c)]
MAKEFILE = """
CXX = g++
CXXFLAGS = -g -O2
prog: main.o a.o
	$(CXX) -o $@ main.o a.o
a.o: a.cc Makefile
	$(CXX) $(CXXFLAGS) -c -o $@ a.cc
main.o: main.c
	gcc -g -O2 -c -o $@ main.c
"""
HEAD = """
#include <stdexcept>
#include <string>
#ifdef __clang__
#define ALONE __attribute__((noinline))
#else
#define ALONE __attribute__((noipa))
#endif
struct thing { long n, limit; };
"""


def project(compiler, text, *edit, name=None):
    return Project({"a.cc": HEAD + text, "Makefile": MAKEFILE}, {"a.cc": edit}, ["make", "CXX=" + compiler],
                   name=name or compiler)


def findings(report):
    return [f for f in report["findings"] if not f["note"]]


def ready(text, edit, asked, replaced):
    """For each compiler: a payload of exactly these functions, and it does what the patch does."""
    for compiler in CXX_BUILDS or [need("g++")]:
        p = project(compiler, text, *edit)
        program = p.install()
        report, r = p.build()
        equal(p.named(report, "replaced"), sorted(replaced), "%s\n%s" % (compiler, r))
        behaves(p, program, asked, what=compiler + ": ")


@case
def static_function():
    ready("""
static ALONE long helper(thing *t, long k)
{
	if (t->n > t->limit)
		return 100;
	return t->n * k;
}
extern "C" long answer(long n) { thing t = {n, 10}; return helper(&t, 2) + 1; }
""", ("return 100;", "return 50;"), {5: (11, 11), 11: (101, 51)}, ["_ZL6helperP5thingl"])


@case
def overloads_and_templates_in_an_unnamed_namespace():
    ready("""
namespace {
ALONE long helper(thing *t) { return t->n * 3; }
ALONE long helper(thing *t, long k) { return t->n * k; }
template <typename T> ALONE T twice(T n) { return n * 2 + (n > 1000 ? 5 : 0); }
}
extern "C" long answer(long n) { thing t = {n, 10}; return helper(&t) + helper(&t, 2) + twice(n) + twice((int)n); }
""", ("return t->n * k;", "return t->n * k + 100;", "return n * 2 +", "return n * 3 +"), {1: (9, 111), 2: (18, 122)},
          ["_ZN12_GLOBAL__N_16helperEP5thingl", "_ZN12_GLOBAL__N_15twiceIiEET_S1_", "_ZN12_GLOBAL__N_15twiceIlEET_S1_"])


@case
def clone_of_a_static_function():
    p = project("g++", """
static __attribute__((noinline)) long helper(thing *t, long k)
{
	if (t->n > 10)
		return 100;
	return t->n * k;
}
long work(thing *t);
__attribute__((noinline)) long work(thing *t) { return helper(t, t->n) + 1; }
extern "C" long answer(long n) { thing t = {n, 10}; return work(&t); }
""", "return 100;", "return 50;")
    program = p.install()
    need_symbol(r"_ZL6helperP5thingl\.(isra|constprop)\.0")
    p.build()
    behaves(p, program, {5: (26, 26), 11: (101, 51)})


@case
def a_layout_that_a_static_function_uses():
    """Found by its debug information, so that a changed structure is told."""
    for compiler in CXX_BUILDS or [need("g++")]:
        p = project(compiler, """
struct node { long key; };
static ALONE long helper(node *t) { return t->key * 3; }
node one;
extern "C" long answer(long n) { one.key = n; return helper(&one); }
""", "long key;", "long key; long more;", "return t->key * 3;", "return t->key * 3 + t->more;")
        p.install()
        report, r = p.build(code=None)
        check(("layout", "struct node") in [(f["kind"], f["name"]) for f in findings(report)], str(r))
        check(not [f for f in findings(report) if f["kind"] == "types"], str(r))


HANDLERS = """
struct wrong { long n; };
struct odd { long n; };
ALONE long refuse(long n)
{
	if (n > 10)
		throw wrong{n};
	if (n < 0)
		throw odd{n};
	return n;
}
ALONE long first(long n) { std::string s(n & 7, 'x'); return refuse(n) + (long)s.size(); }
ALONE long second(long n)
{
	try {
		return refuse(n);
	} catch (const wrong &) {
		return -1;
	} catch (const odd &) {
		return -2;
	}
}
ALONE long plain(long n) { return n * 2; }
extern "C" long answer(long n)
{
	try {
		return plain(n) + second(n) + first(n);
	} catch (...) {
		return -3;
	}
}
"""


def refused(*edit, name, kind="payload"):
    """Only one reason, it names the function, and nobody's word makes it possible."""
    for compiler in CXX_BUILDS or [need("g++")]:
        p = project(compiler, HANDLERS, *edit)
        p.install()
        report, r = p.build(code=UNSUPPORTED)
        equal([f["kind"] for f in findings(report)], [kind], str(r))
        contains(findings(report)[0]["text"], name, "exceptions")
        _, r = p.build("--allow", "section=because", code=UNSUPPORTED)
        contains(r.err, name, "exceptions")


@case
def changed_function_with_clean_ups():
    refused("n & 7, 'x'", "n & 3, 'x'", name="_Z5firstl")


@case
def changed_function_with_a_handler():
    refused("return -1;", "return -4;", name="_Z6secondl")


@case
def another_class_is_caught():
    """The code is the same; what it does is not."""
    refused("catch (const wrong &)", "catch (const SWAP &)", "catch (const odd &)", "catch (const wrong &)",
            "const SWAP &", "const odd &", name="_Z6secondl")


@case
def functions_beside_those_with_handlers():
    ready(HANDLERS, ("n * 2", "n * 3"), {1: (5, 6), 11: (-3, -3)}, ["_Z5plainl"])


@case
def handlers_that_nobody_takes_in():
    """The table of the handlers is another one, and it matters to nobody who is taken in."""
    text = HANDLERS.replace("ALONE long first", """
__attribute__((used)) static ALONE long unused(long n)
{
	try {
		return refuse(n);
	} catch (...) {
		return -7;
	}
}
ALONE long first""", 1)
    before = text[text.index("__attribute__((used)) static"):text.index("ALONE long first")]
    for compiler in CXX_BUILDS or [need("g++")]:
        p = project(compiler, text, before, "", "n * 2", "n * 3")
        program = p.install()
        report, r = p.build()
        equal(p.named(report, "replaced"), ["_Z5plainl"], str(r))
        behaves(p, program, {1: (5, 6), 11: (-3, -3)})


@case
def clean_ups_that_are_no_more():
    """What is taken in has none, and exceptions go through it."""
    ready(HANDLERS, ("std::string s(n & 7, 'x'); return refuse(n) + (long)s.size();", "return refuse(n) + (n & 7) + 1;"),
          {1: (5, 6), 11: (-3, -3), -1: (-3, -3)}, ["_Z5firstl"])


CLOSURES = """
static long (*step)(long);
static ALONE long both(long (*one)(long), long n) { return one(n) + step(n); }
extern "C" long answer(long n)
{
	if (!step)
		step = [](long k) { return k * 3 + 100; };
	return n + 1;
}
"""


@case
def closures_that_exist():
    """Lambdas are numbered by their order: one before another takes its name. The first one of a function takes none."""
    for compiler in CXX_BUILDS or [need("g++")]:
        p = project(compiler, CLOSURES, "if (!step)", "n = both([](long k) { return k - 1; }, n);\n\tif (!step)")
        p.install()
        report, r = p.build(code=UNSUPPORTED)
        check(any(f["kind"] == "ambiguous" and "lambda" in f["text"] and "answer" in f["name"] for f in findings(report)), str(r))
    text = CLOSURES.replace("[](long k) { return k * 3 + 100; }", "triple").replace("static long (*", "static ALONE long triple(long k) { return k * 3; }\nstatic long (*", 1)
    for compiler in CXX_BUILDS:
        p = project(compiler, text, "return n + 1;", "return both([](long k) { return k - 1; }, n);", name=compiler + "-first")
        program = p.install()
        report, r = p.build()
        behaves(p, program, {5: (6, 19)})


main()
