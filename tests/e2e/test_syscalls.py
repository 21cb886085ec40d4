# SPDX-License-Identifier: MIT
"""System calls that were interrupted go on as if nothing had happened; borrowed threads get every register back."""

from harness import *


@case
def nobody_sees_eintr():
    v = Victim("eintr")
    p = value_payload("fix", 2, v)
    for _ in range(15):
        on(v, "load", p)
        equal(v.ask("value"), "2")
        on(v, "revert", "fix")
        on(v, "unload", "fix")
        equal(v.ask("check"), "waiting=22 ended=0 failures=0 first=-")
    equal(v.ask("release"), "released failures=0")


@case
def a_blocked_read_restarts():
    v = Victim("inside")
    p = cc("fix", replacing(("int value(void)", "return 2;")), v)
    equal(v.ask("enter outside"), "entered")
    for _ in range(5):
        on(v, "load", p)
        on(v, "revert", "fix")
        on(v, "unload", "fix")
    v.tell("leave")
    v.line()


def registers(spinners, sleepers, rounds):
    v = Victim("registers", str(spinners), str(sleepers))
    p = value_payload("fix", 2, v)
    for _ in range(rounds):
        on(v, "load", p)
        equal(v.ask("value"), "2")
        on(v, "revert", "fix")
        on(v, "unload", "fix")
        if sleepers:
            seen = v.report()["rounds"]
            equal(v.ask("wake"), "woken")
            until(lambda: v.report()["rounds"] >= seen + sleepers, "the sleepers come back")
    r = v.report()
    check(r["rounds"] > 0, "no round was made: %s" % r)
    equal(r["bad"], 0, "rounds with a register changed (difference %#x)" % r["difference"])


@case
def live_registers_while_spinning():
    registers(4, 0, 15)


@case
def live_registers_while_asleep():
    registers(0, 4, 15)


@case
def live_registers_in_a_single_running_thread_beside_the_main_one():
    registers(1, 1, 10)


@case
def hooks_and_live_registers():
    # Functions run in the target, on a borrowed thread: they clobber everything that a function may.
    v = Victim("registers", "2", "2")
    text = """
    #include <usplice/payload.h>
    static double sink[64];
    static int new_value(void) { return 2; }
    static int pre(void)
    {
        for (int i = 0; i < 64; i++) sink[i] = i * 1.5 + sink[63 - i];
        __asm__ volatile("pcmpeqd %%xmm0, %%xmm0\\n pcmpeqd %%xmm7, %%xmm7\\n pcmpeqd %%xmm15, %%xmm15\\n fninit"
                         ::: "xmm0", "xmm7", "xmm15", "memory");
        return 0;
    }
    USPLICE_REPLACE(value, new_value);
    USPLICE_PRE_APPLY_HOOK(pre);
    """
    for i in range(10):
        on(v, "load", cc("fix%d" % i, text, v))
        equal(v.ask("value"), "2")
        on(v, "revert", "fix%d" % i)
        on(v, "unload", "fix%d" % i)
        equal(v.ask("wake"), "woken")
    r = v.report()
    equal(r["bad"], 0, "rounds with a register changed (difference %#x)" % r["difference"])


main()
