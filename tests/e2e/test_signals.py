# SPDX-License-Identifier: MIT
"""Signals: delivered once, masks and handlers as before, handlers of the target's own, deaf threads."""

import signal

from harness import *

FIELDS = ("SigPnd", "ShdPnd", "SigBlk", "SigIgn", "SigCgt")


@case
def each_signal_arrives_once():
    v = Victim("signals")
    p = value_payload("fix", 2, v)
    sent = 0
    for _ in range(10):
        load = start("load", p, "--pid", v.pid)
        while load.poll() is None:
            os.kill(v.pid, signal.SIGRTMIN)
            sent += 1
            time.sleep(0.0005)
        out, err = load.communicate()
        equal(load.returncode, OK, out + err)
        on(v, "revert", "fix")
        on(v, "unload", "fix")
    until(lambda: v.report("counts")["rt"] >= sent, "all %d signals arrive" % sent)
    equal(v.report("counts")["rt"], sent, "signals")


@case
def masks_and_handlers_are_as_before():
    v = Victim("signals")
    before = v.statuses(*FIELDS)
    on(v, "load", value_payload("fix", 2, v))
    equal(v.statuses(*FIELDS), before)
    on(v, "revert", "fix")
    on(v, "unload", "fix")
    equal(v.statuses(*FIELDS), before)


@case
def the_targets_own_fault_handlers_still_work():
    v = Victim("signals")
    on(v, "load", value_payload("fix", 2, v))
    equal(v.ask("fault"), "survived")
    c = v.report("counts")
    equal((c["trap"], c["segv"], c["ill"]), (1, 1, 1), "handlers run")
    on(v, "revert", "fix")
    equal(v.ask("fault"), "survived")
    c = v.report("counts")
    equal((c["trap"], c["segv"], c["ill"]), (2, 2, 2), "handlers run")


@case
def a_handler_in_a_replaced_function():
    # slow() is replaced while signals interrupt it and their handler calls value(), which is replaced with it.
    v = Victim("signals")
    before = Text(v.pid)
    p = cc("fix", replacing(("int slow(void)", "for (volatile int i = 0; i < 3000; i++) ; return 1;"),
                            ("int value(void)", "return 2;")), v)
    for _ in range(8):
        for step in (("load", p), ("revert", "fix"), ("unload", "fix")):
            command = start(*step, "--pid", v.pid)
            while command.poll() is None:
                os.kill(v.pid, signal.SIGUSR1)
                time.sleep(0.0003)
            out, err = command.communicate()
            equal(command.returncode, OK, out + err)
    c = v.report("counts")
    check(c["nested"] > 0, "no handler ran: %s" % c)
    equal(c["nested_bad"], 0, "wrong values in the handler")
    before.same_as(Text(v.pid))


@case
def a_thread_that_blocks_every_signal():
    v = Victim("signals")
    deaf = [t for t in v.threads() if open("/proc/%d/task/%d/comm" % (v.pid, t)).read() == "deaf\n"]
    equal(len(deaf), 1, "deaf threads")
    p = value_payload("fix", 2, v)
    for _ in range(5):
        on(v, "load", p)
        on(v, "revert", "fix")
        on(v, "unload", "fix")
    check(deaf[0] in v.threads(), "the deaf thread is gone")


@case
def signals_that_were_pending_stay_pending():
    v = Victim("basic", preexec=lambda: signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2]))
    os.kill(v.pid, signal.SIGUSR2)
    before = v.statuses(*FIELDS)
    check(int(before[v.pid]["ShdPnd"], 16) != 0, "nothing is pending: %s" % before)
    on(v, "load", value_payload("fix", 2, v))
    equal(v.ask("value"), "2")
    equal(v.statuses(*FIELDS), before)


main()
