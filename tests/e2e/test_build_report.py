# SPDX-License-Identifier: MIT
"""usplice build: what it proves, what it refuses by itself, and what it says: exit codes, messages, JSON."""

import pty

from harness import *
from projects import *

CODE = """
__attribute__((noinline)) static long helper(long n)
{
	long r = 0;
	for (long i = 0; i < n; i++)
		r += i * i % 7;
	return r;
}
long answer(long n)
{
	return helper(n) * 3 + 1;
}
"""
EDIT = ("* 3 + 1", "* 5 + 1")
ASKED = {4: (3 * (1 + 4 + 2) + 1, 5 * (1 + 4 + 2) + 1)}


def project(name="tree", edit=EDIT, **how):
    return Project(CODE, edit, name=name, **how)


# --- proof of the original ---------------------------------------------------------------------------------------

def unproven(p, *words):
    report, r = p.build(code=MISMATCH)
    equal(report["verdict"], "refused")
    found = [f for f in report["findings"] if f["kind"] == "proof"]
    check(found and not any(f["note"] or f["allowed"] for f in found), str(r))
    contains(r.err, "proof", "rebuilt", "target", *words)
    return found


@case
def target_that_was_built_with_other_flags():
    p = project()
    p.make(make("gcc", "-O1"))
    os.makedirs(tmp("tree-run"))
    p.target = shutil.copy(p.path("prog"), tmp("tree-run", "prog"))
    p.make(["make", "clean"])
    found = unproven(p, "-O1", "-O2")
    check({f["name"] for f in found} & {"answer", "helper"}, str(found))
    contains(found[0]["text"], "rebuilt: ", "target: ")
    # Nobody's word changes that.
    contains(run(*p.arguments("--allow", "proof=because"), code=USAGE).err, "proof")


@case
def target_that_was_built_by_another_compiler():
    if len(COMPILERS) < 2:
        raise Skip("needs gcc and clang")
    for was, now in (("clang", "gcc"), ("gcc", "clang")):
        p = project(was, command=make(now))
        p.make(make(was))
        os.makedirs(tmp(was + "-run"))
        p.target = shutil.copy(p.path("prog"), tmp(was + "-run", "prog"))
        p.make(["make", "clean"])
        unproven(p, "clang", "GNU")


@case
def target_of_another_source():
    p = project()
    p.install()
    write(p.path("a.c"), CODE.replace("% 7", "% 9"))
    found = unproven(p, "helper")
    equal([f["name"] for f in found], ["helper"])


@case
def target_that_is_something_else():
    p = project()
    p.install()
    shutil.copy(victim_path("basic"), tmp("tree-run", "prog"))
    _, r = p.build(code=(MISMATCH, NOT_FOUND))
    contains(r.err, "a.o")


@case
def stripped_target_with_the_same_build_id():
    for number, (cc, flags) in enumerate(FORMS):
        p = project("tree%d" % number, command=make(cc, flags))
        program = p.install()
        subprocess.run(["strip", program], check=True)
        report, r = p.build()
        equal([f["name"] for f in report["functions"] if f["role"] == "replaced"], ["answer"], cc + flags)
        behaves(p, program, ASKED, what=cc + flags)


@case
def stripped_target_with_another_build_id():
    p = project()
    program = p.install()
    subprocess.run(["strip", program], check=True)
    p.make(["make", "clean"])
    _, r = p.build(command=make("gcc", "-O2 -Wl,--build-id=0x0123456789abcdef"), code=NOT_FOUND)
    contains(r.err, program, "build-id", "no symbol table")


@case
def stripped_target_with_a_debug_file():
    p = project()
    program = p.install()
    debug = tmp("tree-run", "prog.debug")
    subprocess.run(["objcopy", "--only-keep-debug", program, debug], check=True)
    subprocess.run(["strip", program], check=True)
    subprocess.run(["objcopy", "--add-gnu-debuglink=" + debug, program], check=True)
    # The one that is built has another build-id: the names come from the debug file.
    p.command = make("gcc", "-O2 -Wl,--build-id=0x0123456789abcdef")
    p.make(["make", "clean"])
    report, r = p.build()
    behaves(p, program, ASKED)
    equal(report["verdict"], "ready")


