# SPDX-License-Identifier: MIT
"""Small programs from source, their patches, and `usplice build` on them. What the test_build*.py files share.

A project is a few files in a directory of its own with a build; the program answers a number with a number (or a line),
and what is asked before, under and after the patch is what a case is about.
"""

import difflib
import json
import os
import re
import shutil
import stat
import subprocess

import harness
from harness import BUSY, OK, UNSUPPORTED, Victim, check, contains, equal, on, run, tmp, until

COMPILERS = [c for c in ("gcc", "clang") if shutil.which(c)]

# Answers each line; `long answer(long)` is the project's own, in another file.
MAIN = """
#include <stdio.h>
#include <stdlib.h>
long answer(long n);
int main(void)
{
	char line[64];
	setvbuf(stdout, NULL, _IOLBF, 0);
	puts("ready");
	while (fgets(line, sizeof(line), stdin))
		printf("%ld\\n", answer(atol(line)));
	return 0;
}
"""
MAIN_TEXT = MAIN.replace("long answer", "const char *answer").replace("%ld", "%s")

MAKEFILE = """
CC = gcc
CFLAGS = -g -O2
OBJECTS = $(patsubst %.c,%.o,$(wildcard *.c))
prog: $(OBJECTS)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $(OBJECTS) $(LIBS)
%.o: %.c $(wildcard *.h) Makefile
	$(CC) $(CFLAGS) -c -o $@ $<
clean:
	rm -f *.o prog
"""

# libthing.so with answer(); the program only calls it.
MAKEFILE_LIBRARY = """
CC = gcc
CFLAGS = -g -O2
LIBRARY = $(patsubst %.c,%.o,$(filter-out main.c,$(wildcard *.c)))
prog: main.o libthing.so
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ main.o -L. -lthing -Wl,-rpath,'$$ORIGIN'
libthing.so: $(LIBRARY)
	$(CC) $(CFLAGS) $(LDFLAGS) -shared -o $@ $(LIBRARY)
%.o: %.c $(wildcard *.h) Makefile
	$(CC) $(CFLAGS) -fPIC -c -o $@ $<
"""


def make(cc="gcc", flags="-O2", *words):
    """The command of a build: flags as CFLAGS (-g always), or with -fno-pic and -no-pie where it takes both."""
    link = "LDFLAGS=-no-pie" if "-fno-pic" in flags else "LDFLAGS="
    return ["make", "CC=" + cc, "CFLAGS=-g " + flags, link] + list(words)


def function(head, *lines):
    """C text."""
    return "%s\n{\n%s}\n" % (head, "".join("\t%s\n" % line for line in lines))


def write(path, text, mode=0o644):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as f:
        f.write(text)
    os.chmod(path, mode)


def edited(text, edit, name):
    """edit: the new text, None for no file, or pairs old, new, old, new … of pieces that occur once."""
    if edit is None or isinstance(edit, str):
        return edit
    for old, new in zip(edit[::2], edit[1::2]):
        equal(text.count(old), 1, "%r in %s" % (old, name))
        text = text.replace(old, new)
    return text


def patch_text(before, after, prefixes=("a/", "b/")):
    """The unified diff of two {file: text}."""
    lines = []
    for name in sorted(set(before) | set(after)):
        old, new = before.get(name), after.get(name)
        if old == new:
            continue
        lines += difflib.unified_diff((old or "").splitlines(True), (new or "").splitlines(True),
                                      prefixes[0] + name if old is not None else "/dev/null",
                                      prefixes[1] + name if new is not None else "/dev/null")
    return "".join(lines)


class Project:
    """files: {path: text}; edits: {path: see edited()}; of a.c alone without the {}. main.c and Makefile come along.

    command: the build; built: what of it is patched.
    """

    def __init__(self, files, edits, command=None, makefile=MAKEFILE, main=MAIN, name="tree", built="prog",
                 prefixes=("a/", "b/"), cwd=None):
        files = {"a.c": files} if isinstance(files, str) else files
        edits = edits if isinstance(edits, dict) else {"a.c": edits}
        self.files = dict({"main.c": main}, **files)
        if makefile:
            self.files.setdefault("Makefile", makefile)
        self.files = {k: v for k, v in self.files.items() if v is not None}
        self.after = dict(self.files)
        for file, edit in edits.items():
            new = edited(self.files.get(file), edit, file)
            if new is None:
                del self.after[file]
            else:
                self.after[file] = new
        self.command = command or make()
        self.built = built
        self.name = name
        self.tree = tmp(name)
        for file, text in self.files.items():
            write(self.path(file), text)
        self.patch = tmp(name + ".patch")
        write(self.patch, patch_text(self.files, self.after, prefixes))
        self.target = None

    def path(self, *names):
        return os.path.join(self.tree, *names)

    def make(self, command=None):
        r = subprocess.run(command or self.command, cwd=self.tree, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                           text=True)
        equal(r.returncode, 0, r.stdout)

    def install(self, *also):
        """Builds, and copies what is built to where it runs: a later build must not touch that. Gives the program."""
        self.make()
        for file in {self.built, "prog"} | set(also):
            there = tmp(self.name + "-run", os.path.basename(file))
            os.makedirs(os.path.dirname(there), exist_ok=True)
            shutil.copy(self.path(file), there)
        self.target = tmp(self.name + "-run", os.path.basename(self.built))
        return tmp(self.name + "-run", "prog")

    def sources(self):
        """{path: (mode, content)} of all that is no product: as the project was written, and what was put beside it."""
        seen = {}
        for top, _, names in os.walk(self.tree):
            for name in names:
                path = os.path.join(top, name)
                if os.path.relpath(path, self.tree) in self.files or name.endswith((".c", ".h", ".orig", ".rej")) or \
                        name.startswith(".usplice"):
                    with open(path) as f:
                        seen[os.path.relpath(path, self.tree)] = (stat.S_IMODE(os.lstat(path).st_mode), f.read())
        return seen

    def arguments(self, *args, patches=None, target=None, command=None, output=None):
        words = ["build", "--target", target or self.target, "--source", self.tree]
        for patch in patches or [self.patch]:
            words += ["--patch", patch]
        return words + ["-o", output or tmp(self.name + ".usp")] + list(args) + ["--"] + list(command or self.command)

    def build(self, *args, code=OK, output=None, **how):
        """usplice build --json: (the report, the Result). The sources are untouched, a payload is there or is not."""
        output = output or tmp(self.name + ".usp")
        extra = {k: how.pop(k) for k in ("env", "preexec") if k in how}
        before = self.sources()
        r = run(*self.arguments("--json", *args, output=output, **how), code=None, patience=300, **extra)
        wanted = code if isinstance(code, tuple) else (code,)
        check(code is None or r.code in wanted, "wanted exit code %s\n%s" % (code, r))
        after = self.sources()
        for path in sorted(set(before) | set(after)):
            equal(after.get(path), before.get(path), path)
        equal(os.path.exists(output), r.code == OK, "%s is there\n%s" % (output, r))
        return json.loads(r.out) if r.out.strip() else None, r

    def build_when_free(self, *codes):
        """The same, and only its Result, once what watched a build whose usplice was killed has left the tree."""
        def tried():
            r = run(*self.arguments("--json"), code=(OK, BUSY) + codes, patience=300)
            return None if r.code == BUSY else r
        return until(tried, "nobody has the tree any more")

    @staticmethod
    def named(report, role):
        """Names of the functions that have this role."""
        return sorted({plain(f["name"]) for f in report["functions"] if f["role"] == role})


