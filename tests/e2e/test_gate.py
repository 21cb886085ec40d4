# SPDX-License-Identifier: MIT
"""The gated switch, from outside: undisturbed sleepers; threads of every attitude towards signals; somebody inside.

USPLICE_TEST_MODE (epoch.py) takes another mode: what must hold for the gate alone then says so and is expected to fail.
"""

import signal

from epoch import *

# --- sleepers ----------------------------------------------------------------------------------------------------

PAIR = replacing(("int value(void)", "return 2;"), ("int other(void)", "return 20;"))


def sleepers_of(v):
    """{tid: (name, number of the system call)}"""
    found = {}
    for word in v.ask("sleepers").split():
        name, tid, number = word.split(":")
        found[int(tid)] = (name, int(number))
    return found


def disturbance(pid, tids):
    """{tid: (voluntary and nonvoluntary switches, times put on a CPU)}"""
    seen = {}
    for tid in tids:
        with open("/proc/%d/task/%d/status" % (pid, tid)) as f:
            switches = sum(int(n) for n in re.findall(r"ctxt_switches:\s*(\d+)", f.read()))
        with open("/proc/%d/task/%d/schedstat" % (pid, tid)) as f:
            seen[tid] = (switches, int(f.read().split()[2]))
    return seen


def still_asleep(v, sleepers):
    # Who was stopped may yet be on the way back, and is in restart_syscall then; the gate leaves them alone.
    for tid, (name, number) in sleepers.items():
        wanted = (str(number),) if IS_GATE else (str(number), "219")
        def in_it():
            with open("/proc/%d/task/%d/syscall" % (v.pid, tid)) as f:
                return f.read().split()[0] in wanted
        if IS_GATE:
            check(in_it(), "%s is not asleep in its system call" % name)
        else:
            until(in_it, "%s is in its system call" % name)


def borrowed(r):
    """The thread that was borrowed: it is assumed that --verbose says "borrowed thread TID"."""
    return {int(t) for t in re.findall(r"borrowed thread (\d+)", r.out + r.err)}


def undisturbed(v, sleepers, action, what):
    before = disturbance(v.pid, sleepers)
    calls = int(v.ask("calls"))
    r = on(v, action, what, *mode_options(action), "--verbose")
    after = disturbance(v.pid, sleepers)
    excepted = borrowed(r)
    check(len(excepted) <= 1, "more than one thread was borrowed\n%s" % r)
    woken = ["%s (%d): %s, then %s" % (sleepers[t][0], t, before[t], after[t])
             for t in sleepers if before[t] != after[t] and t not in excepted]
    check(not woken, "sleepers were disturbed by %s (switches, times put on a CPU):\n%s\n%s" %
          (action, "\n".join(woken), r))
    still_asleep(v, sleepers)
    until(lambda: int(v.ask("calls")) > calls, "the caller goes on")


@case
def sleepers_are_not_disturbed():
    v = Victim("sleepers")
    sleepers = sleepers_of(v)
    check(len(sleepers) >= 9, "sleepers: %s" % sleepers)
    one, two = cc("one", PAIR, v), cc("two", PAIR + 'static const char tag[] __attribute__((used)) = "two";', v)
    before = Outside(v)
    on(v, "upload", one)
    on(v, "upload", two)
    undisturbed(v, sleepers, "apply", "one")
    equal((v.ask("value"), v.ask("other")), ("2", "20"))
    undisturbed(v, sleepers, "replace", "two")
    equal((v.ask("value"), v.ask("other")), ("2", "20"))
    undisturbed(v, sleepers, "revert", "two")
    equal((v.ask("value"), v.ask("other")), ("1", "10"))
    for name in ("one", "two"):
        on(v, "unload", name, *mode_options("unload"))
    before.same()


