# SPDX-License-Identifier: MIT
"""Busy targets: every core calls the function; threads, allocations, forks, timers without end."""

from harness import *

PAIR = replacing(("int inner(void)", "return 2;"), ("int outer(void)", "return 20 + inner();"),
                 ("int value(void)", "return 2;"), extra="int inner(void);")


def rounds(arguments, n, alive_by="calls"):
    """Loads and takes off n times under that load; the load must go on in between, and nothing may go wrong."""
    p = cc("fix", PAIR, victim_path("busy"))  # before the load comes: building is not what is tested here
    v = Victim("busy", *arguments)
    before = Text(v.pid)
    for _ in range(n):
        # The machine that runs the tests is busy with others: that may take more tries than the default leaves time for.
        on(v, "load", p, "--timeout", "60s")
        equal(v.ask("value"), "2")
        went_on(v, alive_by)
        on(v, "revert", "fix", "--timeout", "60s")
        on(v, "unload", "fix", "--timeout", "60s")
        equal(v.ask("value"), "1")
        went_on(v, alive_by)
    r = v.report()
    equal((r["mixed"], r["failures"]), (0, 0), "mixed and failures in %s" % r)
    before.same_as(Text(v.pid))
    return v, r


def went_on(v, counter):
    start = v.report()[counter]
    until(lambda: v.report()[counter] > start, "%s goes on" % counter)


@case
def every_core_hammers_and_sees_no_mixture():
    cores = min(os.cpu_count(), 128)
    v, r = rounds(["spin=%d" % (2 * cores)], 15)
    check(r["old"] > 0 and r["new"] > 0, "both versions were called: %s" % r)


@case
def new_code_is_seen_by_all_once_it_is_applied():
    v = Victim("busy", "spin=4")
    on(v, "load", cc("fix", PAIR, v))
    old = v.report()["old"]
    # A call that began before the switch may be counted after it, one a thread.
    until(lambda: v.report()["new"] > 100000, "the new code runs")
    check(v.report()["old"] <= old + 4, "old code ran after the apply")
    on(v, "revert", "fix")
    new = v.report()["new"]
    until(lambda: v.report()["old"] > old + 100000, "the old code runs")
    check(v.report()["new"] <= new + 4, "new code ran after the revert")


@case
def replace_is_one_switch():
    v = Victim("busy", "spin=2")
    on(v, "load", cc("fix", PAIR, v))
    second = cc("second", replacing(("int inner(void)", "return 2;"), ("int outer(void)", "return 10 + inner() + 10;"),
                                    extra="int inner(void);"), v)
    on(v, "upload", second)
    old = v.report()["old"]
    for name in ("second", "fix", "second", "fix"):
        on(v, "replace", name)
        went_on(v, "new")
    check(v.report()["old"] <= old + 2, "the original ran in the middle of a replace")
    equal(v.report()["mixed"], 0, "mixed")


@case
def sixty_four_threads_spinning():
    rounds(["spin=64"], 3)


@case
def threads_born_and_dying():
    rounds(["churn=4", "spin=1"], 12, alive_by="events")


@case
def busy_in_malloc():
    rounds(["malloc=4", "spin=1"], 10, alive_by="events")


@case
def the_loaders_lock_is_held():
    rounds(["loader=3", "spin=1"], 10, alive_by="events")


@case
def forks_in_the_middle():
    rounds(["fork=2", "spin=1", "sleep=1"], 10, alive_by="events")


@case
def vforks_in_the_middle():
    rounds(["vfork=2", "spin=1"], 10, alive_by="events")


@case
def a_timer_of_one_millisecond():
    v, r = rounds(["timer=1000", "spin=2", "sleep=2"], 10, alive_by="ticks")


@case
def a_timer_of_a_hundred_microseconds():
    v, r = rounds(["timer=100", "spin=1", "sleep=1", "malloc=1"], 5, alive_by="ticks")


@case
def the_leader_has_ended():
    v, r = rounds(["leader=1", "spin=1", "sleep=2"], 3)
    status = v.statuses("State")
    check(status[v.pid]["State"].startswith("Z"), "the leader lives: %s" % status)


@case
def everything_at_once():
    rounds(["spin=2", "sleep=4", "churn=1", "malloc=1", "fork=1", "vfork=1", "loader=1", "timer=2000"], 6,
           alive_by="events")


@case
def one_function_of_a_busy_target_never_left():
    # spin() itself is always on the spinners' stacks.
    v = Victim("busy", "spin=2")
    before = Text(v.pid)
    r = on(v, "load", cc("fix", replacing(("void *spin(void *unused)", "return unused;")), v), "--timeout", "300ms",
           code=NOT_QUIESCENT)
    contains(r.err, "spin", "busy")
    went_on(v, "calls")
    before.same_as(Text(v.pid))


main()
