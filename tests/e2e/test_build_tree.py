# SPDX-License-Identifier: MIT
"""usplice build: how programs are built, how patches come, and that the source tree is afterwards what it was."""

import signal

from harness import *
from projects import *

CODE = """
long helper(long n);
__attribute__((noinline)) static long work(long n)
{
	return n * 3 + 1;
}
long answer(long n)
{
	return work(n) + helper(n);
}
"""
HELPER = "long helper(long n)\n{\n\treturn n * 100 - 4;\n}\n"
FILES = {"a.c": CODE, "b.c": HELPER}
EDIT = {"a.c": ("n * 3 + 1", "n * 5 + 1")}
ASKED = {2: (203, 207)}


def works(p, asked=None, *args, **how):
    """Built and patched; with asked also run. The program must have been installed."""
    report, r = p.build(*args, **how)
    equal(report["verdict"], "ready", str(r))
    if asked is not None:
        behaves(p, os.path.join(os.path.dirname(p.target), "prog"), asked)
    return report, r


# --- build systems -----------------------------------------------------------------------------------------------

@case
def tree_built_cleaned_or_never_built():
    for state in ("built", "cleaned", "fresh"):
        p = Project(FILES, EDIT, name=state)
        p.install()
        if state != "built":
            p.make(["make", "clean"])
        if state == "fresh":
            shutil.rmtree(p.tree)
            for file, text in p.files.items():
                write(p.path(file), text)
        report, r = works(p, ASKED)
        equal([f["name"] for f in report["functions"]], ["work"], state)
        check(os.path.samefile(report["linked"], p.path("prog")), str(r))


@case
def target_that_the_build_links_over():
    p = Project(FILES, EDIT)
    p.make()
    p.target = p.path("prog")
    v = Victim(p.target)
    answers(v, ASKED, 0, "before")
    works(p)
    on(v, "load", tmp("tree.usp"))
    answers(v, ASKED, 1, "patched")


@case
def second_build_gives_the_same():
    p = Project(FILES, EDIT)
    p.install()
    works(p)
    works(p, ASKED)


@case
def recursive_and_parallel_make():
    top = """
prog: main.o sub
	$(CC) -o $@ main.o lib/a.o lib/b.o
main.o: main.c
	$(CC) -g -O2 -c -o $@ $<
sub:
	$(MAKE) -C lib
.PHONY: sub
"""
    p = Project({"lib/a.c": CODE, "lib/b.c": HELPER, "lib/c.c": "long more(long n) { return n; }\n",
                 "lib/Makefile": "all: a.o b.o c.o\n%.o: %.c\n\t$(CC) -g -O2 -c $<\n"},
                {"lib/a.c": EDIT["a.c"]}, ["make", "-j2"], makefile=top)
    p.install()
    report, _ = works(p, ASKED)
    equal([f["object"] for f in report["functions"]], ["lib/a.o"])


@case
def meson_and_ninja():
    need("meson")
    need("ninja")
    # meson asks the machine for its compilers: once, before.
    text = """
project('thing', 'c', default_options: ['optimization=2', 'debug=true'])
executable('prog', 'main.c', 'a.c', 'b.c')
"""
    p = Project({**FILES, "meson.build": text}, EDIT, ["ninja", "-C", "out"], makefile=None, built="out/prog")
    subprocess.run(["meson", "setup", "out"], cwd=p.tree, stdout=subprocess.DEVNULL, check=True)
    p.make()
    os.makedirs(tmp("tree-run"))
    p.target = tmp("tree-run", "prog")
    shutil.copy(p.path("out/prog"), p.target)
    works(p, ASKED)


@case
def compiler_by_its_path():
    p = Project(FILES, EDIT, make(shutil.which("gcc")))
    p.install()
    works(p, ASKED)


@case
def one_compiler_call_for_all():
    for cc in COMPILERS:
        p = Project(FILES, EDIT, [cc, "-g", "-O2", "main.c", "a.c", "b.c", "-o", "prog"], makefile=None, name=cc)
        p.install()
        report, _ = works(p, ASKED)
        equal([f["name"] for f in report["functions"]], ["work"], cc)


