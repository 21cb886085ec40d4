# SPDX-License-Identifier: MIT
"""Stopped and traced targets, parents, children, exec, vfork, targets that are killed in the middle."""

import signal

from harness import *


@case
def a_stopped_target_stays_stopped():
    v = Victim("basic")
    p = value_payload("fix", 2, v)
    os.kill(v.pid, signal.SIGSTOP)
    until(lambda: v.state().startswith("T"), "it stops")
    on(v, "load", p)
    until(lambda: v.state().startswith("T (stopped)"), "it is stopped again")
    equal(v.statuses("TracerPid")[v.pid]["TracerPid"], "0", "tracer")
    os.kill(v.pid, signal.SIGCONT)
    equal(v.ask("value"), "2")
    os.kill(v.pid, signal.SIGSTOP)
    until(lambda: v.state().startswith("T"), "it stops")
    on(v, "revert", "fix")
    on(v, "unload", "fix")
    os.kill(v.pid, signal.SIGCONT)
    equal(v.ask("value"), "1")


@case
def a_stopped_target_with_many_threads():
    v = Victim("busy", "spin=2", "sleep=4")
    p = value_payload("fix", 2, v)
    os.kill(v.pid, signal.SIGSTOP)
    until(lambda: all(s["State"][0] == "T" for s in v.statuses("State").values()), "all threads stop")
    on(v, "load", p)
    until(lambda: all(s["State"].startswith("T (stopped)") for s in v.statuses("State").values()), "all are stopped again")
    os.kill(v.pid, signal.SIGCONT)
    equal(v.ask("value"), "2")


@case
def continued_while_it_is_patched():
    v = Victim("busy", "spin=1", "sleep=2")
    p = value_payload("fix", 2, v)
    for _ in range(8):
        for step in (("load", p), ("revert", "fix"), ("unload", "fix")):
            command = start(*step, "--pid", v.pid)
            while command.poll() is None:
                os.kill(v.pid, signal.SIGSTOP)
                os.kill(v.pid, signal.SIGCONT)
                time.sleep(0.001)
            out, err = command.communicate()
            equal(command.returncode, OK, out + err)
    os.kill(v.pid, signal.SIGCONT)
    equal(v.ask("value"), "1")


@case
def a_target_that_is_traced_already():
    v = Victim("basic")
    p = value_payload("fix", 2, v)
    before = Text(v.pid)
    ptrace(PTRACE_SEIZE, v.pid)
    try:
        r = on(v, "load", p, code=PERMISSION)
        contains(r.err, str(os.getpid()))  # who has it
        equal(v.ask("value"), "1")
        before.same_as(Text(v.pid))
    finally:
        os.kill(v.pid, signal.SIGSTOP)  # a tracee must be stopped to be let go
        os.waitpid(v.pid, os.WUNTRACED)
        ptrace(PTRACE_DETACH, v.pid)
        os.kill(v.pid, signal.SIGCONT)
    on(v, "load", p)
    equal(v.ask("value"), "2")


@case
def the_parent_sees_no_stop():
    v = Victim("family", "watch")
    child = int(v.ask("child"))
    p = cc("fix", replacing(("int value(void)", "return 2;")), v)
    for _ in range(5):
        on(child, "load", p)
        equal(v.ask("value"), "2")
        on(child, "revert", "fix")
        on(child, "unload", "fix")
    equal(v.ask("value"), "1")
    equal(v.ask("reports"), "0")


@case
def exec_forgets_the_payloads():
    v = Victim("family", "exec")
    p = value_payload("fix", 2, v)
    on(v, "load", p)
    equal(v.ask("value"), "2")
    equal(v.ask("exec"), "ready")
    equal(v.ask("value"), "1")
    equal(states(v), [])
    on(v, "load", p)
    equal(v.ask("value"), "2")


@case
def exec_in_the_middle():
    v = Victim("family", "exec-loop", "3000", ready=None)
    p = value_payload("fix", 2, v)
    codes = []
    while not select.select([v.process.stdout.fileno()], [], [], 0)[0]:
        codes.append(on(v, "load", p, code=(OK, GONE, EXISTS, NOT_QUIESCENT)).code)
    equal(v.line(), "ready")
    check(GONE in codes or len(codes) < 3, "never was there an exec in the middle of %d loads" % len(codes))
    check(v.ask("value") in "12", "value")
    on(v, "load", p, code=(OK, EXISTS))
    equal(v.ask("value"), "2")


@case
def a_thread_stuck_in_vfork():
    v = Victim("family", "vfork")
    p = value_payload("fix", 2, v)
    before = Text(v.pid)
    equal(v.ask("hold"), "held")
    r = on(v, "load", p, "--timeout", "500ms", code=(OK, NOT_QUIESCENT))
    if r.code == NOT_QUIESCENT:
        contains(r.err, "vforker")
        before.same_as(Text(v.pid))
        equal(v.ask("value"), "1")
    equal(v.ask("let"), "let")
    if r.code == NOT_QUIESCENT:
        on(v, "load", p)
    equal(v.ask("value"), "2")


@case
def a_vfork_that_ends_in_time():
    v = Victim("family", "vfork")
    p = value_payload("fix", 2, v)
    equal(v.ask("hold"), "held")
    load = start("load", p, "--pid", v.pid, "--timeout", "50s")
    until(lambda: load.poll() is not None or any(s["TracerPid"] != "0" for s in v.statuses("TracerPid").values()),
          "the tool has seized the victim")
    equal(v.ask("let"), "let")
    out, err = load.communicate(timeout=PATIENCE)
    equal(load.returncode, OK, out + err)
    equal(v.ask("value"), "2")


@case
def killed_in_the_middle():
    # The later, the further in: from before the first system call to after the end.
    v = Victim("busy", "sleep=8", "spin=1")
    p = value_payload("fix", 2, v)
    whole = on(v, "load", p).seconds
    ends = set()
    for i in range(40):
        w = Victim("busy", "sleep=8", "spin=1")
        w.may_die = True
        load = start("load", p, "--pid", w.pid)
        time.sleep(whole * i / 36)
        os.kill(w.pid, signal.SIGKILL)
        try:
            out, err = load.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            raise Failure("usplice hangs on a target that was killed")
        check(load.returncode in (OK, GONE, NOT_FOUND), "exit %d\n%s%s" % (load.returncode, out, err))
        check(load.returncode == OK or err.strip(), "no message")
        ends.add(load.returncode)
    check(GONE in ends, "it was never killed in the middle: %s" % ends)


@case
def a_zombie_is_no_target():
    v = Victim("basic")
    p = value_payload("fix", 2, v)
    v.may_die = True
    os.kill(v.pid, signal.SIGKILL)
    until(lambda: v.state().startswith("Z"), "it is a zombie")
    for step in (("load", p), ("check", p), ("list",)):
        on(v, *step, code=(NOT_FOUND, GONE))


@case
def fork_while_patched_takes_the_payload_along():
    v = Victim("family", "fork-later")
    before = Text(v.pid)
    p = value_payload("fix", 2, v)
    on(v, "load", p)
    child = int(v.ask("fork"))
    equal(v.ask("child-value"), "2")
    equal(applied(child), ["fix"])
    on(child, "revert", "fix")
    equal((v.ask("value"), v.ask("child-value")), ("2", "1"))
    on(v, "revert", "fix")
    equal((v.ask("value"), v.ask("child-value")), ("1", "1"))
    on(v, "unload", "fix")
    on(child, "unload", "fix")
    before.same_as(Text(v.pid))
    before.same_as(Text(child))


main()
