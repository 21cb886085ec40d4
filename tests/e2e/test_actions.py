# SPDX-License-Identifier: MIT
"""Payload states and actions: the 37 steps of Xen's livepatch test run, the kernel's cases, hooks."""

from harness import *


@case
def xen_thirty_seven_steps():
    v = Victim("basic")
    before = Text(v.pid)
    value = lambda: v.ask("value")
    # hello has writable data, as a payload that was applied once may have changed it
    hello = cc("hello", replacing(("int value(void)", "return 2 + calls++ * 0;"), extra="static int calls;"), v)
    hello_id = None

    # 1-5
    equal(states(v), [])
    equal((value(), value()), ("1", "1"))
    on(v, "revert", "hello", code=NOT_FOUND)
    # 6-9
    on(v, "load", hello)
    on(v, "load", hello, code=EXISTS)
    equal(states(v), [("hello", "applied", 1)])
    equal(value(), "2")
    hello_id = listed(v)[0]["build_id"]
    bye = cc("bye", replacing(("int value(void)", "return 3;")) + 'USPLICE_DEPENDS("%s");\n' % hello_id, v)
    replace = value_payload("replace", 4, v)
    # 10-14
    on(v, "revert", "hello")
    equal(value(), "1")
    before.same_as(Text(v.pid))
    on(v, "unload", "hello")
    on(v, "unload", "hello", code=NOT_FOUND)
    equal(value(), "1")
    # 15-18
    on(v, "load", hello)
    equal(value(), "2")
    on(v, "load", bye)
    equal(value(), "3")
    # 19-21
    on(v, "upload", replace)
    on(v, "replace", "replace")
    equal(value(), "4")
    equal(applied(v), ["replace"])
    # 22-24
    on(v, "apply", "hello", code=(WRONG_STATE, ORDER))
    on(v, "apply", "bye", code=ORDER)
    on(v, "apply", "replace", code=WRONG_STATE)
    equal(value(), "4")
    # 25-30
    on(v, "revert", "replace")
    for name in ("replace", "hello", "bye"):
        on(v, "unload", name)
    equal(states(v), [])
    equal(value(), "1")
    before.same_as(Text(v.pid))
    # 31-34: nop blanks the "mov $1, %eax" of value()
    address, size = symbol(v.exe, "value")
    equal(memory(v.pid, runtime(v, "value"), 1), b"\xb8", "value() begins with a mov; the victim was compiled otherwise")
    nop = cc("nop", "#include <usplice/payload.h>\nUSPLICE_NOP(value, 0, 5);\n", v)
    on(v, "load", nop)
    check(value() != "1", "nothing was blanked")
    on(v, "revert", "nop")
    equal(value(), "1")
    on(v, "apply", "nop")
    check(value() != "1", "nothing was blanked the second time")
    # 35-37
    on(v, "unload", "nop", code=WRONG_STATE)
    on(v, "revert", "nop")
    on(v, "unload", "nop")
    equal(value(), "1")
    before.same_as(Text(v.pid))


@case
def a_cut_instruction_is_not_blanked():
    v = Victim("basic")
    cut = cc("cut", "#include <usplice/payload.h>\nUSPLICE_NOP(value, 0, 3);\n", v, code=None)
    check(cut.code != OK, "a NOP over half of an instruction was made\n%s" % cut)
    contains(cut.err, "value")


@case
def two_payloads_on_different_functions():
    v = Victim("basic")
    before = Text(v.pid)
    one = cc("one", replacing(("int value(void)", "return 2;")), v)
    two = cc("two", replacing(("int other(void)", "return 20;")), v)
    on(v, "load", one)
    on(v, "load", two)
    equal(v.ask("all"), "2 20 100")
    on(v, "revert", "two")
    equal(v.ask("all"), "2 10 100")
    equal(applied(v), ["one"])
    on(v, "revert", "one")
    equal(v.ask("all"), "1 10 100")
    before.same_as(Text(v.pid))


