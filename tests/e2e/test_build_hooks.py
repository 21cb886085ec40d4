# SPDX-License-Identifier: MIT
"""usplice build: hooks written in the patch, and code that a running process has behind it."""

from harness import *
from projects import *

CODE = """
long state = 5;
__attribute__((noinline)) static long helper(long n)
{
	return n * 3 + state;
}
long answer(long n)
{
	return helper(n);
}
"""
HOOKS = """
#ifdef USPLICE
#include <usplice/payload.h>
static long before;
static int save(void)
{
	before = state;
	state = 100;
	return 0;
}
static void put_back(void)
{
	state = before;
}
USPLICE_PRE_APPLY_HOOK(save);
USPLICE_POST_REVERT_HOOK(put_back);
USPLICE_NAME("with-hooks");
USPLICE_DESCRIPTION("CVE-2026-1");
#endif
"""
EDIT = ("n * 3 + state", "n * 4 + state")


@case
def hooks_in_the_patch():
    for cc in COMPILERS:
        # -MD: the build notes that it has read a header that is gone afterwards.
        p = Project(CODE, CODE.replace(*EDIT) + HOOKS, make(cc), name=cc,
                    makefile=MAKEFILE.replace("-c -o", "-MD -c -o") + "-include $(OBJECTS:.o=.d)\n")
        program = p.install()
        p.make(["make", "clean"])
        report, r = p.build()
        equal(p.named(report, "new"), ["put_back", "save"], str(r))
        p.make()
        v = Victim(program)
        equal(v.ask("2"), "11")
        on(v, "load", tmp(cc + ".usp"))
        equal(v.ask("2"), "108", cc)
        contains(on(v, "info", "with-hooks").out, "pre-apply, post-revert", "CVE-2026-1")
        on(v, "revert", "with-hooks")
        equal(v.ask("2"), "11", cc)
        v.close()


@case
def hooks_that_are_not_compiled():
    """Defined away: to go on without them would be worse than not at all."""
    p = Project(CODE, "#undef USPLICE\n" + CODE.replace(*EDIT) + HOOKS)
    p.install()
    report, r = p.build(code=UNSUPPORTED)
    equal([f["kind"] for f in report["findings"] if not f["note"]], ["hooks"], str(r))
    report, r = p.build("--allow", "hooks=not needed after all")
    equal(p.named(report, "new"), [], str(r))


@case
def patch_without_hooks_sees_no_other_environment():
    """The build as it is and the one with the patch: same words, same variables."""
    makefile = MAKEFILE.replace("\t$(CC) $(CFLAGS) -c", "\tenv | sort | md5sum >> seen\n\t$(CC) $(CFLAGS) -c")
    p = Project(CODE, EDIT, makefile=makefile)
    p.install()
    os.unlink(p.path("seen"))
    p.build()
    with open(p.path("seen")) as f:
        lines = f.readlines()
    equal(len(lines), 2, "a.o, patched and not")
    equal(len(set(lines)), 1)


START = """
#include <stdio.h>
#include <stdlib.h>
static long factor;
__attribute__((noinline)) static void configure(long n)
{
	factor = n * (getenv("NEVER_SET") ? 1 : 2);
}
__attribute__((noinline)) static void start(long n)
{
	configure(n + (getenv("NEVER_SET") != NULL));
}
__attribute__((noinline)) static long work(long n)
{
	for (long i = 0; i < 3; i++)
		n += i * factor;
	return n;
}
int main(void)
{
	char line[64];
	setvbuf(stdout, NULL, _IOLBF, 0);
	start(5);
	puts("ready");
	while (fgets(line, sizeof(line), stdin))
		printf("%ld\\n", work(atol(line)));
	return 0;
}
"""


@case
def code_that_ran_when_the_program_started():
    for cc in COMPILERS:
        p = Project({"main.c": START}, {"main.c": ("? 1 : 2", "? 1 : 3")}, make(cc), main=START, name=cc)
        p.install()
        report, r = p.build(code=UNSUPPORTED)
        equal([(f["kind"], plain(f["name"])) for f in report["findings"]], [("start", "configure")], str(r))
        report, r = p.build("--allow", "start=the next one may matter")
        equal(p.named(report, "replaced"), ["configure"], str(r))
        # What is unlikely lies at main()'s end, or in a part of its own, and jumps back before the call: no loop.
        cold = START.replace("int main(void)", "int main(int argc, char **argv)").replace(
            "\tstart(5);", "\tif (__builtin_expect(argc > 5, 0))\n\t\tprintf(\"%s\\n\", argv[1]);\n\tstart(5);")
        c = Project({"main.c": cold}, {"main.c": ("? 1 : 2", "? 1 : 3")}, make(cc), main=cold, name=cc + "-cold")
        c.install()
        report, r = c.build(code=UNSUPPORTED)
        equal([(f["kind"], plain(f["name"])) for f in report["findings"]], [("start", "configure")], str(r))
        # Exported by a program: nobody is known who would call it again, and one might.
        e = Project({"main.c": START.replace(") static void configure", ") void configure")}, {"main.c": ("? 1 : 2", "? 1 : 3")},
                    ["make", "CC=" + cc, "LDFLAGS=-rdynamic"], main=START, name=cc + "-exported")
        e.install()
        report, r = e.build()
        equal([(f["kind"], f["name"], f["note"]) for f in report["findings"]], [("start", "configure", True)], str(r))
        # What is called from the loop is no such code. (With -fipa-ra main() would change with it.)
        q = Project({"main.c": START}, {"main.c": ("i * factor", "i + factor")},
                    make(cc, "-O2 -fno-ipa-ra" if cc == "gcc" else "-O2"), main=START, name=cc + "-work")
        q.install()
        report, r = q.build()
        equal(q.named(report, "replaced"), ["work"], str(r))


main()
