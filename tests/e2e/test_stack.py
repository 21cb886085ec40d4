# SPDX-License-Identifier: MIT
"""The stack of applied payloads: order, dependencies, replace that fails."""

from harness import *


def three(v):
    before = Text(v.pid)
    for name, result in (("one", 2), ("two", 3), ("three", 4)):
        on(v, "load", value_payload(name, result, v))
    equal(v.ask("value"), "4")
    equal(applied(v), ["one", "two", "three"])
    return before


@case
def three_stacked_reverted_in_order():
    v = Victim("basic")
    before = three(v)
    for name, result in (("three", "3"), ("two", "2"), ("one", "1")):
        on(v, "revert", name)
        equal(v.ask("value"), result)
        on(v, "unload", name)
    before.same_as(Text(v.pid))


@case
def out_of_order_is_refused_and_the_top_named():
    v = Victim("basic")
    three(v)
    now = Text(v.pid)
    for name in ("one", "two"):
        r = on(v, "revert", name, code=ORDER)
        contains(r.err, "three")
        r = on(v, "unload", name, code=WRONG_STATE)
        contains(r.err, name)
    equal(applied(v), ["one", "two", "three"])
    equal(v.ask("value"), "4")
    now.same_as(Text(v.pid))


@case
def on_top_again():
    v = Victim("basic")
    before = three(v)
    on(v, "revert", "three")
    on(v, "revert", "two")
    on(v, "apply", "three")
    equal((v.ask("value"), applied(v)), ("4", ["one", "three"]))
    on(v, "apply", "two")
    equal((v.ask("value"), applied(v)), ("3", ["one", "three", "two"]))
    for name in ("two", "three", "one"):
        on(v, "revert", name)
    equal(v.ask("value"), "1")
    before.same_as(Text(v.pid))


@case
def dependencies_are_kept_and_skipped_on_request():
    v = Victim("basic")
    on(v, "load", value_payload("base", 2, v))
    base_id = listed(v)[0]["build_id"]
    dependent = cc("dependent", replacing(("int value(void)", "return 3;")) + 'USPLICE_DEPENDS("%s");\n' % base_id, v)
    on(v, "upload", dependent)
    on(v, "load", cc("between", replacing(("int other(void)", "return 20;")), v))
    r = on(v, "apply", "dependent", code=ORDER)
    contains(r.err, "base" if "base" in r.err else base_id[:8])
    equal(v.ask("value"), "2")
    on(v, "apply", "dependent", "--nodeps")
    equal(v.ask("value"), "3")


@case
def nodeps_does_not_skip_the_targets_build_id():
    v, w = Victim("basic"), Victim("basic_exports")
    on(w, "load", value_payload("fix", 2, v), "--nodeps", code=MISMATCH)
    equal(w.ask("value"), "1")


def replacement(v):
    on(v, "load", cc("old", replacing(("int value(void)", "return 2;"), ("int other(void)", "return 20;")), v))
    before = Text(v.pid)
    return before


def unharmed(v, before):
    equal(v.ask("all"), "2 20 100")
    equal(applied(v), ["old"])
    before.same_as(Text(v.pid))


@case
def a_replace_whose_bytes_differ_keeps_the_old():
    v = Victim("basic")
    p = cc("new", replacing(("int value(void)", "return 3;"), ("int third(void)", "return 300;")), v)
    replacement(v)
    on(v, "upload", p)
    address = runtime(v, "third")
    original = memory(v.pid, address, 1)
    poke(v.pid, address, b"\xcc")  # somebody's breakpoint
    before = Text(v.pid)
    r = on(v, "replace", "new", code=MISMATCH)
    contains(r.err, "third")
    equal(applied(v), ["old"])
    before.same_as(Text(v.pid))
    poke(v.pid, address, original)
    equal(v.ask("all"), "2 20 100")
    on(v, "replace", "new")
    equal(v.ask("all"), "3 10 300")


@case
def a_replace_that_a_hook_vetoes_keeps_the_old():
    v = Victim("basic")
    before = replacement(v)
    on(v, "upload", cc("new", replacing(("int value(void)", "return 3;")) +
                       "static int no(void) { return 1; }\nUSPLICE_PRE_APPLY_HOOK(no);\n", v))
    on(v, "replace", "new", code=VETO)
    unharmed(v, before)


@case
def a_replace_that_is_not_quiescent_keeps_the_old():
    v = Victim("inside")
    on(v, "load", cc("old", replacing(("int value(void)", "return 2;")), v))
    equal(v.ask("enter plain 2"), "entered")
    on(v, "upload", cc("new", replacing(("int nap(int depth)", "return -depth;")), v))
    before = Text(v.pid)
    r = on(v, "replace", "new", "--timeout", "300ms", code=NOT_QUIESCENT)
    contains(r.err, "sleeper")
    equal((v.ask("value"), applied(v)), ("2", ["old"]))
    before.same_as(Text(v.pid))
    equal(v.ask("leave"), "2")
    on(v, "replace", "new")
    equal((v.ask("value"), v.ask("nap 3"), applied(v)), ("1", "-3", ["new"]))


@case
def a_revert_over_foreign_bytes_changes_nothing():
    v = Victim("basic")
    on(v, "load", cc("fix", replacing(("int value(void)", "return 2;"), ("int other(void)", "return 20;")), v))
    address = runtime(v, "other")
    ours = memory(v.pid, address, 1)
    poke(v.pid, address, b"\xcc")
    before = Text(v.pid)
    r = on(v, "revert", "fix", code=MISMATCH)
    contains(r.err, "other")
    equal(applied(v), ["fix"])
    equal(v.ask("value"), "2")
    before.same_as(Text(v.pid))
    poke(v.pid, address, ours)
    on(v, "revert", "fix")
    equal(v.ask("all"), "1 10 100")


@case
def a_rebuilt_payload_at_the_same_path_is_not_taken_for_the_old():
    v = Victim("basic")
    p = value_payload("fix", 2, v)
    on(v, "load", p)
    on(v, "revert", "fix")
    equal(value_payload("fix", 5, v), p)
    # By its file: the file is another one now. Saying "done" while the old code runs is the one wrong answer.
    r = on(v, "apply", p, code=None)
    check(r.code != OK or v.ask("value") == "5", "success reported, and the old code runs\n%s" % r)
    if r.code == OK:
        on(v, "revert", "fix")
    on(v, "load", p, code=EXISTS)
    on(v, "unload", "fix")
    on(v, "load", p)
    equal(v.ask("value"), "5")


@case
def twenty_payloads():
    v = Victim("basic")
    before = Text(v.pid)
    for i in range(20):
        on(v, "load", value_payload("p%02d" % i, 100 + i, v))
    equal(applied(v), ["p%02d" % i for i in range(20)])
    equal(v.ask("value"), "119")
    for i in reversed(range(20)):
        on(v, "revert", "p%02d" % i)
        on(v, "unload", "p%02d" % i)
        equal(v.ask("value"), str(99 + i) if i else "1")
    before.same_as(Text(v.pid))


main()