@case
def archives():
    makefile = """
CFLAGS = -g -O2
prog: main.o libthing.a
	$(CC) -o $@ main.o -L. -lthing
libthing.a: a.o b.o
	rm -f $@
	ar rc%s $@ a.o b.o
%%.o: %%.c
	$(CC) $(CFLAGS) -c -o $@ $<
"""
    for kind in ("s", "sT"):
        p = Project(FILES, EDIT, ["make"], makefile=makefile % kind, name="tree" + kind)
        p.install()
        works(p, ASKED)


@case
def output_elsewhere():
    makefile = MAKEFILE.replace("$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $(OBJECTS) $(LIBS)",
                                "mkdir -p bin && $(CC) $(CFLAGS) -o bin/prog.new $(OBJECTS) && "
                                "mv bin/prog.new bin/prog && cp bin/prog prog")
    p = Project(FILES, EDIT, makefile=makefile)
    p.install()
    p.build(code=NOT_FOUND)  # it is not the link of any "prog" that was seen
    contains(p.build(code=NOT_FOUND)[1].err, "--built", "bin/prog.new")
    report, _ = works(p, ASKED, "--built", p.path("bin/prog.new"))
    equal(report["linked"], p.path("bin/prog.new"))


@case
def another_name_than_the_target():
    p = Project(FILES, EDIT)
    program = p.install()
    os.rename(program, tmp("tree-run", "served"))
    p.target = tmp("tree-run", "served")
    contains(p.build(code=NOT_FOUND)[1].err, "served", "--built")
    p.build("--built", "prog")
    behaves(p, p.target, ASKED)


@case
def several_files_of_the_name():
    makefile = "all: x/prog y/prog\nx/prog: main.c a.c b.c\n\tmkdir -p x\n\t$(CC) -g -O2 -o $@ $^\n" \
               "y/prog: main.c a.c b.c\n\tmkdir -p y\n\t$(CC) -g -O1 -o $@ $^\n"
    p = Project(FILES, EDIT, ["make"], makefile=makefile, built="x/prog")
    p.make()
    os.makedirs(tmp("tree-run"))
    p.target = shutil.copy(p.path("x/prog"), tmp("tree-run", "prog"))
    contains(p.build(code=AMBIGUOUS)[1].err, "--built")
    works(p, ASKED, "--built", p.path("x/prog"))


@case
def build_out_of_the_tree():
    makefile = "VPATH = ../tree\nCFLAGS = -g -O2 -I../tree\nprog: main.o a.o b.o\n\t$(CC) -o $@ $^\n"
    p = Project(FILES, EDIT, ["make", "-C", "../out"], makefile=None)
    write(tmp("out", "Makefile"), makefile)
    p.make()
    os.makedirs(tmp("tree-run"))
    p.target = shutil.copy(tmp("out", "prog"), tmp("tree-run", "prog"))
    works(p, ASKED)


@case
def build_in_a_directory_with_spaces():
    p = Project(FILES, EDIT, name="a tree")
    p.install()
    p.build("--name", "tree")
    behaves(p, os.path.join(os.path.dirname(p.target), "prog"), ASKED)


