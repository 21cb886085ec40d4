# SPDX-License-Identifier: MIT
"""The controller of a gated switch killed at every system call, with callers that block all signals and callers that
do not: the target lives, nobody is lost, all is old or all is new for as long as nobody comes; then recover brings it
in order, or nobody does and it goes on.

Every 13th call is taken (an action makes about a thousand); USPLICE_KILLAT_STRIDE=1 takes each, in a quarter of an hour an
action. After a kill in a rendezvous (USPLICE_TEST_MODE, epoch.py) some
functions may be old and some new until the next command comes; there, only that is left out.
"""

from epoch import *
from killing import *

STRIDE = int(os.environ.get("USPLICE_KILLAT_STRIDE", "13"))
USED = 12  # of f: each way of beginning up to one across a page
KINDS = ("deaf=1", "plain=1", "notrap=1", "sites=%d" % USED)
LAX = not IS_GATE


def payloads():
    return version_payload("one", 1, "gate", sites=USED), version_payload("two", 2, "gate", sites=USED)


def nothing(e, one, two):
    pass


def uploaded(e, one, two):
    on(e.v, "upload", one)


def loaded(e, one, two):
    uploaded(e, one, two)
    e.switch(1, "apply", "one")


def both(e, one, two):
    loaded(e, one, two)
    on(e.v, "upload", two)


# Of each action: what comes before it, its argument, the version it leads to, and all states (as states() gives them)
# in which recover may leave the target.
CHECKED, APPLIED = [("one", "checked", 0)], [("one", "applied", 1)]
PLANS = {
    "load": (nothing, lambda one, two: one, 1, [[], CHECKED, APPLIED]),
    "apply": (uploaded, lambda one, two: "one", 1, [CHECKED, APPLIED]),
    "revert": (loaded, lambda one, two: "one", 0, [CHECKED, APPLIED]),
    "replace": (both, lambda one, two: "two", 2, [[("one", "applied", 1), ("two", "checked", 0)],
                                                  [("one", "checked", 0), ("two", "applied", 1)]]),
    "unload": (uploaded, lambda one, two: "one", 0, [CHECKED, []]),
}


def version_by_states(e):
    """Of what usplice says is applied."""
    names = applied(e.v)
    return {"one": 1, "two": 2}[names[-1]] if names else 0


def all_off(e):
    for name in reversed(applied(e.v)):
        e.switch(0, "revert", name)
    for name, _, _ in states(e.v):
        on(e.v, "unload", name, *mode_options("unload"))


def looks(v):
    return [(m.start, m.end, m.perms, m.name) for m in maps(v.pid)], v.threads()


def is_clean(v, look, text, outside, wanted):
    """As before the action, and nothing is to be brought in order. (list changes nothing.)"""
    return (looks(v) == look and Text(v.pid, like=text) == text and outside.signals_now() == outside.signals and
            states(v) == wanted)


def killed_at_every_call(action):
    prepare, argument, to, allowed = PLANS[action]
    one, two = payloads()
    e = Epoch("gate", *KINDS, lax=LAX)
    outside = Outside(e.v)
    prepare(e, one, two)
    wanted, text, look = states(e.v), Text(e.pid), looks(e.v)
    before = e.version
    clean, repaired, n = 0, 0, 1
    while True:
        try:
            e.open(to)
            finished = killat(n, action, argument(one, two), *mode_options(action), "--timeout", "50s", "--pid", e.pid)
            let_go(e.v)
            if finished:
                e.settle(True)
                e.went_on(mixed_too=not LAX)
                break
            e.went_on(mixed_too=not LAX)
            if is_clean(e.v, look, text, outside, wanted):
                clean += 1
                e.settle(to == before)
                n += STRIDE
                continue
            repaired += 1
            on(e.v, "recover")
            now = states(e.v)
            check(now in allowed, "the state after recover: %s" % now)
            version = version_by_states(e)
            check(version in (before, to), "the version after recover: %d" % version)
            e.settle(version == to)
            e.went_on(mixed_too=not LAX)
            outside.same_life(after_recover=True)
            all_off(e)
            outside.same(after_recover=True)
            prepare(e, one, two)
            equal(states(e.v), wanted)
            text, look = Text(e.pid), looks(e.v)
        except Failure as failure:
            raise Failure("killed at system call %d of %s: %s" % (n, action, failure))
        n += STRIDE
    check(finished > 50 and repaired > 0, "nothing was killed in the middle: clean %d, repaired %d, calls %d" %
          (clean, repaired, finished))
    print("# %s: %d system calls, %d kills: %d left nothing, %d were repaired" %
          (action, finished, clean + repaired, clean, repaired))
    all_off(e)
    outside.same()
    equal(e.v.report("verify"), {"masks": 0, "pendings": 0, "stacks": 0, "handlers": 0})