# --- types -------------------------------------------------------------------------------------------------------

STRUCT = """
struct item {
	int kind;
	long count;
};
enum mode { FIRST, SECOND = 5 };
static struct item items[] = {{.kind = 1, .count = 10}, {.kind = 2, .count = 20}};
enum mode mode = SECOND;
__attribute__((noinline)) static long look(const struct item *item, long n)
{
	return item->count + n + (mode == SECOND ? 1000 : 0);
}
long answer(long n)
{
	return look(&items[n & 1], n) * 2;
}
"""
HEAP = """
#include <stdlib.h>
struct item {
	long kind;
	long count;
};
struct item *item;
long answer(long n)
{
	if (!item)
		item = calloc(1, sizeof(*item));
	item->count += n;
	return item->count * 2;
}
"""


@case
def member_added_in_the_middle():
    edit = ("long kind;\n", "long kind;\n\tlong fresh;\n", "* 2", "* 3")
    refuses(HEAP, edit, "layout", "struct item", "fresh")
    p = Project(HEAP, edit, name="allowed")
    p.install()
    report, r = p.build("--allow", "layout=it is made anew")
    found = [f for f in report["findings"] if f["kind"] == "layout"]
    equal([f["allowed"] for f in found], ["it is made anew"] * len(found))
    check(found and report["verdict"] == "ready", str(r))
    r = run(*p.arguments("--allow", "layout=it is made anew", output=tmp("again.usp")), patience=300)
    contains(r.out, "allowed", "layout", "struct item", "it is made anew")


@case
def member_added_in_padding():
    """Said, and no reason to refuse."""
    edit = ("int kind;\n", "int kind;\n\tint fresh;\n", "item->count + n", "item->count + n + item->fresh")
    p = Project(STRUCT, edit)
    program = p.install()
    report, r = p.build()
    found = [f for f in report["findings"] if f["kind"] == "layout"]
    check(found and all(f["note"] for f in found), str(r))
    behaves(p, program, {1: (2042, 2042)})


@case
def member_with_another_sign():
    """The same place and size: said, and no reason to refuse."""
    p = Project(STRUCT, ("int kind;\n", "unsigned kind;\n", "item->count + n", "item->count + n + (item->kind > 9)"))
    program = p.install()
    report, r = p.build()
    found = [f for f in report["findings"] if f["kind"] == "layout"]
    check(found and all(f["note"] and "is read as that" in f["text"] for f in found), str(r))
    behaves(p, program, {1: (2042, 2042)})


@case
def no_debug_information():
    p = project(command=make("gcc", "-O2 -g0"))
    p.install()
    report, r = p.build(code=UNSUPPORTED)
    equal({(f["kind"], f["object"], f["name"]) for f in report["findings"]}, {("types", "a.o", "a.o")}, str(r))


@case
def enumerator_with_another_value():
    refuses(STRUCT, ("SECOND = 5", "SECOND = 6"), "enum", "enum mode", "SECOND")


@case
def parameter_added_to_a_static_function():
    edit = ("const struct item *item, long n)", "const struct item *item, long n, long more)",
            "item->count + n", "item->count + n + more", "&items[n & 1], n)", "&items[n & 1], n, n * 10)")
    p = Project(STRUCT, edit)
    program = p.install()
    report, r = p.build()
    found = [f for f in report["findings"] if f["kind"] == "signature"]
    equal([(f["name"], f["note"]) for f in found], [("look", True)], str(r))
    contains(found[0]["text"], "--consistency none")
    behaves(p, program, {1: (2042, 2062)})


@case
def signature_of_a_library_function():
    p = Project(function("long extra(long n)", "return n * 2 + 7;") +
                function("long answer(long n)", "return extra(n) + 1;"),
                ("extra(long n)", "extra(long n, long m)", "* 2 + 7", "* 2 + m", "extra(n) +", "extra(n, 9) +"),
                makefile=MAKEFILE_LIBRARY, built="libthing.so")
    p.install()
    report, r = p.build(code=UNSUPPORTED)
    equal([(f["kind"], f["name"]) for f in report["findings"] if not f["note"]], [("signature", "extra")], str(r))
    contains(r.err, "other modules")


