# SPDX-License-Identifier: MIT
"""Many processes at once, by name; some vanish, some have it already."""

from harness import *


@case
def every_process_of_a_name():
    v, name, children = family(20)
    p = value_payload("fix", 2, v)
    address = runtime(v, "value")
    original = memory(v.pid, address, 5)
    r = run("load", p, "--process", name, "--all")
    contains(r.out, "21 done", "0 failed")
    for pid in [v.pid] + children:
        equal(memory(pid, address, 1), b"\xe9", "first byte of value() in %d" % pid)
    equal(v.ask("value"), "2")
    answer = json.loads(run("list", "--process", name, "--all", "--json").out)
    equal(sorted(x["pid"] for x in answer["processes"]), sorted([v.pid] + children), "processes listed")
    for step in ("revert", "unload"):
        contains(run(step, "fix", "--process", name, "--all").out, "21 done")
    for pid in [v.pid] + children:
        equal(memory(pid, address, 5), original, "value() in %d" % pid)


@case
def skipped_and_failed_are_told_apart():
    v, name, children = family(5)
    p = value_payload("fix", 2, v)
    on(children[0], "load", p)
    poke(children[1], runtime(v, "value"), b"\xcc")
    r = run("load", p, "--process", name, "--all", code=MISMATCH)
    contains(r.out, "4 done", "1 skipped", "1 failed")
    contains(r.err, str(children[1]))


@case
def an_ambiguous_name_lists_the_processes():
    v, name, children = family(3)
    p = value_payload("fix", 2, v)
    r = run("load", p, "--process", name, code=AMBIGUOUS)
    contains(r.err, *map(str, [v.pid] + children))
    equal(v.ask("value"), "1")


@case
def processes_that_vanish_are_no_failure():
    v, name, children = family(60)
    p = value_payload("fix", 2, v)
    load = start("load", p, "--process", name, "--all")
    for _ in range(40):
        equal(v.ask("end-one"), "ended")
    out, err = load.communicate(timeout=PATIENCE)
    equal(load.returncode, OK, out + err)
    contains(out, "0 failed")
    equal(v.ask("value"), "2")


main()
