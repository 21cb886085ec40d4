# SPDX-License-Identifier: MIT
"""usplice build: what reads what the patch changes is compiled again, whether the build knows of it or not."""

from harness import *
from projects import *

# Objects depend on their own source and on nothing else.
BLIND = MAKEFILE.replace("%.o: %.c $(wildcard *.h) Makefile", "%.o: %.c")
HEADER = "#define STEP 3\nstatic inline long clamp(long n)\n{\n\treturn n > 10 ? 10 : n;\n}\n"
FILES = {"clamp.h": HEADER,
         "x.c": '#include "clamp.h"\n' + function("long first(long n)", "return clamp(n) * 2;"),
         "y.c": '#include "clamp.h"\n' + function("long second(long n)", "return n * STEP;"),
         "a.c": "long first(long), second(long);\n" +
                function("long answer(long n)", "return first(n) * 1000 + second(n);")}
ASKED = {20: (20060, 10060)}


def made_again(p, replaced, asked, clean=False, **how):
    p.install()
    if clean:
        p.make(["make", "clean"])
    report, r = p.build(**how)
    equal(p.named(report, "replaced"), replaced, str(r))
    behaves(p, os.path.join(os.path.dirname(p.target), "prog"), asked)
    return report, r


@case
def header_that_the_makefile_does_not_know():
    for number, clean in enumerate((False, True)):
        p = Project(FILES, {"clamp.h": ("n > 10 ? 10", "n > 5 ? 5")}, makefile=BLIND, name="tree%d" % number)
        made_again(p, ["first"], ASKED, clean)
        # The tree is what it was: a build of it makes the original, of all that was compiled with the patch.
        p.make()
        equal(subprocess.run([p.path("prog")], input="20\n", stdout=subprocess.PIPE, text=True).stdout, "ready\n20060\n")


@case
def macro_only():
    """Debug information has no word of it."""
    p = Project(FILES, {"clamp.h": ("STEP 3", "STEP 4")}, makefile=BLIND)
    made_again(p, ["second"], {20: (20060, 20080)})


@case
def header_and_a_source():
    """What the build compiles by itself is not all: y.c reads it, too."""
    p = Project(FILES, {"clamp.h": ("STEP 3", "STEP 4"), "x.c": ("* 2", "* 3")}, makefile=BLIND)
    made_again(p, ["first", "second"], {20: (20060, 30080)})


@case
def layout_in_a_header():
    header = "struct pair {\n\tlong low;\n\tlong high;\n};\nextern struct pair pair;\n"
    files = {"pair.h": header, "x.c": '#include "pair.h"\nstruct pair pair = {1, 2};\n' + function("long first(long n)", "return pair.low + n;"),
             "a.c": '#include "pair.h"\nlong first(long);\n' + function("long answer(long n)", "return first(n) * 10 + pair.high;")}
    p = Project(files, {"pair.h": ("\tlong high;", "\tlong between;\n\tlong high;"), "x.c": ("+ n", "+ n + 1")},
                makefile=BLIND)
    p.install()
    report, r = p.build(code=UNSUPPORTED)
    contains(r.out, '"layout"', "struct pair")


@case
def source_that_another_one_includes():
    files = {"impl.inc.c": "", "a.c": '#include "parts/impl.c"\n' + function("long answer(long n)", "return impl(n);"),
             "parts/impl.c": function("static long impl(long n)", "return n + 1;")}
    del files["impl.inc.c"]
    p = Project(files, {"parts/impl.c": ("n + 1", "n + 2")}, makefile=BLIND)
    made_again(p, ["answer"], {3: (4, 5)})


@case
def new_header_before_another_of_its_name():
    """Nobody was changed to read it."""
    p = Project({"a.c": '#include "lim.h"\n' + function("long answer(long n)", "return n + LIM;"),
                 "inc/lim.h": "#define LIM 1\n"}, {"lim.h": "#define LIM 2\n"}, command=["make"],
                makefile=BLIND.replace("-g -O2", "-g -O2 -Iinc"))
    made_again(p, ["answer"], {3: (4, 5)})


@case
def flags_in_the_makefile():
    p = Project({"a.c": function("long answer(long n)", "return n + EXTRA;")}, {"Makefile": ("-DEXTRA=1", "-DEXTRA=2")},
                makefile=BLIND.replace("-g -O2", "-g -O2 -DEXTRA=1"), command=["make"])
    made_again(p, ["answer"], {3: (4, 5)})