@case
def sleepers_sleep_on_in_the_same_calls():
    # Whatever the mode: none of them returns (the victim aborts), and each is found where it was.
    v = Victim("sleepers")
    sleepers = sleepers_of(v)
    p = cc("fix", PAIR, v)
    for _ in range(10):
        for step in (("load", p), ("revert", "fix"), ("unload", "fix")):
            on(v, *step, *mode_options(step[0]))
            still_asleep(v, sleepers)


@case
def a_sleeper_that_wakes_is_noticed():
    # The test of the test above.
    v = Victim("sleepers")
    sleepers = sleepers_of(v)
    before = disturbance(v.pid, sleepers)
    v.may_die = True
    v.tell("wake")
    equal(v.process.wait(PATIENCE), -signal.SIGABRT, "status of the victim")
    check(before, "no sleepers")


# --- kinds of callers --------------------------------------------------------------------------------------------

def verified(v):
    wrong = {k: n for k, n in v.report("verify").items() if n}
    check(not wrong, "the victim itself finds other than at the start: %s" % wrong)


def counted(v, sent):
    until(lambda: v.report("counts")["rt"] >= sent, "all %d signals arrive" % sent)
    c = v.report("counts")
    equal(c["rt"], sent, "signals sent to the process")
    equal(c["unexpected"], 0, "traps and faults in the program's handlers that are not the program's")
    # One may be raised just now, and the thread that does it be anywhere between.
    check(0 <= c["traps"] - c["handled_traps"] <= 4, "own traps: %s" % c)
    check(0 <= c["faults"] - c["handled_faults"] <= 8, "own faults: %s" % c)
    return c


def under(*kinds, rounds=3, signals=False, steady=True, want=()):
    one, two = version_payload("one", 1, "gate"), version_payload("two", 2, "gate")
    e = Epoch("gate", *kinds)
    before = Outside(e.v, steady)
    sent = 0
    for _ in range(rounds):
        on(e.v, "upload", one)
        on(e.v, "upload", two)
        steps = (1, "apply", "one"), (2, "replace", "two"), (1, "replace", "one"), (0, "revert", "one")
        for to, action, what in steps:
            if signals:
                e.open(to)
                command = start(action, what, *mode_options(action), "--timeout", "50s", "--pid", e.pid)
                while command.poll() is None:
                    os.kill(e.pid, signal.SIGRTMIN)
                    sent += 1
                    time.sleep(0.0005)
                out, err = command.communicate()
                equal(command.returncode, OK, out + err)
                e.settle(True)
            else:
                e.switch(to, action, what)
            before.same_life()
            progress = e.progress()
            e.went_on()
            if not steady:
                until(lambda: e.progress()[1] > progress[1], "births go on")
            verified(e.v)
        for name in ("one", "two"):
            on(e.v, "unload", name, *mode_options("unload"))
        before.same()
    c = counted(e.v, sent)
    for counter in want:
        check(c[counter] > 0, "no %s: %s" % (counter, c))
    e.v.undisturbed()
    e.fine()


@case
def threads_that_block_nothing():
    under("plain=4")


@case
def threads_that_block_every_signal():
    under("deaf=3", "plain=1")


@case
def threads_that_block_even_what_the_c_library_keeps():
    under("mute=2", "plain=1")


@case
def threads_that_block_sigtrap_alone():
    under("notrap=3")


@case
def signals_that_are_pending_and_blocked():
    under("pending=2", "plain=1")


@case
def sigtrap_is_ignored():
    under("ignore=1", "plain=2", "notrap=1", "deaf=1")


@case
def the_program_has_its_own_traps():
    under("traps=2", "plain=1", "deaf=1", want=["traps", "handled_traps"])


@case
def the_program_faults_on_an_alternate_stack():
    under("faults=2", "plain=1", want=["faults", "handled_faults"])


@case
def a_timer_of_one_millisecond():
    under("plain=2", "timer=1000", want=["ticks"])


@case
def signals_are_delivered_once():
    under("plain=2", "deaf=1", "notrap=1", signals=True, rounds=2, want=["rt"])


@case
def threads_are_created_and_end():
    under("churn=2", "plain=1", "deaf=1", "pause=1000", steady=False)