@case
def build_without_debug_information():
    """Types cannot be compared: that is said, and is no silent yes."""
    p = Project(STRUCT, ("* 2", "* 3"), ["make", "CFLAGS=-O2"])
    p.install()
    report, r = p.build(code=UNSUPPORTED)
    equal({f["kind"] for f in report["findings"]}, {"types"}, str(r))
    report, r = p.build("--allow", "types=no structure changed, I looked")
    equal(report["verdict"], "ready")
    behaves(p, tmp("tree-run", "prog"), {1: (2042, 3063)})


@case
def link_time_optimisation():
    p = project(command=make("gcc", "-O2 -flto"))
    p.install()
    _, r = p.build(code=UNSUPPORTED)
    contains(r.err, "-flto")


# --- what it says ------------------------------------------------------------------------------------------------

@case
def json_schema():
    more = function("__attribute__((noinline)) static long more(long i)", "return i > 2;")
    helper = "__attribute__((noinline)) static long helper"
    p = project(edit=("i * i % 7;", "i * i % 7 + more(i);", helper, more + helper))
    program = p.install()
    report, r = p.build()
    equal(sorted(report), ["findings", "format", "functions", "functions_proven", "linked", "objects_elsewhere",
                           "objects_identical", "objects_rebuilt", "payload", "seconds_builds", "seconds_comparing", "verdict"])
    equal((report["format"], report["verdict"]), (1, "ready"))
    equal((report["payload"], report["linked"]), (tmp("tree.usp"), p.path("prog")))
    equal((report["objects_rebuilt"], report["objects_identical"], report["objects_elsewhere"]), (1, 0, 0))
    check(report["functions_proven"] >= 2 and report["seconds_builds"] > 0 <= report["seconds_comparing"], str(r))
    rows = {f["name"]: f for f in report["functions"]}
    helper = rows["helper"]
    equal(sorted(helper), sorted(["object", "name", "role", "why", "size_before", "size_after", "address"]))
    equal((helper["object"], helper["role"]), ("a.o", "replaced"))
    contains(helper["why"], "became")
    address, size = symbol(program, "helper")
    equal((int(str(helper["address"]), 0), helper["size_before"]), (address, size), "helper's place")
    equal((rows["more"]["role"], rows["more"]["size_before"], rows["more"]["address"]), ("new", 0, None))
    equal(r.err, "", "nothing is said on standard error")


@case
def json_of_a_refusal():
    p = Project("int limit = 10;\n" + function("long answer(long n)", "return n > limit;"), ("= 10", "= 20"))
    p.install()
    report, r = p.build(code=UNSUPPORTED)
    equal((report["verdict"], report["payload"]), ("refused", None))
    finding, = report["findings"]
    equal(sorted(finding), sorted(["kind", "object", "name", "text", "note", "allowed"]))
    finding.pop("text")
    equal(finding, {"kind": "data", "object": "a.o", "name": "limit", "note": False, "allowed": None})
    # Allowed, there is no code that changed.
    report, r = p.build("--allow", "data=set by hand", code=NO_CHANGE)
    equal([f["allowed"] for f in report["findings"]], ["set by hand"])


@case
def text_for_people():
    p = project()
    p.install()
    r = run(*p.arguments(), patience=300)
    contains(r.out, "replaced", "answer", "a.o", "1 object rebuilt", "proven", "builds", "not checked",
             tmp("tree.usp") + " is ready")
    equal([l for l in r.out.splitlines() if "helper" in l], [], "what is the same is not listed")


@case
def quiet():
    p = project()
    p.install()
    r = run(*p.arguments("-q"), patience=300)
    equal(r.err, "", "standard error")
    check("is ready" not in r.out, r.out)