@case
def header_that_is_made_from_another_file():
    makefile = BLIND.replace("prog:", "all: prog\na.o: made.h\nmade.h: made.h.in\n\tsed s/@N@/7/ $< > $@\nprog:")
    p = Project({"a.c": '#include "made.h"\n' + function("long answer(long n)", "return n + MADE;"),
                 "made.h.in": "#define MADE @N@\n"}, {"made.h.in": ("@N@", "(@N@ * 2)")}, makefile=makefile)
    made_again(p, ["answer"], {3: (10, 17)})


@case
def source_that_the_build_makes():
    """Of a file that the patch changes; by a program that reads a header of it; the tree built, and clean."""
    makefile = BLIND.replace("$(wildcard *.c)", "main.c a.c b.c").replace(
        "clean:", "a.c: a.in\n\tcp $< $@\nb.c: gen\n\t./gen > $@\ngen: gen.c\n\t$(CC) -o $@ $<\nclean:\n\trm -f a.c b.c gen")
    files = {"a.in": "long second(long);\n" + function("long answer(long n)", "return n * 100 + second(n);"),
             "lim.h": "#define STEP 3\n",
             "gen.c": '#include <stdio.h>\n#include "lim.h"\nint main(void)\n{\n'
                      '\tprintf("long second(long n)\\n{\\n\\treturn n * %d + (n >> 9);\\n}\\n", STEP);\n}\n'}
    for number, clean in enumerate((False, True)):
        p = Project(files, {"a.in": ("n * 100", "n * 200"), "lim.h": ("STEP 3", "STEP 4")}, makefile=makefile,
                    name="tree%d" % number)
        p.install()
        if clean:
            p.make(["make", "clean"])
        report = json.loads(run(*p.arguments("--json"), patience=300).out)
        equal(p.named(report, "replaced"), ["answer", "second"])
        behaves(p, tmp(p.name + "-run", "prog"), {2: (206, 408)})
        p.make()
        equal(subprocess.run([p.path("prog")], input="2\n", stdout=subprocess.PIPE, text=True).stdout, "ready\n206\n")


@case
def source_that_the_patch_brings_with_what_it_is_made_of():
    """As Debian's patches of a grammar do: it is not made again (here it cannot be)."""
    makefile = BLIND.replace("clean:", "a.c: z.y\n\tfalse\nclean:")
    p = Project({"a.c": function("long answer(long n)", "return n * 3;"), "z.y": "3\n"},
                {"a.c": ("n * 3", "n * 4"), "z.y": ("3", "4")}, makefile=makefile)
    now = time.time()
    for name in ("a.c", "z.y"):
        os.utime(p.path(name), (now, now))
    made_again(p, ["answer"], {2: (6, 8)})
    p.make()


@case
def new_header_that_dependency_files_name():
    """-MMD without -MP: when the header is gone again, make refuses to build what has read it; in the tree, too."""
    makefile = MAKEFILE.replace("-c -o", "-MMD -c -o").replace("$(wildcard *.h) ", "") + "-include $(OBJECTS:.o=.d)\n"
    for number, clean in enumerate((False, True)):
        p = Project({"a.c": function("long answer(long n)", "return n * 3;")},
                    {"a.c": '#include "sub/new.h"\n' + function("long answer(long n)", "return n * STEP;"),
                     "sub/new.h": "#define STEP 4\n"}, makefile=makefile, name="tree%d" % number)
        made_again(p, ["answer"], {2: (6, 8)}, clean)
        p.make()
        equal(subprocess.run([p.path("prog")], input="2\n", stdout=subprocess.PIPE, text=True).stdout, "ready\n6\n")


@case
def nothing_of_it_is_read():
    """Documents, and a source that no compiler is given: nothing is compiled for them, and that is said."""
    p = Project({**FILES, "doc/guide.md": "one\n", "PROTOCOL.x": "one\n", "doc/Changelog": "one\n", "doc/x.conf": "one\n",
                 "test/t.c": "int one;\n"},
                {"doc/guide.md": ("one", "two"), "PROTOCOL.x": ("one", "two"), "doc/Changelog": ("one", "two"),
                 "doc/x.conf": ("one", "two"), "test/t.c": ("one", "two"), "x.c": ("* 2", "* 3")}, makefile=BLIND)
    p.install()
    report, r = p.build()
    equal(p.named(report, "replaced"), ["first"], str(r))
    equal(report["objects_rebuilt"], 1, str(r))
    equal([(f["kind"], f["name"]) for f in report["findings"] if f["note"]], [("input", "test/t.c")], str(r))