@case
def source_directory_is_here_without_the_option():
    p = Project(FILES, EDIT)
    program = p.install()
    r = subprocess.run([USPLICE, "build", "--target", p.target, "--patch", p.patch, "-o", tmp("tree.usp"), "--", "make"],
                       cwd=p.tree, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    equal(r.returncode, OK, r.stdout)
    behaves(p, program, ASKED)


@case
def shell_as_the_build():
    script = "for f in main a b; do gcc -g -O2 -pipe -c $f.c || exit 1; done; gcc *.o -o prog"
    p = Project(FILES, EDIT, ["sh", "-c", script], makefile=None)
    p.install()
    works(p, ASKED)


@case
def link_map_and_partial_link():
    makefile = "CFLAGS = -g -O2\nprog: main.o both.o\n\t$(CC) -o $@ $^\nboth.o: a.o b.o\n\tld -r -o $@ $^\n"
    p = Project(FILES, EDIT, ["make"], makefile=makefile)
    p.install()
    works(p, ASKED)


# --- patches -----------------------------------------------------------------------------------------------------

@case
def patch_levels():
    for number, prefixes in enumerate((("a/", "b/"), ("", ""), ("x/y/", "x/y/"))):
        p = Project(FILES, EDIT, name="tree%d" % number, prefixes=prefixes)
        p.install()
        works(p, ASKED if not number else None)


@case
def two_patches_in_their_order():
    p = Project(FILES, EDIT)
    p.install()
    half = dict(p.after, **{"a.c": p.after["a.c"].replace("n * 5 + 1", "n * 5 + 2")})
    write(tmp("second.patch"), patch_text(p.after, half))
    report, r = p.build(patches=[p.patch, tmp("second.patch")])
    behaves(p, tmp("tree-run", "prog"), {2: (203, 208)})
    _, r = p.build(patches=[tmp("second.patch"), p.patch], code=MISMATCH, output=tmp("other.usp"))
    contains(r.err, "second.patch")
    # The first fits and the second does not: both are off again.
    _, r = p.build(patches=[p.patch, p.patch], code=MISMATCH, output=tmp("other.usp"))


@case
def patch_that_adds_a_file():
    makefile = MAKEFILE.replace("$(patsubst %.c,%.o,$(wildcard *.c))", "main.o a.o b.o")
    p = Project(FILES, {"a.c": ("long helper(long n);", "long helper(long n), fresh(long n);", "n * 3 + 1", "fresh(n)"),
                        "new/fresh.c": "long fresh(long n)\n{\n\treturn n * 7;\n}\n",
                        "Makefile": ("main.o a.o b.o", "main.o a.o b.o new/fresh.o")}, makefile=makefile)
    p.install()
    report, r = works(p, {2: (203, 210)})
    roles = {f["name"]: f["role"] for f in report["functions"]}
    equal((roles["fresh"], roles["work"]), ("new", "replaced"), str(r))
    check(not os.path.exists(p.path("new/fresh.c")), "the new file is still there")


@case
def patch_that_removes_a_file():
    makefile = MAKEFILE.replace("$(patsubst %.c,%.o,$(wildcard *.c))", "main.o a.o b.o")
    p = Project(FILES, {"a.c": ("long helper(long n);", "static long helper(long n)\n{\n\treturn n * 100;\n}\n"),
                        "b.c": None, "Makefile": ("main.o a.o b.o", "main.o a.o")}, makefile=makefile)
    p.install()
    report, r = works(p, {2: (203, 207)})
    equal([(f["name"], f["role"]) for f in report["functions"] if f["object"] == "b.o"], [("helper", "gone")], str(r))


@case
def patch_that_empties_a_directory():
    """patch(1) takes such a directory away."""
    p = Project({**FILES, "x/y/notes": "one\n"}, {**EDIT, "x/y/notes": None})
    p.install()
    works(p, ASKED)


@case
def patch_that_does_not_fit():
    p = Project(FILES, EDIT)
    p.install()
    write(p.path("a.c"), CODE.replace("n * 3 + 1", "n * 4 + 1"))
    _, r = p.build(code=MISMATCH)
    contains(r.err, "tree.patch", "does not fit")
    write(tmp("empty.patch"), "nothing\n")
    _, r = p.build(code=MISMATCH, patches=[tmp("empty.patch")])
    _, r = p.build(code=NOT_FOUND, patches=[tmp("none.patch")])
    contains(r.err, "none.patch")


@case
def patch_that_leaves_the_tree():
    p = Project(FILES, EDIT)
    p.install()
    write(tmp("outside.c"), "one\n")
    for name in ("../outside.c", "sub/../../outside.c", tmp("outside.c")):
        write(tmp("out.patch"), "--- %s\n+++ %s\n@@ -1 +1 @@\n-one\n+two\n" % (name, name))
        _, r = p.build(code=(MISMATCH, UNSUPPORTED), patches=[tmp("out.patch")])
        equal(open(tmp("outside.c")).read(), "one\n", name)


@case
def patch_of_nothing():
    p = Project(FILES, EDIT)
    p.install()
    write(tmp("none.patch"), "")
    _, r = p.build(code=MISMATCH, patches=[tmp("none.patch")])
    contains(r.err, "changes no file")


@case
def patch_with_fuzz_and_offset():
    p = Project(FILES, EDIT)
    p.install()
    text = open(p.patch).read().replace("@@ -1,", "@@ -3,").replace("@@ -2,", "@@ -4,")
    write(p.patch, text)
    works(p, ASKED)


@case
def git_style_rename():
    makefile = MAKEFILE.replace("$(wildcard *.c)", "main.c $(wildcard a*.c) $(wildcard b*.c)")
    p = Project(FILES, {}, makefile=makefile)
    write(p.patch, """diff --git a/b.c b/bb.c
similarity index 80%
rename from b.c
rename to bb.c
--- a/b.c
+++ b/bb.c
@@ -1,4 +1,4 @@
 long helper(long n)
 {
-	return n * 100 - 4;
+	return n * 200 - 4;
 }
""")
    p.install()
    report, r = p.build(code=(OK, UNSUPPORTED))
    if r.code == OK:  # the object is a new one, and what it defines is not: right or refused
        behaves(p, tmp("tree-run", "prog"), {2: (203, 403)})
    else:
        contains(r.err, "helper")


@case
def function_moved_to_another_file():
    """Its callers in objects that are not rebuilt go to where it was: right, or said."""
    p = Project(FILES, {"b.c": "long other(long n)\n{\n\treturn n * 9;\n}\n",
                        "a.c": ("long helper(long n);\n", "long helper(long n)\n{\n\treturn n * 200 - 4;\n}\n")})
    p.install()
    report, r = p.build(code=(OK, UNSUPPORTED))
    if r.code == OK:
        behaves(p, tmp("tree-run", "prog"), {2: (203, 403)})
    else:
        contains(r.err, "helper")


@case
def header_only():
    header = "static inline long clamp(long n)\n{\n\treturn n > 10 ? 10 : n;\n}\n#define STEP 3\n"
    user = '#include "clamp.h"\nlong %s(long n)\n{\n\treturn clamp(n) * %d;\n}\n'
    files = {"clamp.h": header, "x.c": user % ("first", 2), "y.c": user % ("second", 3),
             "z.c": '#include "clamp.h"\nlong third(long n)\n{\n\treturn n * STEP;\n}\n',
             "a.c": "long first(long), second(long), third(long);\n" +
                    function("long answer(long n)", "return first(n) * 10000 + second(n) * 100 + third(n);")}
    p = Project(files, {"clamp.h": ("n > 10 ? 10", "n > 5 ? 5")})
    p.install()
    report, r = works(p, {20: (203060, 101560)})
    equal(sorted(f["name"] for f in report["functions"]), ["first", "second"])
    equal((report["objects_rebuilt"], report["objects_identical"]), (5, 3), str(r))
    p = Project(files, {"clamp.h": ("STEP 3", "STEP 4")}, name="macro")
    p.install()
    report, r = works(p, {20: (203060, 203080)})
    equal(sorted(f["name"] for f in report["functions"]), ["third"])


@case
def nothing_that_counts():
    for name, edit in (("comment", ("long answer", "/* a comment */ long answer")),
                       ("dead", ("long answer", "#if 0\nlong dead(void) { return 4; }\n#endif\nlong answer")),
                       ("unused", ("long answer", "static inline long dead(void) { return 4; }\nlong answer")),
                       ("lines", ("long answer", "\n\n\nlong answer"))):
        p = Project(FILES, edit, name=name)
        p.install()
        report, r = p.build(code=NO_CHANGE)
        equal(report["verdict"], "no-change", name)
        equal(report["payload"], None, name)
        contains(r.err, "nothing to patch")


@case
def change_of_what_is_not_linked_into_the_target():
    makefile = MAKEFILE.replace("$(patsubst %.c,%.o,$(wildcard *.c))", "main.o a.o b.o")
    makefile = makefile.replace("prog:", "all: prog tool\ntool: tool.o\n\t$(CC) -o $@ $<\nprog:")
    files = {**FILES, "tool.c": "int main(void)\n{\n\treturn 3;\n}\n"}
    edit = {"tool.c": ("return 3", "return 4")}
    p = Project(files, edit, makefile=makefile)
    p.install()
    # Everything was up to date, so neither build links the target: what is changed is not in it.
    report, r = p.build(code=NO_CHANGE)
    contains(r.err, "nothing to patch")
    p.make(["make", "clean"])
    report, r = p.build(code=NO_CHANGE)
    p = Project(files, {**edit, **EDIT}, makefile=makefile, name="both")
    p.install()
    report, r = works(p, ASKED)
    equal((report["objects_rebuilt"], report["objects_elsewhere"]), (2, 1), str(r))


@case
def target_that_the_makefile_does_not_link_again():
    """It does not know what is in it."""
    makefile = MAKEFILE.replace("$(patsubst %.c,%.o,$(wildcard *.c))", "main.o a.o")
    makefile = makefile.replace("prog: $(OBJECTS)", "all: libb.a prog\nlibb.a: b.o\n\tar rcs $@ b.o\nprog: $(OBJECTS)") \
        .replace("$(OBJECTS) $(LIBS)", "$(OBJECTS) libb.a")
    p = Project(FILES, {"b.c": ("n * 100", "n * 200")}, makefile=makefile)
    p.install()
    _, r = p.build(code=NOT_FOUND)
    contains(r.err, "b.o", "did not link prog again")
    p.command = ["sh", "-c", "rm -f prog; make"]
    works(p, {2: (203, 403)})


@case
def member_that_the_linker_did_not_take():
    makefile = MAKEFILE.replace("$(patsubst %.c,%.o,$(wildcard *.c))", "main.o a.o libb.a")
    makefile = makefile.replace("prog:", "all: prog\nlibb.a: b.o c.o\n\tar rcs $@ b.o c.o\nprog:")
    files = {**FILES, "c.c": "struct s { int a; };\nlong unused(struct s *s)\n{\n\treturn s->a;\n}\n"}
    edit = {"c.c": ("int a;", "int b, a;")}
    p = Project(files, edit, makefile=makefile)
    p.install()
    report, r = p.build(code=NO_CHANGE)
    equal([(f["kind"], f["note"]) for f in report["findings"]], [("input", True)], str(r))
    contains(r.out, "took nothing of it")
    q = Project(files, {**edit, **EDIT}, makefile=makefile, name="both")
    q.install()
    works(q, ASKED)


@case
def documentation_only():
    """No compiler runs at all."""
    p = Project({**FILES, "README": "one\n"}, {"README": ("one", "two")})
    p.install()
    report, r = p.build(code=NO_CHANGE)
    equal(report["verdict"], "no-change")


# --- the source tree ---------------------------------------------------------------------------------------------

COMPILING = "$(CC) $(CFLAGS) -c -o $@ $<"
WAITING = """@if [ $< = a.c ]; then \\
		echo $$$$ > started.tmp; mv started.tmp started; \\
		while [ -e wait ]; do sleep 0.02; done; \\
	fi
	"""
SLOW = MAKEFILE.replace(COMPILING, WAITING + COMPILING)


def slow_project(name="tree"):
    """Compiling a.c waits while the file `wait` is there, and says in `started` that it does."""
    p = Project(FILES, EDIT, makefile=SLOW, name=name)
    p.install()
    os.unlink(p.path("started"))
    return p


def start_slow(p, second, **how):
    """usplice build in the midst of the first or the second build; the Popen."""
    if not second:
        os.unlink(p.path("a.o"))
    write(p.path("wait"), "")
    u = start(*p.arguments(), **how)
    try:
        until(lambda: os.path.exists(p.path("started")) or u.poll() is not None, "the build starts")
        if u.poll() is not None:
            raise Failure("usplice ended: %s%s" % u.communicate())
        with open(p.path("a.c")) as f:
            equal("n * 5" in f.read(), second, "the patch is on")
    except BaseException:
        u.kill()
        os.unlink(p.path("wait"))
        raise
    return u


def leave(p):
    for name in ("wait", "started", "started.tmp"):
        if os.path.exists(p.path(name)):
            os.unlink(p.path(name))


@case
def modes_and_what_lies_beside():
    p = Project({**FILES, "run.sh": "#!/bin/sh\necho one\n"},
                {**EDIT, "run.sh": ("one", "two"), "sub/deep/new.txt": "new\n"})
    p.install()
    os.chmod(p.path("run.sh"), 0o755)
    os.chmod(p.path("a.c"), 0o600)
    os.makedirs(p.path("empty"))
    os.symlink("a.c", p.path("link.h"))
    works(p)
    equal(stat_mode(p.path("run.sh")), 0o755)
    equal(stat_mode(p.path("a.c")), 0o600)
    check(os.path.islink(p.path("link.h")) and os.path.isdir(p.path("empty")), "what lies beside is gone")
    check(not os.path.exists(p.path("sub")), "a directory that the patch has made is left")


def stat_mode(path):
    return os.stat(path).st_mode & 0o7777


@case
def file_behind_a_symbolic_link():
    """patch(1) does not follow it: refused, and nothing touched."""
    p = Project(FILES, EDIT)
    p.install()
    os.rename(p.path("a.c"), p.path("real.inc"))
    os.symlink("real.inc", p.path("a.c"))
    p.build(code=(UNSUPPORTED, MISMATCH))
    check(os.path.islink(p.path("a.c")), "the link is gone")


@case
def interrupted():
    for second in (False, True):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGPIPE):  # the last: who reads what usplice says is gone
            name = "tree%d%d" % (second, number)
            p = slow_project(name)
            before = p.sources()
            u = start_slow(p, second)
            os.kill(u.pid, number)
            out, err = u.communicate(timeout=PATIENCE)
            leave(p)
            check(u.returncode in (-number, 128 + number, FAILED), "exit code %s\n%s" % (u.returncode, err))
            equal(p.sources(), before, "the sources")
            check(not os.path.exists(tmp(name + ".usp")), "a payload was written")
            works(p)


