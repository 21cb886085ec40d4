# SPDX-License-Identifier: MIT
"""What is refused: each with its exit code, a message that names the thing, and nothing changed."""

import random

from harness import *


@case
def bad_pids():
    v = Victim("busy", "sleep=1")
    p = value_payload("fix", 2, v)
    thread = next(t for t in v.threads() if t != v.pid)
    kernel_thread = 2 if os.path.exists("/proc/2") and not os.path.exists("/proc/2/exe") else None
    for pid in ("0", "-1", "abc", "", "99999999999999999999", "1e3", "0x10", " 1", "1 "):
        for action in (("load", p), ("check", p), ("revert", "fix"), ("list",)):
            run(*action, "--pid", pid, code=USAGE)
    unused = 4194303
    for action in (("load", p), ("upload", p), ("check", p), ("apply", "fix"), ("revert", "fix"), ("replace", p),
                   ("unload", "fix"), ("list",), ("info", "fix"), ("recover",), ("gdb",)):
        run(*action, "--pid", unused, code=NOT_FOUND)
        r = run(*action, "--pid", thread, code=(NOT_FOUND, UNSUPPORTED, USAGE))
        contains(r.err, str(v.pid))  # names the process that the thread is of
        if kernel_thread:
            run(*action, "--pid", kernel_thread, code=(UNSUPPORTED, PERMISSION, NOT_FOUND))
    equal(v.ask("value"), "1")


@case
def no_sense():
    v = Victim("basic")
    for words in ((), ("frobnicate",), ("load",), ("load", "x.usp", "--frob", "--pid", v.pid), ("apply", "--pid", v.pid),
                  ("load", "a.usp", "b.usp", "--pid", v.pid), ("cc",), ("cc", "x.c", "-o", "x.usp"),
                  ("load", "x.usp", "--timeout", "never", "--pid", v.pid), ("load", "x.usp", "--try", "0.1", "--pid", v.pid),
                  ("load", "x.usp", "--try", "99999", "--pid", v.pid), ("load", "x.usp", "--all", "--pid", v.pid)):
        run(*words, code=USAGE)
    run("help")
    contains(run("--help").out, "load", "revert", "cc")
    contains(run("version").out, "usplice")


@case
def missing_function_with_the_nearest_names():
    v = Victim("basic")
    r = cc("fix", replacing(("int valeu(void)", "return 2;")), v, code=NOT_FOUND)
    contains(r.err, "valeu", "value")
    r = cc("fix", replacing(("int value(void)", "return othr();"), extra="int othr(void);"), v, code=NOT_FOUND)
    contains(r.err, "othr", "other")
    check(not os.path.exists(tmp("fix.usp")), "a payload was written all the same")


@case
def wrong_build_id_names_both():
    v, w = Victim("basic"), Victim("basic_exports")
    build_ids = []
    for x in (v, w):
        notes = subprocess.run(["readelf", "-n", x.exe], stdout=subprocess.PIPE, text=True, check=True).stdout
        build_ids.append(re.search(r"Build ID: (\w+)", notes).group(1))
    p = value_payload("fix", 2, v)
    before = Text(w.pid)
    for action in ("load", "upload"):
        r = on(w, action, p, code=MISMATCH)
        contains(r.err, build_ids[0], build_ids[1])
    row, r = checked(w, p, code=MISMATCH)
    equal(row["fits"], False)
    equal(states(w), [])
    before.same_as(Text(w.pid))


@case
def one_of_three_cannot_be_patched():
    v = Victim("basic")
    p = cc("fix", replacing(("int value(void)", "return 2;"), ("int other(void)", "return 20;"),
                            ("int third(void)", "return 200;")), v)
    for name in ("value", "other", "third"):
        address = runtime(v, name)
        original = memory(v.pid, address, 1)
        poke(v.pid, address, b"\xcc")  # a debugger's breakpoint
        before = Text(v.pid)
        r = on(v, "load", p, code=MISMATCH)
        contains(r.err, name)
        row, _ = checked(v, p, code=MISMATCH)
        equal({f["name"]: f["fits"] for f in row["functions"]}, {n: n != name for n in ("value", "other", "third")})
        equal(states(v), [])
        before.same_as(Text(v.pid))
        poke(v.pid, address, original)
        equal(v.ask("all"), "1 10 100")
    on(v, "load", p)
    equal(v.ask("all"), "2 20 200")
    on(v, "revert", "fix")
    equal(v.ask("all"), "1 10 100")