@case
def files_of_tests():
    """A script or data of tests that nothing else speaks of is nobody's, a header there, or what a makefile names, is not."""
    files = {**FILES, "tests/run": "one\n", "tests/data.xml": "one\n", "tests/Makefile": "one\n", "tests/t.h": "#define ONE 1\n"}
    for number, (name, rebuilt) in enumerate((("run", 1), ("data.xml", 1), ("Makefile", 1), ("t.h", 4))):
        p = Project(files, {"tests/" + name: ("ONE" if name == "t.h" else "one", "two"), "x.c": ("* 2", "* 3")}, makefile=BLIND,
                    name="tree%d" % number)
        p.install()
        equal(p.build()[0]["objects_rebuilt"], rebuilt, name)
    makefile = BLIND + "a.c: tests/numbers.txt\n\tsed 's/.*/long answer(long n) { return n + &; }/' $< > $@\n"
    p = Project({"tests/numbers.txt": "1\n", "a.c": "long answer(long n) { return n + 1; }\n"},
                {"tests/numbers.txt": "2\n", "a.c": "long answer(long n) { return n + 2; }\n"}, makefile=makefile, name="made")
    p.install()
    report, r = p.build()
    equal((p.named(report, "replaced"), report["objects_rebuilt"]), (["answer"], 2), str(r))


@case
def objects_that_are_made_once():
    """Of a directory that the build enters only if it was never made: nothing there reads the header, or something does. It has an x.c of its own."""
    makefile = BLIND.replace("prog: $(OBJECTS)", "all: deps/stamp prog\ndeps/stamp:\n\t$(CC) $(CFLAGS) -c -o deps/d.o deps/x.c\n\ttouch $@\n"
                             "prog: $(OBJECTS)").replace("$(OBJECTS) $(LIBS)", "$(OBJECTS) deps/d.o").replace("rm -f", "rm -f deps/stamp deps/d.o")
    deps = {"deps/x.c": '#include "d.h"\nlong deep(long n)\n{\n\treturn n * D;\n}\n', "deps/d.h": "#define D 2\n"}
    files = {**FILES, **deps, "a.c": FILES["a.c"].replace("return first(n)", "return deep(n) * 0 + first(n)").replace("long first", "long deep(long), first", 1)}
    makefile = makefile.replace("-o deps/d.o", "-DOWN_H='\"own.h\"' -o deps/d.o")
    files.update({"deps/own.h": "#define OWN 1\n", "deps/d.h": files["deps/d.h"] + "#include OWN_H\n"})
    files["deps/d.h"] += "#ifdef USER_H\n#include USER_H\n#endif\n"
    for number, reads in enumerate(("", '#if 0\n#include "../clamp.h"\n#endif\n', '#define USER_H "../clamp.h"\n')):
        files["deps/d.h"] = reads + files["deps/d.h"]
        p = Project(files, {"clamp.h": ("n > 10 ? 10", "n > 5 ? 5"), "x.c": ("* 2", "* 3")}, makefile=makefile, name="tree%d" % number)
        p.install()
        p.make(["make", "clean"])
        report, r = p.build(code=UNSUPPORTED if reads else OK)
        if reads:
            contains(r.err, "(input)", "clamp.h", "deps/d.o")
        else:
            equal(p.named(report, "replaced"), ["first"], str(r))


@case
def wrong_build_command():
    """It compiles something, and nothing of what the patch changes in the target: that there is no change would be a lie."""
    p = Project({**FILES, "tool.c": "int main(void)\n{\n\treturn 3;\n}\n"}, {"x.c": ("* 2", "* 3")},
                makefile=BLIND.replace("$(wildcard *.c)", "$(filter-out tool.c,$(wildcard *.c))") +
                "tool: tool.o\n\t$(CC) -o $@ $<\n")
    p.install()
    p.command = ["make", "tool"]
    report, r = p.build(code=UNSUPPORTED)
    contains(r.err, "(input)", "x.c", "the build compiles none")