@case
def killed_in_the_second_build():
    p = slow_project()
    before = p.sources()
    u = start_slow(p, True, env={"TMPDIR": tmp()})
    with open(p.path("started")) as f:
        shell = int(f.read())
    u.kill()
    u.communicate(timeout=PATIENCE)
    until(lambda: not os.path.exists("/proc/%d" % shell), "what the build had started ends")
    leave(p)
    with open(p.path("a.c")) as f:
        contains(f.read(), "n * 5")
    check(os.path.exists(p.path(".usplice-build")), "no mark is left")
    # What watched the build ends a little later, and has the tree until then.
    r = p.build_when_free(FAILED)
    equal(json.loads(r.out)["verdict"], "ready")
    equal(p.sources(), before, "the sources")
    behaves(p, tmp("tree-run", "prog"), ASKED)


@case
def killed_and_what_was_saved_is_gone():
    p = slow_project()
    u = start_slow(p, True, env={"TMPDIR": tmp()})
    with open(p.path("started")) as f:
        shell = int(f.read())
    u.kill()
    u.communicate(timeout=PATIENCE)
    until(lambda: not os.path.exists("/proc/%d" % shell), "what the build had started ends")
    leave(p)
    with open(p.path(".usplice-build")) as f:
        saved = f.read()
    contains(saved, "usplice-saved-")
    shutil.rmtree(saved)
    for _ in "ab":  # it is said until somebody has put it right
        r = p.build_when_free(FAILED)
        equal(r.code, FAILED, str(r))
    contains(r.err, p.tree, "was left patched", saved, ".usplice-build")