def answers(victim, asked, which, what):
    for question, pair in asked.items():
        equal(victim.ask(str(question)), str(pair[which]), "%s: answer to %s" % (what, question))


def behaves(project, program, asked, payload=None, what=""):
    """asked: {question: (answer before, answer under the patch)}; on, off, on and off again."""
    v = Victim(program)
    answers(v, asked, 0, what + "before")
    payload = payload or tmp(project.name + ".usp")
    on(v, "load", payload)
    answers(v, asked, 1, what + "patched")
    name = harness.listed(v)[0]["name"]
    on(v, "revert", name)
    answers(v, asked, 0, what + "reverted")
    on(v, "apply", name)
    answers(v, asked, 1, what + "patched again")
    on(v, "revert", name)
    answers(v, asked, 0, what + "reverted again")
    v.close()


# (compiler, flags) of the builds of a case.
GCC = [("gcc", "-O2")]
USUAL = [(c, "-O2") for c in COMPILERS]
FORMS = [(c, f) for c in COMPILERS for f in ("-O2", "-O2 -fno-pic")]
WIDE = USUAL + [("gcc", "-O0"), ("gcc", "-O2 -fno-pic"), ("gcc", "-Os"), ("clang", "-O0 -fno-pic"), ("clang", "-Os")]
if not os.environ.get("USPLICE_TEST_FULL"):
    WIDE = WIDE[:4]
WIDE = [(c, f) for c, f in WIDE if c in COMPILERS]


def plain(name):
    """Without what a compiler appends to the names of clones and static locals."""
    return re.sub(r"(\.(constprop|isra|part))?\.\d+$", "", name)



def has_symbol(path, pattern):
    out = subprocess.run(["nm", path], stdout=subprocess.PIPE, check=True, text=True).stdout
    return re.search(r"\s%s$" % pattern, out, re.M)


def need_symbol(pattern):
    """The case is about something that the compiler has made of the last project."""
    path = max((tmp(n, "prog") for n in os.listdir(tmp()) if n.endswith("-run")), key=os.path.getmtime)
    check(has_symbol(path, pattern), "the compiler made no %s: this is not the case that it says" % pattern)


def patches(files, edits, asked, builds=None, replaced=None, new=None, main=MAIN, lines=None, **how):
    """A payload is made, loaded and taken off, for each (compiler, flags).

    replaced, new: the names that must have these roles, exactly; numbers of clones are left out. Gives the last report.
    """
    report = None
    for number, (cc, flags) in enumerate(builds or USUAL):
        what = "%s %s: " % (cc, flags)
        p = Project(files, edits, make(cc, flags), main=main, name="tree%d" % number, **how)
        program = p.install()
        report, r = p.build()
        equal(report["verdict"], "ready", what + "verdict")
        for role, wanted in (("replaced", replaced), ("new", new), ("line-only", lines)):
            if wanted is not None:
                equal(p.named(report, role), sorted(wanted), "%s%s\n%s" % (what, role, r))
        behaves(p, program, asked, what=what)
    return report


def refuses(files, edits, kind, name, *words, builds=None, code=UNSUPPORTED, main=MAIN, **how):
    """Refused, with a finding of this kind on this name whose text has the words. Gives the last report."""
    report = None
    for number, (cc, flags) in enumerate(builds or USUAL):
        p = Project(files, edits, make(cc, flags), main=main, name="tree%d" % number, **how)
        p.install()
        report, r = p.build(code=code)
        equal(report["verdict"], "refused", "%s %s: verdict" % (cc, flags))
        found = [f for f in report["findings"] if f["kind"] == kind and plain(f["name"]) == name and not f["note"]]
        check(found, "%s %s: no finding %s %s\n%s" % (cc, flags, kind, name, r))
        contains(found[0]["text"], *words)
    return report