@case
def source_of_the_target_that_the_command_does_not_build():
    """Part of what is linked comes from a directory that this command does not enter."""
    makefile = BLIND.replace("prog: $(OBJECTS)", "prog: $(OBJECTS) lib/libx.a").replace("$(OBJECTS) $(LIBS)", "$(OBJECTS) lib/libx.a")
    lib = "libx.a: deep.c\n\tgcc -g -O2 -c deep.c\n\tar rcs $@ deep.o\n"
    files = {"a.c": "long deep(long);\n" + function("long answer(long n)", "return deep(n) + 1;"), "lib/Makefile": lib,
             "lib/deep.c": function("long deep(long n)", "return n * 2;")}
    p = Project(files, {"lib/deep.c": ("n * 2", "n * 3")}, ["sh", "-c", "make -C lib && rm -f prog && make"], makefile)
    p.install()
    report, r = p.build(command=["sh", "-c", "rm -f prog && make"], code=UNSUPPORTED)
    contains(r.err, "(input)", "lib/deep.c", "have the build command build that")
    for _ in "ab":  # builds that are kept do not forget it
        report, r = p.build("--keep", tmp("kept"), command=["sh", "-c", "rm -f prog && make"], code=UNSUPPORTED)
        contains(r.err, "(input)", "lib/deep.c")
    report, r = p.build()
    equal(p.named(report, "replaced"), ["deep"], str(r))
    behaves(p, tmp("tree-run", "prog"), {3: (7, 10)})


DATED = BLIND.replace("prog:", "all: prog\n.PHONY: again\nv.o: again\nprog:")
VERSION = '#include <stdio.h>\n' + function("const char *version(void)", 'puts("built " __DATE__ " " __TIME__);', "return __TIME__;")


@case
def object_with_the_time_in_it():
    """Compiled at each link, and another one each time."""
    p = Project({**FILES, "v.c": VERSION}, {"x.c": ("* 2", "* 3")}, makefile=DATED)
    p.install()
    report, r = p.build()
    equal((p.named(report, "replaced"), report["objects_identical"]), (["first"], 1), str(r))
    seen = p.path("seen")
    for number, (changelog, wanted) in enumerate((
            ("a (1) b; urgency=low\n\n  * One.\n\n -- A B <a@b>  Sat, 01 Jan 2022 01:00:00 +0100\n", "1640995200"),
            ("a (1) b; urgency=low\n\n -- A B <a@b>  no date\n", None))):
        write(p.path("debian/changelog"), changelog)
        p.build(command=["sh", "-c", "echo $SOURCE_DATE_EPOCH >> seen; make"])
        with open(seen) as f:
            equal(set(f.read().split()), {wanted or str(int(os.stat(p.target).st_mtime))})
        os.unlink(seen)
    p.build(command=["sh", "-c", "echo $SOURCE_DATE_EPOCH >> seen; make"], env={"SOURCE_DATE_EPOCH": "17"})
    with open(seen) as f:
        equal(set(f.read().split()), {"17"})


# Goes by what is in the sources, and knows nothing of headers: what it is told by dates, it does not hear.
BY_CONTENT = """#!/bin/sh
set -e
for c in *.c; do
	sum=$(md5sum < "$c")
	[ -e "$c.sum" ] && [ "$(cat "$c.sum")" = "$sum" ] && continue
	gcc -g -O2 -c "$c"
	echo "$sum" > "$c.sum"
done
gcc -o prog *.o
"""


@case
def build_that_cannot_be_told():
    for number, edit in enumerate(({"clamp.h": ("STEP 3", "STEP 4")},
                                   {"clamp.h": ("STEP 3", "STEP 4"), "x.c": ("* 2", "* 3")})):
        p = Project({**FILES, "build.sh": BY_CONTENT}, edit, ["sh", "build.sh"], None, name="tree%d" % number)
        p.install()
        for name in os.listdir(p.tree):  # once clean, once all is there
            if number and name.endswith((".o", ".sum")):
                os.unlink(p.path(name))
        report, r = p.build(code=UNSUPPORTED)
        contains(r.err, "(input)", "clamp.h", "did not compile again")


@case
def killed_in_between():
    """What was compiled with the patch is compiled again, though the tree was left in the midst of it."""
    waits = BLIND.replace("\t$(CC) $(CFLAGS) -c", "\t@[ ! -e wait ] || [ $@ != y.o ] || { touch started; sleep 60; }\n"
                          "\t$(CC) $(CFLAGS) -c")
    p = Project(FILES, {"clamp.h": ("n > 10 ? 10", "n > 5 ? 5")}, makefile=waits)
    p.install()
    write(p.path("wait"), "")
    u = start(*p.arguments())
    until(lambda: os.path.exists(p.path("started")), "all is compiled with the patch")
    u.kill()
    u.communicate()
    os.unlink(p.path("wait"))
    check(os.path.exists(p.path(".usplice-build")), "no mark is left")
    # What watched the build ends a little later, and has the tree until then.
    r = p.build_when_free()
    equal(p.named(json.loads(r.out), "replaced"), ["first"], str(r))
    behaves(p, tmp("tree-run", "prog"), ASKED)
    check(not os.path.exists(p.path(".usplice-build")), "the mark is gone")


main()
