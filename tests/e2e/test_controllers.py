# SPDX-License-Identifier: MIT
"""Two controllers at once."""

import signal

from harness import *


def stuck_load(v):
    """A load that cannot finish because a thread is inside; it holds the process until the thread leaves."""
    equal(v.ask("enter plain 1"), "entered")
    p = cc("slow", replacing(("int nap(int depth)", "return -1;")), v)
    load = start("load", p, "--pid", v.pid, "--timeout", "50s")
    until(lambda: any(s["TracerPid"] != "0" for s in v.statuses("TracerPid").values()), "the tool has seized the victim")
    check(load.poll() is None, "the load ended although a thread is inside")
    return load


def finished(command, code=OK):
    out, err = command.communicate(timeout=PATIENCE)
    equal(command.returncode, code, out + err)
    return out, err


@case
def the_second_is_told():
    v = Victim("inside")
    p = cc("fix", replacing(("int value(void)", "return 2;")), v)
    first = stuck_load(v)
    r = on(v, "load", p, code=BUSY)
    contains(r.err, str(v.pid))
    equal(v.ask("leave"), "1")
    finished(first)
    equal(applied(v), ["slow"])
    on(v, "load", p)
    equal(v.ask("value"), "2")


@case
def the_second_waits_when_asked_to():
    v = Victim("inside")
    p = cc("fix", replacing(("int value(void)", "return 2;")), v)
    first = stuck_load(v)
    second = start("load", p, "--pid", v.pid, "--wait", "--timeout", "50s")
    until(lambda: "flock" in stack_of(second.pid) or "lock" in stack_of(second.pid), "the second waits for the lock")
    check(first.poll() is None and second.poll() is None, "one of them ended")
    equal(v.ask("leave"), "1")
    finished(first)
    finished(second)
    equal(applied(v), ["slow", "fix"])
    equal((v.ask("value"), v.ask("nap 3")), ("2", "-1"))


def stack_of(pid):
    """What the process waits for in the kernel."""
    try:
        with open("/proc/%d/wchan" % pid) as f:
            return f.read()
    except OSError:
        return ""


@case
def looking_needs_no_lock():
    v = Victim("inside")
    first = stuck_load(v)
    until(lambda: listed(v), "the upload to show")
    equal([p["state"] for p in listed(v)], ["checked"])
    equal(v.ask("leave"), "1")
    finished(first)


@case
def many_at_once():
    v = Victim("basic")
    before = Text(v.pid)
    payloads = [cc("p%d" % i, replacing(("int value(void)", "return %d;" % (10 + i))), v) for i in range(6)]
    loads = [start("load", p, "--pid", v.pid, "--wait", "--timeout", "50s") for p in payloads]
    for load in loads:
        finished(load)
    order = applied(v)
    equal(sorted(order), ["p%d" % i for i in range(6)])
    equal(v.ask("value"), str(10 + int(order[-1][1:])))
    for name in reversed(order):
        on(v, "revert", name)
    for unload in [start("unload", name, "--pid", v.pid, "--wait") for name in order]:
        finished(unload)
    equal(states(v), [])
    before.same_as(Text(v.pid))


@case
def many_at_once_without_waiting():
    v = Victim("busy", "spin=1")
    payloads = [cc("p%d" % i, replacing(("int value(void)", "return %d;" % (10 + i))), v) for i in range(6)]
    loads = [start("load", p, "--pid", v.pid) for p in payloads]
    codes = []
    for load in loads:
        out, err = load.communicate(timeout=PATIENCE)
        check(load.returncode in (OK, BUSY), "exit %d\n%s%s" % (load.returncode, out, err))
        codes.append(load.returncode)
    check(OK in codes, "nobody got through")
    equal(sorted(applied(v)), sorted("p%d" % i for i in range(6) if codes[i] == OK))


@case
def a_controller_that_is_stopped_and_then_killed():
    # While it is only stopped it keeps its lock; killed, it leaves nothing behind.
    v = Victim("inside")
    p = cc("fix", replacing(("int value(void)", "return 2;")), v)
    first = stuck_load(v)
    os.kill(first.pid, signal.SIGSTOP)
    at_end(lambda: first.poll() is None and os.kill(first.pid, signal.SIGCONT))
    r = on(v, "load", p, code=BUSY)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    equal(v.ask("leave"), "1")
    on(v, "load", p)
    equal(v.ask("value"), "2")
    v.undisturbed()


main()