@case
def bytes_that_change_between_upload_and_apply():
    v = Victim("basic")
    on(v, "upload", cc("fix", replacing(("int value(void)", "return 2;"), ("int other(void)", "return 20;")), v))
    address = runtime(v, "other")
    original = memory(v.pid, address, 1)
    poke(v.pid, address, b"\xcc")
    before = Text(v.pid)
    r = on(v, "apply", "fix", code=MISMATCH)
    contains(r.err, "other")
    equal(states(v), [("fix", "checked", 0)])
    before.same_as(Text(v.pid))
    poke(v.pid, address, original)
    on(v, "apply", "fix")
    equal(v.ask("all"), "2 20 100")


@case
def malformed_payload_files():
    v = Victim("basic")
    good = value_payload("good", 2, v)
    with open(good, "rb") as f:
        data = f.read()
    before = Text(v.pid)
    bad = tmp("bad.usp")

    def refused(content, *codes):
        with open(bad, "wb") as f:
            f.write(content)
        on(v, "load", bad, code=codes or (BAD_PAYLOAD,))

    for size in (0, 1, 4, 63, 64, 65, len(data) // 4, len(data) // 2, len(data) - 1):
        refused(data[:size])
    refused(b"#!/bin/sh\n" * 100)
    with open(v.exe, "rb") as f:
        refused(f.read())
    generator = random.Random(2026)
    survived = 0
    for _ in range(60):
        broken = bytearray(data)
        for _ in range(4):
            broken[generator.randrange(len(broken))] = generator.randrange(256)
        with open(bad, "wb") as f:
            f.write(broken)
        # Some bytes matter to nobody. It may fit, or be refused; it never crashes and never harms.
        r = on(v, "upload", bad, code=None)
        if r.code == OK:
            survived += 1
            name = states(v)[0][0]
            on(v, "unload", name)
    check(survived < 60, "nothing was ever refused")
    before.same_as(Text(v.pid))
    equal(v.ask("value"), "1")


@case
def things_that_are_no_files():
    v = Victim("basic")
    os.mkfifo(tmp("fifo.usp"))
    with open(tmp("huge.usp"), "wb") as f:
        f.truncate(1 << 40)
    for path, codes in ((tmp("none.usp"), (NOT_FOUND,)), (tmp("."), (BAD_PAYLOAD, FAILED)), ("/dev/zero", (BAD_PAYLOAD,)),
                        ("/dev/null", (BAD_PAYLOAD,)), (tmp("fifo.usp"), (BAD_PAYLOAD,)), (tmp("huge.usp"), (BAD_PAYLOAD,))):
        r = on(v, "load", path, code=codes, patience=20)
    equal(states(v), [])


@case
def an_object_file_that_was_not_made_by_cc():
    v = Victim("basic")
    source = write_source("raw", replacing(("int value(void)", "return 2;")))
    subprocess.run(["gcc", "-c", "-I" + os.path.join(TOP, "include"), "-o", tmp("raw.usp"), source], check=True)
    on(v, "load", tmp("raw.usp"), code=BAD_PAYLOAD)
    equal(v.ask("value"), "1")


@case
def what_is_not_supported_is_refused_by_name():
    v = Victim("basic")
    for text, word in ((replacing(("int value(void)", "return counter_of_mine++;"),
                                  extra="static __thread int counter_of_mine = 3;"), "counter_of_mine"),
                       (replacing(("int value(void)", "return 2;"),
                                  extra="__attribute__((constructor)) static void early(void) { __asm__ volatile(\"nop\"); }"), "init_array")):
        r = cc("fix", text, v, code=None)
        if r.code == OK:
            r = on(v, "load", tmp("fix.usp"), code=None)
        check(r.code in (UNSUPPORTED, BAD_PAYLOAD), "not refused\n%s" % r)
        check(word in r.err or "thread-local" in r.err or "TLS" in r.err, "it is not named\n%s" % r)
    equal(v.ask("value"), "1")


@case
def a_compiler_error_is_shown():
    v = Victim("basic")
    r = cc("fix", "#include <usplice/payload.h>\nthis is no C\n", v, code=None)
    check(r.code != OK, "it compiled?")
    contains(r.err + r.out, "fix.c", "error")
    check(not os.path.exists(tmp("fix.usp")), "a payload was written all the same")


@case
def a_failed_cc_leaves_the_old_payload():
    v = Victim("basic")
    p = value_payload("fix", 2, v)
    with open(p, "rb") as f:
        data = f.read()
    cc("fix", replacing(("int nothing(void)", "return 2;")), v, code=NOT_FOUND)
    with open(p, "rb") as f:
        equal(f.read(), data, "the payload that was there")


@case
def nothing_named_so():
    v = Victim("basic")
    for action in ("apply", "revert", "unload", "replace", "info"):
        r = on(v, action, "nonesuch", code=NOT_FOUND)
        contains(r.err, "nonesuch")
    run("list", "--process", "no-such-process-name", code=NOT_FOUND)


main()