def left_alone(action, points=8):
    """No next command: 2 s under load, and it ends by itself as ever. At so many points of what leaves a trace."""
    prepare, argument, to, _ = PLANS[action]
    one, two = payloads()

    def at(n):
        e = Epoch("gate", *KINDS, lax=LAX)
        outside = Outside(e.v)
        prepare(e, one, two)
        wanted, text, look = states(e.v), Text(e.pid), looks(e.v)
        e.open(to)
        finished = killat(n, action, argument(one, two), *mode_options(action), "--timeout", "50s", "--pid", e.pid)
        let_go(e.v)
        touched = not is_clean(e.v, look, text, outside, wanted)
        if touched or finished:
            deadline = time.monotonic() + 2  # not waited for: that is how long it is watched
            while time.monotonic() < deadline:
                e.went_on(mixed_too=not LAX)
        e.v.undisturbed()
        e.v.close()
        return finished, touched

    calls, _ = at(1000000)
    touched = 0
    for k in range(points):
        # The second half is where the text is written.
        n = calls // 3 + (calls - calls // 3) * k // points
        try:
            touched += at(n)[1]
        except Failure as failure:
            raise Failure("killed at system call %d of %d of %s: %s" % (n, calls, action, failure))
    check(touched > 0, "none of the kills left anything")


def add(function, name, *arguments):
    def test():
        function(*arguments)
    test.__name__ = name
    case(test)


for each in PLANS:
    add(killed_at_every_call, "killed_in_" + each, each)
for each in ("apply", "revert", "replace"):
    add(left_alone, "left_alone_in_" + each, each)


@case
def signals_that_come_meanwhile_come_once():
    # A controller that dies while a thread stands in the stop of a signal must not take that signal along.
    one, two = payloads()
    e = Epoch("gate", "plain=3", "sites=%d" % USED, lax=LAX)
    sent, killed, n = 0, 0, 40
    uploaded(e, one, two)
    while True:
        e.open(1)
        command = subprocess.Popen([os.environ["KILLAT"], str(n), "--", USPLICE, "apply", "one", *mode_options("apply"),
                                    "--timeout", "50s", "--pid", str(e.pid)], stdout=subprocess.DEVNULL)
        at_end(command.wait)
        while command.poll() is None:
            os.kill(e.pid, signal.SIGRTMIN)
            sent += 1
            time.sleep(0.0003)
        let_go(e.v)
        until(lambda: e.v.report("counts")["rt"] >= sent, "all %d signals come, killed at call %d" % (sent, n))
        equal(e.v.report("counts")["rt"], sent, "signals, killed at call %d" % n)
        on(e.v, "recover")
        e.settle(version_by_states(e) == 1)
        if command.returncode == 3:  # it came to its end before
            break
        equal(command.returncode, 0, "status of killat")
        killed += 1
        if e.version:
            e.switch(0, "revert", "one")
        n += 4 * STRIDE
    check(killed > 5, "only %d were killed" % killed)
    print("# %d kills, %d signals" % (killed, sent))
    e.fine(mixed_too=not LAX)


@case
def a_mixture_left_behind_is_noticed():
    # The test of the tests: what a bad controller would leave: some of the sites new, some old, and nobody there.
    one, two = payloads()
    e = Epoch("gate", *KINDS)
    addresses = [runtime(e.v, "f%d" % i) for i in (0, 2, 4)]
    old = [memory(e.pid, a, 5) for a in addresses]
    loaded(e, one, two)
    new = [memory(e.pid, a, 5) for a in addresses]
    check(old != new, "nothing was applied")
    e.switch(0, "revert", "one")
    e.went_on()
    e.open(1)
    with open("/proc/%d/mem" % e.pid, "r+b", buffering=0) as f:
        f.seek(addresses[1])
        f.write(new[1])
    until(lambda: e.report()["errors"] > 0, "the mixture is noticed", patience=20)
    contains(e.v.ask("first"), "stale")
    e.v.may_die = True


main()