@case
def two_at_once():
    p = slow_project()
    u = start_slow(p, True, env={"TMPDIR": tmp()})
    try:
        r = run(*p.arguments(output=tmp("other.usp")), code=BUSY)
        contains(r.err, p.tree)
        with open(p.path("a.c")) as f:
            contains(f.read(), "n * 5")
    finally:
        leave(p)
    out, err = u.communicate(timeout=300)
    equal(u.returncode, OK, err)
    behaves(p, tmp("tree-run", "prog"), ASKED)


@case
def two_at_once_in_the_first_build():
    p = slow_project()
    u = start_slow(p, False)
    try:
        r = run(*p.arguments(output=tmp("other.usp")), code=BUSY)
        contains(r.err, p.tree)
    finally:
        leave(p)
    out, err = u.communicate(timeout=300)
    equal(u.returncode, OK, err)


@case
def nothing_is_left_in_tmp():
    directory = tmp("temporary")
    os.makedirs(directory)
    p = Project(FILES, EDIT)
    p.install()
    p.build(env={"TMPDIR": directory})
    equal(os.listdir(directory), [])
    write(tmp("bad.patch"), "nothing\n")
    p.build(env={"TMPDIR": directory}, patches=[tmp("bad.patch")], code=MISMATCH, output=tmp("other.usp"))
    equal(os.listdir(directory), [])


main()
