# SPDX-License-Identifier: MIT
"""Torture: 128 functions (and six more) toggled between two payloads as fast as it goes, while 64 threads call them and
check every result by the epoch protocol (tests/victims/epoch.h), threads are created and end, a timer's handler calls
them, too, and children are forked and executed.

USPLICE_TORTURE_SECONDS says how long: 20 if unset; 600 is the long version, in which at least 10^6 sites must have
been toggled and 10^9 calls made. USPLICE_TORTURE_THREADS: 64 if unset. Both numbers are printed. 0 errors pass.
USPLICE_TEST_MODE: see epoch.py. A rendezvous must meet 64 threads of which none is inside, so for it they do something
else for most of the time; the numbers of the long version are the gate's.
"""

from epoch import *

SECONDS = float(os.environ.get("USPLICE_TORTURE_SECONDS", "20"))
THREADS = int(os.environ.get("USPLICE_TORTURE_THREADS", "64"))
LONG = 600
# Nobody waits for long while others have their turns: a switch must ask each of the callers twice.
PACE = ("work=30", "rest=64") if IS_GATE else ("work=2000",)
SITES_WANTED, CALLS_WANTED = 10 ** 6, 10 ** 9


def toggle(e, seconds):
    """Replaces to and fro; how many times."""
    deadline, turns = time.monotonic() + seconds, 0
    while time.monotonic() < deadline or turns < 4:
        to = 2 - turns % 2
        e.switch(to, "replace", ("one", "two")[to - 1])
        turns += 1
        if turns % 16 == 0:
            e.fine()
    return turns


@case
def torture():
    one, two = version_payload("one", 1, "epoch"), version_payload("two", 2, "epoch")
    # The callers are never done: the machine is the tool's first.
    e = Epoch("epoch", "spin=%d" % THREADS, *PACE, "churn=1", "fork=1", "vfork=1", "timer=1000", "pause=20000", nice=19)
    before = Outside(e.v, steady=False)
    on(e.v, "upload", one)
    on(e.v, "upload", two)
    e.switch(1, "apply", "one")
    births = e.progress()[1]
    turns = toggle(e, SECONDS)
    e.went_on(100)
    r = e.fine()
    calls, sites = r["calls"], turns * (SITES + len(DWELLS) + len(EXTRAS))
    print("# %d switches, %d sites toggled, %d calls, %d crossed, %d births, in %.0f s, %s: %d errors" %
          (turns, sites, calls, r["crossed"], r["events"], SECONDS, MODE or "no --mode", r["errors"] + r["mixed"]))
    check(r["events"] > births, "threads and children went on to be born: %s" % r)
    check(r["crossed"] * 100 < r["calls"], "too many calls could not be judged: %s" % r)
    if SECONDS >= LONG and IS_GATE:
        check(sites >= SITES_WANTED and calls >= CALLS_WANTED, "too little: %d sites, %d calls" % (sites, calls))
    e.switch(0, "revert", applied(e.v)[-1])
    e.went_on()
    for name in ("one", "two"):
        on(e.v, "unload", name, *mode_options("unload"))
    before.same()


# --- the tests of the test: mixtures made by hand --------------------------------------------------------------------

USED = 10  # of f: those that one write changes whole


def by_hand(*kinds, extras=False):
    """A victim with version 1 applied; {name: (address of the site, its bytes under one, and under two)}."""
    one, two = (version_payload(n, i, "epoch", sites=USED, extras=extras) for i, n in ((1, "one"), (2, "two")))
    e = Epoch("epoch", "sites=%d" % USED, "extras=%d" % extras, *kinds)
    on(e.v, "upload", one)
    on(e.v, "upload", two)
    names = ["f%d" % i for i in range(USED)] + list(DWELLS) * extras
    places = {}
    for name in names:
        address = runtime(e.v, name)
        places[name] = address + (4 if memory(e.pid, address, 4) == b"\xf3\x0f\x1e\xfa" else 0)
        # A write within a cache line is seen as a whole.
        check(places[name] % 64 <= 59, "%s lies across a cache line" % name)

    def texts():
        return {n: memory(e.pid, a, 5) for n, a in places.items()}

    e.switch(1, "apply", "one")
    under_one = texts()
    e.switch(2, "replace", "two")
    under_two = texts()
    e.switch(1, "replace", "one")
    for name in names:
        check(under_one[name] != under_two[name] and under_one[name][:1] == b"\xe9", "%s is no jump" % name)
    e.went_on()
    e.v.may_die = True  # it is left in a state of our own making
    return e, {n: (places[n], under_one[n], under_two[n]) for n in names}


def write_all(e, texts, version):
    with open("/proc/%d/mem" % e.pid, "r+b", buffering=0) as f:
        for address, *both in texts.values():
            f.seek(address)
            f.write(both[version - 1])


@case
def one_site_after_the_other_is_noticed():
    # What --consistency none does: each function flips by itself. Old code runs after new code was seen.
    e, texts = by_hand("spin=4")
    flips = [0]

    def flip():
        flips[0] += 1
        e.open(3 - e.version)
        write_all(e, texts, e.to)
        e.settle(True)
        return e.report()["errors"] > 0

    until(flip, "a mixture is noticed")
    first = e.v.ask("first")
    print("# after %d flips: %s; %s" % (flips[0], e.report(), first))
    contains(first, "stale")


@case
def one_function_left_behind_is_noticed():
    # A switch that forgot one site, with its command's success told. Lax while it is written by hand, for that is a
    # mixture itself.
    e, texts = by_hand("spin=4")
    e.page[2] = 1
    e.open(2)
    write_all(e, {n: t for n, t in texts.items() if n != "f7"}, 2)
    e.went_on(10)
    e.settle(True)
    e.page[2] = 0
    until(lambda: e.report()["errors"] > 0, "the function left behind is noticed")
    contains(e.v.ask("first"), "function 7 gave 1007")


@case
def a_jump_to_a_neighbour_is_noticed():
    # The right version of another function.
    e, texts = by_hand("spin=4")
    (a, _, _), (b, jump, _) = texts["f3"], texts["f4"]
    offset = int.from_bytes(jump[1:], "little", signed=True) + b - a
    poke(e.pid, a, b"\xe9" + offset.to_bytes(4, "little", signed=True))
    until(lambda: e.report()["errors"] > 0, "the wrong function is noticed")
    contains(e.v.ask("first"), "foreign: function 3 gave 1004")


@case
def somebody_inside_is_noticed():
    # dwell() counts who is inside of which version: here one dwell is switched and another is not. The page allows both
    # versions all the time (lax); only the count from inside speaks.
    e, texts = by_hand("spin=4", extras=True)
    e.page[2] = 1
    e.open(2)
    write_all(e, {n: texts[n] for n in ("dwell0", "dwell2")}, 2)
    until(lambda: e.report()["mixed"] > 0, "two versions at one time are noticed")
    equal(e.report()["errors"], 0, "errors by the page's protocol")


@case
def a_child_that_is_a_mixture_is_noticed():
    # A fork in the middle of what is flipped one by one; nobody else calls.
    e, texts = by_hand("fork=1", "pause=1000")
    write_all(e, {n: t for n, t in texts.items() if n != "f7"}, 2)
    until(lambda: e.report()["failures"] > 0, "the child is noticed")
    contains(e.v.ask("first"), "fork's child")


main()