@case
def progress_on_a_terminal():
    p = project()
    p.install()
    p.make(["make", "clean"])
    ours, theirs = pty.openpty()
    u = subprocess.Popen([USPLICE] + p.arguments(), stdout=subprocess.PIPE, stderr=theirs, stdin=subprocess.DEVNULL)
    os.close(theirs)
    seen = b""
    while True:
        try:
            more = os.read(ours, 4096)
        except OSError:
            break
        if not more:
            break
        seen += more
    u.communicate(timeout=PATIENCE)
    os.close(ours)
    equal(u.returncode, OK, seen)
    contains(seen.decode(), "the build as it is", "the build with the patch", "objects", "a.o")
    check(seen.rstrip().endswith(b"\x1b[K"), "the line is not cleared: %r" % seen[-80:])


@case
def default_name_of_the_output():
    p = project()
    program = p.install()
    os.makedirs(tmp("here"))
    r = subprocess.run([USPLICE, "build", "--target", p.target, "--source", p.tree, "--patch", p.patch, "--", "make"],
                       cwd=tmp("here"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    equal((r.returncode, os.listdir(tmp("here"))), (OK, ["tree.usp"]), r.stdout)
    behaves(p, program, ASKED, tmp("here", "tree.usp"))


@case
def name_of_the_payload():
    p = project()
    program = p.install()
    p.build("--name", "cve-1")
    v = Victim(program)
    on(v, "load", tmp("tree.usp"))
    equal(states(v), [("cve-1", "applied", 1)])


@case
def build_that_fails():
    p = project()
    p.install()
    script = "for i in 1 2 3; do echo line $i of the build; done; echo it is broken >&2; exit 3"
    _, r = p.build(command=["sh", "-c", script], code=FAILED)
    contains(r.err, "the build as it is", "line 3 of the build", "it is broken", "3")
    _, r = p.build(command=["no-such-builder"], code=NOT_FOUND)
    contains(r.err, "no-such-builder")
    broken = project("broken", edit=("* 3 + 1", "* 3 + nothing_like_that"))
    broken.install()
    _, r = broken.build(code=FAILED)
    contains(r.err, "the build with the patch", "nothing_like_that", "a.c")


@case
def what_is_missing():
    p = project()
    p.install()
    contains(run("build", "--target", p.target, "--patch", p.patch, code=USAGE).err, "--", "make")
    contains(run("build", "--target", p.target, "--patch", p.patch, "--", code=USAGE).err, "make")
    contains(run("build", "--patch", p.patch, "--", "make", code=USAGE).err, "--target")
    contains(run("build", "--target", p.target, "--", "make", code=USAGE).err, "--patch")
    contains(run(*p.arguments("--allow", "nonsense=x"), code=USAGE).err, "nonsense")
    contains(run(*p.arguments("--allow", "layout"), code=USAGE).err, "KIND=REASON")
    contains(run(*p.arguments("--allow", "layout="), code=USAGE).err, "layout")
    contains(run(*p.arguments(target=tmp("none")), code=NOT_FOUND).err, tmp("none"))
    contains(run(*p.arguments(target=p.path("a.c")), code=None).err, "a.c")
    contains(run("build", "--target", p.target, "--source", tmp("none"), "--patch", p.patch, "--", "make",
                 code=NOT_FOUND).err, tmp("none"))


@case
def builds_that_are_kept():
    p = project(command=["sh", "-c", "test ! -e stop && make"])
    program = p.install()
    kept = tmp("kept")
    report, r = p.build("--keep", kept)
    check(os.listdir(kept), "nothing is kept")
    # The second run builds nothing.
    write(p.path("stop"), "")
    report, r = p.build("--keep", kept)
    equal(report["verdict"], "ready")
    behaves(p, program, ASKED)
    # And those of another command are not taken for it.
    _, r = p.build("--keep", kept, command=["true"], code=EXISTS, output=tmp("other.usp"))
    contains(r.err, kept)


@case
def compressed_debug_information():
    text = "long answer(long n)\n{\n\treturn n * 3;\n}\n" + "\n".join("long f%d(long n) { return n + %d; }" % (i, i) for i in range(200))
    for cc in COMPILERS:
        p = Project(text, ("n * 3", "n * 4"), make(cc, "-O2 -gz"), name=cc)
        program = p.install()
        report, r = p.build()
        equal(p.named(report, "replaced"), ["answer"], cc)
        behaves(p, program, {2: (6, 8)})


main()