@case
def the_newborn_of_who_blocks_all_blocks_all():
    # Its parent is unblocked for the action, and a thread begins with its parent's mask.
    one = version_payload("one", 1, "gate")
    e = Epoch("gate", "plain=1", "parent=1")
    on(e.v, "upload", one)
    kids = lambda: [row["SigBlk"] for row in e.v.statuses("SigBlk", "Name").values() if row["Name"] == "kid"]
    whole = lambda: {row["SigBlk"] for row in e.v.statuses("SigBlk", "Name").values() if row["Name"] == "parent"}
    born = len(kids())
    for _ in range(3):
        e.switch(1, "apply", "one")
        e.switch(0, "revert", "one")
    check(len(kids()) > born, "nobody was born meanwhile")
    until(lambda: len(kids()) == 600, "all are born")
    until(lambda: set(kids()) == whole(), "all block what their parent blocks: %s" % set(kids()), patience=10)
    e.fine()


@case
def children_are_forked():
    under("fork=2", "plain=1", "pause=2000", steady=False)


@case
def children_are_executed():
    under("vfork=2", "plain=1", "pause=2000", steady=False)


@case
def all_kinds_at_once():
    under("plain=1", "deaf=1", "mute=1", "notrap=1", "pending=1", "traps=1", "faults=1", "churn=1", "fork=1", "vfork=1",
          "timer=1000", "pause=2000", signals=True, steady=False, rounds=2,
          want=["ticks", "handled_traps", "handled_faults", "rt"])


@case
def the_victim_notices_what_is_not_as_before():
    # The test of verified() and of Outside: a mask, a handler and a pending signal are spoiled by the victim itself.
    for what, kind, field in (("mask", "notrap=1", "masks"), ("pending", "pending=1", "pendings"),
                              ("handler", "plain=1", "handlers")):
        e = Epoch("gate", kind)
        before = Outside(e.v)
        verified(e.v)
        equal(e.v.ask("spoil " + what), "spoiled")
        e.went_on()
        check(e.v.report("verify")[field] > 0, "spoiling %s is not noticed" % what)
        if what != "pending":
            try:
                before.same_life()
            except Failure:
                continue
            raise Failure("spoiling %s is not seen from outside" % what)


# --- somebody inside ---------------------------------------------------------------------------------------------

PARK = [("int park(void)", "return 1134;")]


def parked(kinds=("plain=2", "deaf=1", "notrap=1")):
    p = version_payload("one", 1, "gate", more=PARK)
    e = Epoch("gate", *kinds)
    before = Outside(e.v, steady=False)  # before the parked one came
    equal(e.v.ask("park"), "parked")
    return e, p, before


def refused(e, what, text, named):
    # A long try: on a machine full of others, a running thread cannot be asked within 30 ms, and would be named.
    r = e.switch(1, "apply", what, "--try", "1000", code=NOT_QUIESCENT, timeout="3s")
    check(r.seconds < 30, "it took %.1f s to give up after 3" % r.seconds)
    if named:
        tid = next(t for t in e.v.threads() if open("/proc/%d/task/%d/comm" % (e.pid, t)).read() == "parked\n")
        # The thread, its name, and the backtrace: from the system call through the function to the caller.
        contains(r.err, str(tid), "parked", "read", "park", "go_and_park")
    text.same_as(Text(e.pid))
    check(not applied(e.v), "something is applied")


@case
def refused_while_a_thread_sleeps_inside():
    e, p, before = parked()
    only = cc("only", replacing(*PARK), victim_path("gate"))
    on(e.v, "upload", p)
    on(e.v, "upload", only)
    text = Text(e.pid)
    refused(e, "only", text, True)
    e.went_on(2000)
    # Under the gate the callers drain and one is left. A rendezvous may name any of them.
    refused(e, "one", text, IS_GATE)
    before.same_signals()
    e.went_on(2000)
    verified(e.v)
    equal(e.v.ask("unpark"), "134", "what park() gave to who was inside")
    e.switch(1, "apply", "one")
    e.went_on()
    equal(e.v.ask("pass"), "1134", "park() after the apply")
    e.switch(0, "revert", "one")
    for name in ("one", "only"):
        on(e.v, "unload", name, *mode_options("unload"))
    e.went_on()
    before.same()


