# SPDX-License-Identifier: MIT
"""Somebody is inside the function: wait, refuse in time, name who and where; others run on meanwhile."""

import resource

from harness import *

FIX = replacing(("int nap(int depth)", "return -1;"))


def enter(kind, depth):
    v = Victim("inside")
    p = cc("fix", FIX, v)
    equal(v.ask("enter %s %d" % (kind, depth)), "entered")
    return v, p


def refused(v, p, *words):
    before = Text(v.pid)
    r = on(v, "load", p, "--timeout", "400ms", code=NOT_QUIESCENT)
    contains(r.err, "sleeper", "nap", *words)
    check(r.seconds < 15, "it took %.1f s to give up after 0.4" % r.seconds)
    equal(states(v), [])
    before.same_as(Text(v.pid))
    return r


def stuck(kind, depth):
    def test():
        v, p = enter(kind, depth)
        refused(v, p)
        equal(v.ask("leave"), str(depth))
        on(v, "load", p)
        equal(v.ask("nap 3"), "-1")
        on(v, "revert", "fix")
        equal(v.ask("nap 3"), "3")
    test.__name__ = "refused_while_inside_%s_at_depth_%d" % (kind, depth)
    case(test)


for each in (("plain", 0), ("plain", 10), ("plain", 100000), ("coroutine", 5), ("alternate", 5)):
    stuck(*each)


@case
def completes_when_the_thread_leaves():
    v, p = enter("plain", 3)
    load = start("load", p, "--pid", v.pid, "--timeout", "50s")
    # It is trying once somebody has been stopped by it; the thread leaves only then.
    until(lambda: any(s["TracerPid"] != "0" for s in v.statuses("TracerPid").values()), "the tool has seized the victim")
    check(load.poll() is None, "it ended before the thread left")
    equal(v.ask("leave"), "3")
    out, err = load.communicate(timeout=PATIENCE)
    equal(load.returncode, OK, out + err)
    equal(v.ask("nap 3"), "-1")


@case
def the_backtrace_names_the_callers():
    v, p = enter("plain", 0)
    r = refused(v, p)
    contains(r.err, "enter_plain", "read")


@case
def other_functions_are_not_held_up():
    v, _ = enter("plain", 10)
    on(v, "load", cc("other", replacing(("int value(void)", "return 2;")), v))
    equal(v.ask("value"), "2")
    equal(v.ask("leave"), "10")


@case
def a_thread_outside_is_no_obstacle():
    v, p = enter("outside", 0)
    on(v, "load", p)
    equal(v.ask("nap 3"), "-1")


@case
def others_run_on_while_one_is_inside():
    v, p = enter("plain", 5)
    v.ask("gap")
    on(v, "load", p, "--timeout", "2s", code=NOT_QUIESCENT)
    gap = int(v.ask("gap")) / 1000
    # One try holds them 30 ms at most by default; the rest is for a loaded machine.
    check(gap < 400, "another thread stood still for %.0f ms" % gap)
    on(v, "load", p, "--timeout", "1s", "--try", "5", code=NOT_QUIESCENT)


# A replacement of nap() that blocks as the original does, and counts its depth by another step.
SLEEPING = """
#include <usplice/payload.h>
extern int arrived, gate[2];
int nap(int);
long read(int, void *, unsigned long);
static int fixed(int depth)
{
    char c;
    volatile int sum = 0;
    if (depth > 0) { sum = nap(depth - 1); return sum + %d; }
    __atomic_add_fetch(&arrived, 1, __ATOMIC_SEQ_CST);
    return read(gate[0], &c, 1) == 1 ? 0 : -1000;
}
USPLICE_REPLACE(nap, fixed);
"""


@case
def a_revert_waits_for_the_payloads_own_frames():
    v = Victim("inside")
    text = Text(v.pid)
    on(v, "load", cc("fix", SLEEPING % 2, v))
    equal(v.ask("enter plain 4"), "entered")
    r = on(v, "revert", "fix", "--timeout", "400ms", code=NOT_QUIESCENT)
    contains(r.err, "sleeper")
    equal(applied(v), ["fix"])
    equal(v.ask("leave"), "8")
    on(v, "revert", "fix")
    on(v, "unload", "fix")
    equal(v.ask("nap 3"), "3")
    text.same_as(Text(v.pid))


@case
def stacked_payloads_with_a_thread_in_each_in_turn():
    # The walk has to pass from the target's functions through the payload's frames and back.
    v = Victim("inside")
    on(v, "load", cc("first", SLEEPING % 2, v))
    on(v, "load", cc("second", SLEEPING % 3, v))
    equal(v.ask("enter plain 4"), "entered")
    on(v, "revert", "second", "--timeout", "400ms", code=NOT_QUIESCENT)
    equal(v.ask("leave"), "12")
    on(v, "revert", "second")
    on(v, "unload", "second")
    equal(v.ask("enter plain 4"), "entered")
    on(v, "revert", "first", "--timeout", "400ms", code=NOT_QUIESCENT)
    equal(v.ask("leave"), "8")
    on(v, "revert", "first")
    equal(v.ask("nap 3"), "3")


@case
def a_thread_in_the_lower_payload_while_an_upper_one_on_another_function_goes():
    v = Victim("inside")
    on(v, "load", cc("first", SLEEPING % 2, v))
    equal(v.ask("enter plain 4"), "entered")
    on(v, "load", cc("other", replacing(("int value(void)", "return 2;")), v))
    equal(v.ask("value"), "2")
    on(v, "revert", "other")
    on(v, "unload", "other")
    equal(v.ask("value"), "1")
    equal(v.ask("leave"), "8")


@case
def longjmp_out_of_a_replaced_function():
    v = Victim("inside")
    on(v, "load", cc("fix", """
    #include <usplice/payload.h>
    #include <setjmp.h>
    extern jmp_buf back;
    static void fixed(int n) { longjmp(back, n + 40); }
    USPLICE_REPLACE(leap, fixed);
    """, v))
    equal(v.ask("jump"), "43")
    on(v, "revert", "fix")
    equal(v.ask("jump"), "3")


@case
def check_names_who_is_inside_now():
    v, p = enter("plain", 2)
    row, _ = checked(v, p)
    equal(row["fits"], True)
    check(any("sleeper" in t and "nap" in t for t in row["busy_threads"]), "busy threads: %s" % row["busy_threads"])


@case
def the_tool_under_an_unlimited_stack():
    v = Victim("inside")
    p = cc("fix", FIX, v)
    def unlimited():
        resource.setrlimit(resource.RLIMIT_STACK, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

    hard = resource.getrlimit(resource.RLIMIT_STACK)[1]
    if hard != resource.RLIM_INFINITY and os.getuid() != 0:
        raise Skip("may not raise the stack's limit")
    on(v, "load", p, preexec=unlimited)
    on(v, "revert", "fix", preexec=unlimited)
    w = Victim("inside", preexec=unlimited)
    on(w, "load", p)
    equal(w.ask("nap 3"), "-1")


main()
