# SPDX-License-Identifier: MIT
"""usplice diff: each file in tests/pairs is compiled without and with -DPATCHED, and the verdicts must be those it states.

In a pair, `// EXPECT name verdict` is a function's, `// DATA name verdict` a variable's, `// PROBLEM kind name` one that
must be said. Whatever is not stated must be the same, and no other problem may be said. `EXPECT[gcc O2,Os] …` counts for
these builds only; `EXPECT? …` may be, and need not. Numbers that compilers append to names are left out.
"""

import itertools
import json
import os
import re
import shutil
import struct
import subprocess

import harness
from harness import BAD_PAYLOAD, MISMATCH, NOT_FOUND, OK, UNSUPPORTED, USAGE, case, check, contains, equal, run, tmp

PAIRS = os.path.join(harness.TOP, "tests", "pairs")
COMPILERS = [c for c in ("gcc", "clang") if shutil.which(c)]
LEVELS = ("O0", "O2", "Os")
PIC = ("-fPIC", "-fno-pic")
SECTIONS = ("-fno-function-sections", "-ffunction-sections")
DEBUG = ("-g",)


def builds():
    for compiler, level, pic, sections in itertools.product(COMPILERS, LEVELS, PIC, SECTIONS):
        # All of it for the level that counts; for the others each flag both ways.
        if level == "O2" or (pic == "-fPIC") == (sections == SECTIONS[0]) or os.environ.get("USPLICE_TEST_FULL"):
            yield compiler, level, pic, sections


def compile_object(source, name, compiler="gcc", flags=(), patched=False):
    out = tmp(name + ".o")
    subprocess.run([compiler, "-w"] + list(flags) + ["-c", source, "-o", out] + (["-DPATCHED"] if patched else []), check=True)
    return out


def plain(name):
    return re.sub(r"\.\d+(?=\.|$)", "", name)


def stated(path, words):
    """[(what, optional, (word, word))] that count for a build of these words."""
    rows = []
    with open(path) as f:
        for line in f:
            m = re.match(r"// (EXPECT|DATA|PROBLEM)(\?)?(?:\[([^]]*)\])? (\S+) (\S+)$", line.rstrip())
            if not m:
                check(not re.match(r"// (EXPECT|DATA|PROBLEM)", line), "%s: %r is not understood" % (path, line))
                continue
            what, optional, builds_, a, b = m.groups()
            if all(set(alternatives.split(",")) & words for alternatives in (builds_ or "").split()):
                rows.append((what, bool(optional), (a, b)))
    return rows


def seen(answer):
    rows = [("EXPECT", (plain(f["name"]), f["verdict"])) for f in answer["functions"] if f["verdict"] != "same"]
    rows += [("DATA", (plain(d["name"]), d["verdict"])) for d in answer["data"]]
    rows += [("PROBLEM", (p["kind"], plain(p["name"]))) for p in answer["problems"]]
    return rows


def diff(before, after):
    answer = json.loads(run("diff", before, after, "--json", code=(OK, MISMATCH)).out)
    return answer


def compare(path, compiler, level, flags):
    flags = ["-" + level] + list(flags)
    before = compile_object(path, "before", compiler, flags)
    after = compile_object(path, "after", compiler, flags, True)
    answer = diff(before, after)
    build = " ".join([compiler] + flags)
    wanted = stated(path, {compiler, level} | set(flags))
    got = seen(answer)
    for what, optional, words in wanted:
        check(optional or (what, words) in got, "%s: %s %s is not among\n%s" % (build, what, " ".join(words), listing(answer)))
    for what, words in got:
        check((what, words) in [(w, x) for w, _, x in wanted],
              "%s: %s %s is not stated\n%s" % (build, what, " ".join(words), listing(answer)))
    check(answer["same"] == (not [g for g in got if g[1][1] != "line-only"]), "%s: same is %s" % (build, answer["same"]))
    # And a build is the same as itself, whatever is in it.
    check(level != "O2" or diff(after, after)["same"], "%s: not the same as itself" % build)


def listing(answer):
    lines = ["%s %s: %s" % (f["name"], f["verdict"], f["why"]) for f in answer["functions"]]
    lines += ["%s %s (data): %s" % (d["name"], d["verdict"], d["why"]) for d in answer["data"]]
    return "\n".join(lines + ["problem %s %s: %s" % (p["kind"], p["name"], p["text"]) for p in answer["problems"]])


def add_pair(name):
    def pair():
        for compiler, level, pic, sections in builds():
            compare(os.path.join(PAIRS, name + ".c"), compiler, level, (pic, sections) + DEBUG)

    pair.__name__ = "pair_" + name
    case(pair)


for file in sorted(os.listdir(PAIRS)):
    if file.endswith(".c"):
        add_pair(file[:-2])


def functions(answer):
    return {plain(f["name"]): f for f in answer["functions"]}


@case
def lines_without_a_line_table_are_a_change():
    path = os.path.join(PAIRS, "line_shift.c")
    before = compile_object(path, "before", flags=["-O2"])
    after = compile_object(path, "after", flags=["-O2"], patched=True)
    got = functions(diff(before, after))
    equal(got["check"]["verdict"], "changed", "check")
    equal(got["unrelated"]["verdict"], "same", "unrelated")
    contains(got["check"]["why"], "became")


@case
def references_of_changed_functions_are_listed():
    path = os.path.join(PAIRS, "new_static_function.c")
    answer = diff(compile_object(path, "before", flags=["-O2"]), compile_object(path, "after", flags=["-O2"], patched=True))
    got = {r["name"]: r for r in functions(answer)["entry"]["references"]}
    equal(got["g"]["target"], "import", "what g is")
    equal((got["helper"]["target"], got["helper"]["verdict"]), ("function", "added"), "what helper is")