@case
def three_payloads_then_a_replacing_one():
    v = Victim("basic")
    before = Text(v.pid)
    for name, text in (("one", replacing(("int value(void)", "return 2;"))),
                       ("two", replacing(("int other(void)", "return 20;"))),
                       ("three", replacing(("int third(void)", "return 200;")))):
        on(v, "load", cc(name, text, v))
    equal(v.ask("all"), "2 20 200")
    on(v, "upload", cc("four", replacing(("int value(void)", "return 9;")), v))
    on(v, "replace", "four")
    equal(v.ask("all"), "9 10 100")
    equal(applied(v), ["four"])
    for name in ("one", "two", "three"):
        on(v, "unload", name)
    on(v, "revert", "four")
    equal(v.ask("all"), "1 10 100")
    equal(applied(v), [])
    before.same_as(Text(v.pid))


# Each hook counts itself in two bits of its own in the target's shared_counter.
PRE_APPLY, POST_APPLY, PRE_REVERT, POST_REVERT, LOAD, UNLOAD = (1 << 2 * i for i in range(6))
HOOKS = """
#include <usplice/payload.h>
extern int shared_counter;
static int new_value(void) { return %(result)d; }
USPLICE_REPLACE(value, new_value);
static int pre_apply(void) { shared_counter += 1 << %(shift)d; return %(veto)s; }
static void post_apply(void) { shared_counter += 4 << %(shift)d; }
static int pre_revert(void) { shared_counter += 16 << %(shift)d; return 0; }
static void post_revert(void) { shared_counter += 64 << %(shift)d; }
static void load(void) { shared_counter += 256 << %(shift)d; }
static void unload(void) { shared_counter += 1024 << %(shift)d; }
USPLICE_PRE_APPLY_HOOK(pre_apply);
USPLICE_POST_APPLY_HOOK(post_apply);
USPLICE_PRE_REVERT_HOOK(pre_revert);
USPLICE_POST_REVERT_HOOK(post_revert);
USPLICE_LOAD_HOOK(load);
USPLICE_UNLOAD_HOOK(unload);
"""


def hooks_run(v, shift=0):
    """What the hooks counted; bump() counts shared_counter and a static one up by one each."""
    v.bumps = getattr(v, "bumps", 0) + 1
    return (int(v.ask("bump")) - 440 - 2 * v.bumps) >> shift & 0xfff


@case
def each_kind_of_hook_runs_once():
    v = Victim("basic")
    on(v, "load", cc("hooks", HOOKS % dict(result=2, shift=0, veto="0"), v))
    equal(hooks_run(v), PRE_APPLY | POST_APPLY | LOAD)
    on(v, "revert", "hooks")
    equal(hooks_run(v), PRE_APPLY | POST_APPLY | LOAD | PRE_REVERT | POST_REVERT | UNLOAD)
    equal(v.ask("value"), "1")


@case
def a_vetoing_hook_stops_everything():
    v = Victim("basic")
    before = Text(v.pid)
    on(v, "upload", cc("hooks", HOOKS % dict(result=2, shift=0, veto="-1"), v))
    r = on(v, "apply", "hooks", code=VETO)
    contains(r.err, "hooks")
    equal(v.ask("value"), "1")
    equal(states(v), [("hooks", "checked", 0)])
    check(hooks_run(v) in (PRE_APPLY, PRE_APPLY | POST_APPLY), "only the pre-apply (and the post-apply) hook may run")
    before.same_as(Text(v.pid))


@case
def a_vetoed_load_leaves_nothing():
    v = Victim("basic")
    before = Text(v.pid)
    on(v, "load", cc("hooks", HOOKS % dict(result=2, shift=0, veto="1"), v), code=VETO)
    equal(states(v), [])
    before.same_as(Text(v.pid))


@case
def a_revert_that_is_vetoed_once():
    v = Victim("basic")
    text = """
    #include <usplice/payload.h>
    static int asked;
    static int new_value(void) { return 2 + asked * 10; }
    static int pre_revert(void) { asked++; return asked < 2; }
    USPLICE_REPLACE(value, new_value);
    USPLICE_PRE_REVERT_HOOK(pre_revert);
    """
    on(v, "load", cc("veto", text, v))
    on(v, "revert", "veto", code=VETO)
    equal(states(v), [("veto", "applied", 1)])
    equal(v.ask("value"), "12")
    on(v, "revert", "veto")
    equal(states(v), [("veto", "checked", 0)])
    equal(v.ask("value"), "1")