@case
def where_no_helper_may_be_born_all_are_stopped():
    # Not even a thread more is allowed to the target; the action comes about all the same, and says how.
    e, p = Epoch("gate", "plain=2", "deaf=1", uid=65534), version_payload("one", 1, "gate")
    before = Outside(e.v)
    on(e.v, "upload", p)
    # By one of its own: that is allowed to anybody.
    subprocess.run(["prlimit", "--nproc=1:1", "--pid", str(e.pid)], check=True, preexec_fn=lambda: os.setuid(65534))
    for to, action in ((1, "apply"), (0, "revert")):
        r = e.switch(to, action, "one", "--verbose")
        if IS_GATE:
            contains(r.out + r.err, "may not start another thread")
            contains(r.out + r.err, "all threads are stopped for this")
        e.went_on()
    on(e.v, "unload", "one", *mode_options("unload"))
    before.same()


@case
def refused_again_and_again_and_nobody_is_lost():
    e, p, before = parked(("plain=1", "deaf=1", "timer=1000", "fork=1", "pause=2000"))
    on(e.v, "upload", p)
    text = Text(e.pid)
    for _ in range(5):
        e.switch(1, "apply", "one", code=NOT_QUIESCENT, timeout="200ms")
        text.same_as(Text(e.pid))
        e.went_on()
        verified(e.v)
    equal(e.v.ask("unpark"), "134")


@case
def completes_when_the_thread_leaves():
    e, p, _ = parked()
    on(e.v, "upload", p)
    e.open(1)
    command = start("apply", "one", *mode_options("apply"), "--timeout", "50s", "--pid", e.pid)
    until(lambda: any(s["TracerPid"] != "0" for s in e.v.statuses("TracerPid").values()), "the tool has seized it")
    check(command.poll() is None, "it ended before the thread left")
    equal(e.v.ask("unpark"), "134")
    out, err = command.communicate(timeout=PATIENCE)
    equal(command.returncode, OK, out + err)
    e.settle(True)
    e.went_on()


@case
def no_consistency_does_not_wait_for_the_thread_inside():
    # Every function flips by itself: the sleeper goes on in the old code, who calls anew gets the new.
    option = without_consistency()
    p = version_payload("one", 1, "gate", extras=False, more=PARK)
    e = Epoch("gate", "plain=2", "deaf=1", "extras=0", lax=True)
    before = Outside(e.v, steady=False)
    equal(e.v.ask("park"), "parked")
    on(e.v, "upload", p)
    e.switch(1, "apply", "one", code=NOT_QUIESCENT, timeout="300ms")
    e.switch(1, "apply", "one", *option)
    e.went_on()
    equal(e.v.ask("pass"), "1134", "park() for who calls it now")
    equal(e.v.ask("unpark"), "134", "park() of who was inside")
    e.switch(0, "revert", "one", *option)
    e.went_on()
    on(e.v, "unload", "one", *mode_options("unload"))
    before.same()


@case
def what_jumps_back_into_its_first_bytes():
    # Without consistency somebody may stay in the old code and jump into bytes that are no longer its own.
    v = Victim("layout")
    p = cc("fix", replacing(("int looper(void)", "return 90;")), v)
    on(v, "upload", p)
    r = on(v, "apply", "fix", "--consistency", "none", code=UNSUPPORTED)
    contains(r.err, "looper")
    equal(v.ask("looper"), "9")
    on(v, "apply", "fix", *mode_options("apply"))
    equal(v.ask("looper"), "90")
    on(v, "revert", "fix", *mode_options("revert"))
    equal(v.ask("looper"), "9")
    on(v, "unload", "fix", *mode_options("unload"))


main()