@case
def text_for_people():
    path = os.path.join(PAIRS, "string_changed.c")
    before, after = compile_object(path, "b", flags=["-O2"]), compile_object(path, "a", flags=["-O2"], patched=True)
    contains(run("diff", before, after).out, "changed", "greet", '"good evening!"', '"good morning"', "2 functions the same")
    contains(run("diff", before, before, "--verbose").out, "nothing differs", ".comment")
    path = os.path.join(PAIRS, "data_changed.c")
    before, after = compile_object(path, "b", flags=["-O2"]), compile_object(path, "a", flags=["-O2"], patched=True)
    contains(run("diff", before, after, code=MISMATCH).err, "level")


@case
def line_only_needs_no_payload():
    path = os.path.join(PAIRS, "line_shift.c")
    before = compile_object(path, "before", flags=["-O2", "-g"])
    after = compile_object(path, "after", flags=["-O2", "-g"], patched=True)
    contains(run("diff", before, after).out, "2 but for line numbers", "nothing differs")


@case
def comdat_is_a_problem():
    harness.need("g++")
    source = harness.write_source("comdat", """
#ifdef PATCHED
inline int pick(int x) { return x * 5; }
#else
inline int pick(int x) { return x * 3; }
#endif
int (*use())(int) { return pick; }
""")
    before = compile_object(source, "before", "g++", ["-x", "c++", "-O2"])
    after = compile_object(source, "after", "g++", ["-x", "c++", "-O2"], True)
    answer = diff(before, after)
    equal([(p["kind"], p["name"]) for p in answer["problems"]], [("symbol", "_Z4picki")], "problems")


HANDLERS = """
struct a { int n; };
struct b { int n; };
int ext(int);
#ifdef PATCHED
int first(int n) { try { return ext(n); } catch (const a &) { return n + 2; } catch (const b &) { return 3; } }
int second(int n) { try { return ext(n); } catch (const b &) { return 1; } catch (const a &) { return 2; } }
#else
int first(int n) { try { return ext(n); } catch (const a &) { return 1; } catch (const b &) { return 3; } }
int second(int n) { try { return ext(n); } catch (const a &) { return 1; } catch (const b &) { return 2; } }
#endif
int third(int n) { try { return ext(n); } catch (...) { return 1; } }
int fourth(int n) { try { return ext(n); } catch (const b &) { return 1; } }
"""


@case
def handlers_belong_to_their_functions():
    """What one catches is its own, wherever that lies; and a table of which it is not known whose it is, is refused."""
    harness.need("g++")
    source = harness.write_source("handlers", HANDLERS)
    for compiler, flags in itertools.product([c for c in ("g++", "clang++") if shutil.which(c)],
                                             (["-O2"], ["-O0"], ["-O2", "-fPIC", "-ffunction-sections"])):
        flags = ["-x", "c++"] + flags
        before = compile_object(source, "before", compiler, flags)
        after = compile_object(source, "after", compiler, flags, True)
        answer = diff(before, after)
        build = " ".join([compiler] + flags)
        equal(sorted({f["name"].split(".")[0] for f in answer["functions"] if f["verdict"] != "same"}),
              ["_Z5firsti", "_Z6secondi"], build)
        equal(answer["problems"], [], build)
        check(diff(after, after)["same"], build)
        subprocess.run(["objcopy", "--remove-relocations=.eh_frame", after], check=True)
        problems = diff(before, after)["problems"]
        check([p for p in problems if p["kind"] == "section" and p["name"].startswith(".gcc_except_table")],
              "%s: %s" % (build, problems))


@case
def link_time_optimisation_is_refused():
    source = os.path.join(PAIRS, "simple.c")
    lto = compile_object(source, "lto", flags=["-O2", "-flto"])
    contains(run("diff", lto, lto, code=UNSUPPORTED).err, "-flto")


@case
def what_is_no_object_is_refused():
    path = os.path.join(PAIRS, "simple.c")
    good = compile_object(path, "good")
    contains(run("diff", good, harness.USPLICE, code=UNSUPPORTED).err, "relocatable")
    contains(run("diff", good, path, code=BAD_PAYLOAD).err, "not an ELF file")
    run("diff", good, tmp("nothing"), code=NOT_FOUND)
    run("diff", good, code=USAGE)
    with open(good, "rb") as f:
        data = bytearray(f.read())
    struct.pack_into("<H", data, 18, 183)  # e_machine: AArch64
    with open(tmp("arm.o"), "wb") as f:
        f.write(data)
    contains(run("diff", tmp("arm.o"), good, code=UNSUPPORTED).err, "x86-64")


@case
def broken_objects_are_refused_or_judged():
    """Any byte of the tables overwritten, any length cut off: an answer or a refusal, nothing else."""
    good = compile_object(os.path.join(PAIRS, "jump_table.c"), "good", flags=["-O2", "-g"])
    with open(good, "rb") as f:
        data = f.read()
    sections = struct.unpack_from("<Q", data, 40)[0]
    places = list(range(0, 64, 3)) + list(range(sections, len(data), 13))
    for place in places:
        broken = bytearray(data)
        broken[place] ^= 0xff
        with open(tmp("broken.o"), "wb") as f:
            f.write(broken)
        run("diff", good, tmp("broken.o"), code=(OK, MISMATCH, BAD_PAYLOAD, UNSUPPORTED))
    for length in range(0, len(data), len(data) // 40):
        with open(tmp("broken.o"), "wb") as f:
            f.write(data[:length])
        run("diff", tmp("broken.o"), good, code=(BAD_PAYLOAD, UNSUPPORTED))


harness.main()