@case
def replace_runs_the_hooks_of_both_once():
    v = Victim("basic")
    on(v, "load", cc("old", HOOKS % dict(result=2, shift=0, veto="0"), v))
    equal(hooks_run(v), PRE_APPLY | POST_APPLY | LOAD)
    on(v, "upload", cc("new", HOOKS % dict(result=3, shift=12, veto="0"), v))
    on(v, "replace", "new")
    equal(hooks_run(v, 12), PRE_APPLY | POST_APPLY | LOAD, "the new one's hooks")
    old = hooks_run(v)
    equal(old & (PRE_APPLY | POST_APPLY | LOAD), PRE_APPLY | POST_APPLY | LOAD, "the old one's apply hooks")
    equal(old & 3 * UNLOAD, UNLOAD, "the old one's unload hook")
    check(not old & 0x2aa, "a hook ran twice: %#x" % old)
    equal(v.ask("value"), "3")


@case
def a_payload_of_hooks_only():
    v = Victim("basic")
    text = """
    #include <usplice/payload.h>
    extern int shared_counter;
    static void load(void) { shared_counter += 5; }
    USPLICE_LOAD_HOOK(load);
    """
    on(v, "load", cc("hooks-only", text, v))
    equal(hooks_run(v), 5)
    on(v, "revert", "hooks-only")
    on(v, "unload", "hooks-only")
    equal(states(v), [])


@case
def same_build_under_another_name():
    v = Victim("basic")
    a = value_payload("a", 2, v)
    on(v, "upload", a)
    b = tmp("b.usp")
    with open(a, "rb") as f, open(b, "wb") as g:
        g.write(f.read())
    on(v, "upload", b, code=EXISTS)
    other = cc("a2", replacing(("int value(void)", "return 3;")), v, "--name", "a")
    on(v, "upload", other, code=EXISTS)
    equal(states(v), [("a", "checked", 0)])


@case
def dry_run_changes_nothing():
    v = Victim("basic")
    before = Text(v.pid)
    regions = [(m.start, m.end, m.perms) for m in maps(v.pid)]
    p = value_payload("fix", 2, v)
    on(v, "load", p, "--dry-run")
    equal(v.ask("value"), "1")
    equal(states(v), [])
    equal([(m.start, m.end, m.perms) for m in maps(v.pid)], regions, "mappings")
    before.same_as(Text(v.pid))


@case
def labels_are_shown():
    v = Victim("basic")
    text = replacing(("int value(void)", "return 2;")) + """
    USPLICE_NAME("cve-fix");
    USPLICE_VERSION("1.2-3");
    USPLICE_DESCRIPTION("CVE-2026-0001: one is wrong");
    """
    on(v, "load", cc("labels", text, v))
    row = listed(v)[0]
    equal((row["name"], row["version"]), ("cve-fix", "1.2-3"))
    contains(row["description"], "CVE-2026-0001")
    contains(run("info", "cve-fix", "--pid", v.pid).out, "CVE-2026-0001", "1.2-3", "value")
    contains(run("list", "--pid", v.pid).out, "cve-fix", "1.2-3")
    details = info(v, "cve-fix")
    equal(details["functions"][0]["name"], "value")
    equal(int(details["functions"][0]["old_address"], 0), runtime(v, "value"), "address of value")


@case
def what_check_says_is_what_upload_does():
    v = Victim("basic")
    p = value_payload("fix", 2, v)
    row, _ = checked(v, p)
    equal(row["fits"], True)
    equal(states(v), [])
    on(v, "upload", p)
    row, r = checked(v, p, code=EXISTS)
    equal(row["fits"], False)
    equal(row["result"], "exists")


@case
def unload_gives_the_memory_back():
    v = Victim("basic")
    p = value_payload("fix", 2, v)
    on(v, "load", p)
    image = int(info(v, "fix")["base"], 0)
    check(any(m.start <= image < m.end for m in maps(v.pid)), "the image is not in the maps")
    on(v, "revert", "fix")
    on(v, "unload", "fix")
    check(not any(m.start <= image < m.end and "x" in m.perms for m in maps(v.pid)), "the image is still there")


@case
def the_registry_shows_in_the_maps_by_name():
    v = Victim("basic")
    on(v, "load", value_payload("fix", 2, v))
    check(any(is_ours(m) for m in maps(v.pid)), "no mapping is named after usplice")
    check(not any("w" in m.perms and "x" in m.perms for m in maps(v.pid)), "a mapping is writable and executable")


main()
