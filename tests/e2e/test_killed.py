# SPDX-License-Identifier: MIT
"""The controller killed at every system call of an action: the target lives, and the next command puts it right.

killat N -- COMMAND kills COMMAND as it enters its Nth system call. USPLICE_KILLAT_STRIDE=7 takes only every seventh.
"""

import signal

from harness import *
from killing import *

STRIDE = int(os.environ.get("USPLICE_KILLAT_STRIDE", "1"))
TRIPLE = (("int value(void)", "return 2;"), ("int inner(void)", "return 2;"), ("int outer(void)", "return 20 + inner();"))
OLD, NEW = ("1", "11"), ("2", "22")


def layout_of(v):
    return [(m.start, m.end, m.perms, m.name) for m in maps(v.pid)]


def behaviour(v):
    return (v.ask("value"), v.ask("outer"))


def at_every_call(prepare, action, allowed):
    """allowed: the states (as states() gives them) in which the next command may find or leave the target."""
    v = Victim("busy", "spin=1", "sleep=3")
    old_text = Text(v.pid)
    prepare(v)
    seen = {"clean": 0, "repaired": 0}
    wanted, text, regions = states(v), Text(v.pid), layout_of(v)
    n = 1
    while True:
        try:
            # Nothing may be left for it to do, once it has finished what the one before began.
            finished = killat(n, *action, "--pid", v.pid, well=False)
            let_go(v)
            values = behaviour(v)
            # Until the next command comes, some functions may be new and some old, but nothing is torn.
            check(values[0] in "12" and values[1] in ("11", "12", "21", "22"), "what the target answers: %s" % (values,))
            if finished:
                break
            if layout_of(v) == regions and Text(v.pid, like=text) == text:
                seen["clean"] += 1
                n += STRIDE
                continue
            seen["repaired"] += 1
            on(v, "recover")
            now = states(v)
            check(now in [list(a) for a in allowed], "the state after recover: %s" % now)
            is_new = any(state == "applied" for _, state, _ in now)
            equal(behaviour(v), NEW if is_new else OLD, "what the target answers after recover")
            for name in reversed(applied(v)):
                on(v, "revert", name)
            for name, _, _ in states(v):
                on(v, "unload", name)
            old_text.same_as(Text(v.pid))
            prepare(v)
            equal(states(v), wanted)
            text, regions = Text(v.pid), layout_of(v)
        except Failure as failure:
            raise Failure("killed at system call %d: %s" % (n, failure))
        n += STRIDE
    check(n > 50 and seen["repaired"] > 0, "nothing was killed in the middle: %s of %d" % (seen, n))
    r = v.report()
    equal(r["failures"], 0, "failures")
    for name in reversed(applied(v)):
        on(v, "revert", name)
    for name, _, _ in states(v):
        on(v, "unload", name)
    old_text.same_as(Text(v.pid))


def payload(name):
    tag = '__attribute__((used)) static const char tag[] = "%s";' % name  # no two are the same build
    return cc(name, replacing(*TRIPLE, extra="int inner(void);\n" + tag), victim_path("busy"))


@case
def load():
    p = payload("fix")
    at_every_call(lambda v: None, ("load", p), [[], [("fix", "checked", 0)], [("fix", "applied", 1)]])


@case
def apply():
    p = payload("fix")
    at_every_call(lambda v: on(v, "upload", p), ("apply", "fix"), [[("fix", "checked", 0)], [("fix", "applied", 1)]])


@case
def revert():
    p = payload("fix")
    at_every_call(lambda v: on(v, "load", p), ("revert", "fix"), [[("fix", "checked", 0)], [("fix", "applied", 1)]])


@case
def replace():
    p, q = payload("one"), payload("two")

    def prepare(v):
        on(v, "load", p)
        on(v, "upload", q)

    at_every_call(prepare, ("replace", "two"), [[("one", "applied", 1), ("two", "checked", 0)],
                                                [("one", "checked", 0), ("two", "applied", 1)]])


@case
def unload():
    p = payload("fix")
    at_every_call(lambda v: on(v, "upload", p), ("unload", "fix"), [[("fix", "checked", 0)], []])


main()
