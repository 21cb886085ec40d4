#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""--scan all: coroutines on whose stacks no thread stands, and the kinds of memory that are looked through for them."""

import os
import re

from harness import (NOT_QUIESCENT, OK, USAGE, Failure, Skip, Text, Victim, applied, case, cc, check, contains, equal,
                     info, listed, main, maps, memory, need, need_root, on, replacing, runtime, start, tmp, until)

QUICK = ("--timeout", "400ms")
ALL = ("--scan", "all")

# It is suspended inside, as the original is.
SUSPENDED = """
#include <usplice/payload.h>
void yield_now(void);
static int fixed(int n)
{
    yield_now();
    return n + 40;
}
USPLICE_REPLACE(step, fixed);
"""


def fix(victim):
    return cc("fix", replacing(("int step(int n)", "return n + 20;")), victim)


def suspended(kind):
    v = Victim("coroutine")
    check(v.ask("enter " + kind).startswith("suspended"), "not suspended")
    return v, fix(v)


def quick(v, *words):
    """Not done, and soon said. A machine that is too busy to stop the threads at all has not been asked yet."""
    def asked():
        r = on(v, *words, *ALL, *QUICK, code=NOT_QUIESCENT)
        return None if "did not stop in time" in r.err else r
    return until(asked, "the threads can be stopped")


def refused(result, victim, place):
    """The refusal names the word, the mapping and the function, and changed nothing."""
    contains(result.err, "suspended coroutine", place, "nothing was changed")
    at, name, start, end = re.search(r"at (0x\w+) in (.*?) \((0x\w+)-(0x\w+)\)", result.err).groups()
    check(int(start, 16) <= int(at, 16) < int(end, 16), result.err)
    check((int(start, 16), int(end, 16)) in [(m.start, m.end) for m in maps(victim.pid)], "no such mapping: " + name)
    equal(listed(victim), [], "payloads")
    return int(at, 16), name


def suspended_and_finished(kind, where):
    v, p = suspended(kind)
    text = Text(v.pid)
    _, name = refused(quick(v, "load", p), v, "step")
    contains(name, where)
    text.same_as(Text(v.pid))
    equal(v.ask("finish"), "2")
    on(v, "load", p, *ALL)
    equal(v.ask("call 1"), "21")
    on(v, "revert", "fix", *ALL)
    on(v, "unload", "fix", *ALL)
    equal(v.ask("call 1"), "2")
    text.same_as(Text(v.pid))


@case
def a_coroutine_on_the_heap():
    suspended_and_finished("malloc", "[heap]")


@case
def a_coroutine_in_anonymous_memory():
    suspended_and_finished("mmap", "anonymous memory")


@case
def a_coroutine_in_shared_memory():
    suspended_and_finished("shared", "/dev/zero")


@case
def a_coroutine_in_the_programs_data():
    suspended_and_finished("global", "")


@case
def the_default_does_not_see_it():
    # The documented limit: it goes on in the old code.
    v, p = suspended("malloc")
    on(v, "load", p, "--scan", "threads")
    equal(v.ask("finish"), "2")
    equal(v.ask("call 1"), "21")


@case
def with_consistency_none_it_may_go_on():
    v, p = suspended("malloc")
    on(v, "load", p, *ALL, "--consistency", "none")
    equal(v.ask("finish"), "2")
    equal(v.ask("call 1"), "21")


@case
def a_gate_becomes_a_rendezvous():
    v = Victim("coroutine")
    r = on(v, "load", fix(v), *ALL, "--mode", "gate", "-v")
    contains(r.err, "all threads are stopped while the memory is looked through", "with all threads stopped")
    contains(r.out, "stood still")


@case
def revert_and_unload_see_a_coroutine_in_the_payload():
    v = Victim("coroutine")
    text = Text(v.pid)
    on(v, "load", cc("fix", SUSPENDED, v), *ALL)
    v.ask("enter malloc")
    r = quick(v, "revert", "fix")
    contains(r.err, "fixed of payload fix", "[heap]")
    equal(applied(v), ["fix"])
    on(v, "revert", "fix")
    r = quick(v, "unload", "fix")
    contains(r.err, "fixed of payload fix", "[heap]")
    equal(len(listed(v)), 1, "payloads")
    equal(v.ask("finish"), "41")
    on(v, "unload", "fix", *ALL)
    equal(listed(v), [])
    text.same_as(Text(v.pid))


@case
def replace_sees_a_coroutine_in_what_comes_off():
    v = Victim("coroutine")
    on(v, "load", cc("fix", SUSPENDED, v))
    v.ask("enter mmap")
    p = cc("next", replacing(("int step(int n)", "return n + 60;")), v)
    on(v, "upload", p)
    r = quick(v, "replace", "next")
    contains(r.err, "fixed of payload fix")
    equal(applied(v), ["fix"])
    equal(v.ask("finish"), "41")
    on(v, "replace", "next", *ALL)
    equal(applied(v), ["next"])
    equal(v.ask("call 1"), "61")


@case
def it_waits_for_a_coroutine_to_finish():
    v, file = suspended("malloc")
    on(v, "upload", file)
    p = start("apply", "fix", *ALL, "--timeout", "60", "-vv", "--pid", v.pid)
    log = ""
    while "scan:" not in log or "MB read" not in log:  # it has found the word
        more = os.read(p.stderr.fileno(), 65536)
        if not more:
            raise Failure("it ended: " + log)
        log += more.decode()
    equal(v.ask("finish"), "2")
    _, err = p.communicate()
    equal(p.returncode, OK, err)
    equal(v.ask("call 1"), "21")


@case
def a_word_that_was_left_over_is_refused_too():
    v = Victim("coroutine")
    at = int(v.ask("stale").split()[1], 16)
    p = fix(v)
    r = quick(v, "load", p)
    equal(refused(r, v, "step")[0], at)
    contains(r.err, "1 such word,", "left over")
    v.ask("clean")
    on(v, "load", p, *ALL)


@case
def an_abandoned_stack_is_refused_too():
    v, p = suspended("mmap")
    equal(v.ask("abandon"), "2")
    refused(quick(v, "load", p), v, "step")


@case
def a_pointer_to_the_function_is_no_obstacle():
    v = Victim("coroutine")
    v.ask("entry")
    on(v, "load", fix(v), *ALL)
    on(v, "revert", "fix", *ALL)


def left_over(victim, mapping):
    """Whether a word in the mapping is an address inside step()."""
    inside = runtime(victim, "step")
    data = memory(victim.pid, mapping.start, mapping.end - mapping.start)
    return any(inside < int.from_bytes(data[i:i + 8], "little") <= inside + 13 for i in range(0, len(data), 8))


@case
def threads_that_call_it_all_the_time_are_no_obstacle():
    v = Victim("busy", "spin=2", "sleep=4", "malloc=1")
    on(v, "upload", cc("fix", replacing(("int outer(void)", "return 200;")), v))
    for _ in range(3):
        on(v, "apply", "fix", *ALL, "--timeout", "60")
        on(v, "revert", "fix", *ALL, "--timeout", "60")


@case
def what_the_unwinder_keeps_is_no_obstacle():
    v = Victim("exceptions")
    equal(v.ask("throw"), "caught thrown destroyed=2")
    on(v, "load", cc("fix", replacing(("int through(int (*callback)(void))", "int r = callback(); return r + 2;")), v,
                     flags=("-fexceptions",)))
    equal(info(v, "fix")["unwind"], "registered")
    equal(v.ask("through"), "5")
    on(v, "revert", "fix", *ALL)
    on(v, "unload", "fix", *ALL)
    equal(v.ask("throw"), "caught thrown destroyed=2")


@case
def what_a_thread_left_below_its_stack_pointer_is_no_obstacle():
    v = Victim("coroutine")
    equal(v.ask("worker"), "asleep")
    equal(v.ask("call 1"), "2")
    # They are there: the words that the calls have left, on the first thread's stack and on the other one's.
    equal(len([m for m in maps(v.pid) if "w" in m.perms and left_over(v, m)]), 2, "stacks with such words")
    p = fix(v)
    on(v, "load", p, *ALL)
    on(v, "revert", "fix", *ALL)
    v.ask("leave")


@case
def a_coroutine_below_a_threads_stack_in_one_mapping():
    v = Victim("coroutine")
    equal(v.ask("worker arena"), "asleep")
    p = fix(v)
    on(v, "load", p, *ALL)  # what the thread itself has left there is no obstacle
    on(v, "revert", "fix")
    on(v, "unload", "fix")
    check(v.ask("enter arena").startswith("suspended"), "not suspended")
    refused(quick(v, "load", p), v, "step")
    equal(v.ask("finish"), "2")
    on(v, "load", p, *ALL)
    v.ask("leave")


@case
def a_vast_untouched_mapping_costs_nothing():
    v = Victim("coroutine")
    v.ask("huge")
    before = int(v.ask("rss"))
    r = on(v, "load", fix(v), *ALL, "-v")
    grown = int(v.ask("rss")) - before
    check(grown < 2048, "%d KB more are resident" % grown)
    read = max(float(x) for x in re.findall(r"([0-9.]+) MB read", r.err))
    check(read < 100, "%s MB were read" % read)
    # What is in it is found all the same.
    on(v, "revert", "fix", *ALL)
    on(v, "unload", "fix", *ALL)
    mapped = int(v.ask("far").split()[1], 16)
    r = quick(v, "load", fix(v))
    equal(refused(r, v, "step")[0], mapped)


@case
def memory_that_may_only_be_written():
    v = Victim("coroutine")
    at = int(v.ask("writeonly").split()[1], 16)
    p = fix(v)
    r = quick(v, "load", p)
    equal(refused(r, v, "step")[0], at)


@case
def a_word_in_shared_memory():
    v = Victim("coroutine")
    at = int(v.ask("shared").split()[1], 16)
    p = fix(v)
    equal(refused(quick(v, "load", p), v, "step")[0], at)
    v.ask("clean")
    on(v, "load", p, *ALL)


@case
def a_file_mapped_beyond_its_end():
    need_root()  # for /proc/PID/map_files
    v = Victim("coroutine")
    equal(v.ask("beyond " + tmp("file")), "mapped")
    on(v, "load", fix(v), *ALL)
    # Not beyond its end any more: a word there counts.
    with open(tmp("file"), "r+b") as f:
        f.truncate(64 * 4096)
        f.seek(63 * 4096)
        f.write((runtime(v, "step") + 9).to_bytes(8, "little"))
    on(v, "revert", "fix")
    r = quick(v, "apply", "fix")
    contains(r.err, tmp("file"), "step")


@case
def a_file_of_which_it_cannot_be_told_where_it_ends():
    need_root()
    v = Victim("coroutine")
    v.ask("beyond " + tmp("file"))
    p = fix(v)
    r = on(v, "load", p, *ALL, code=NOT_QUIESCENT,
           prefix=(need("setpriv"), "--bounding-set", "-sys_admin,-checkpoint_restore"))
    contains(r.err, "could not be looked at", tmp("file"), "nothing was changed")
    equal(listed(v), [])


@case
def memory_that_nobody_else_can_read():
    v = Victim("coroutine")
    if v.ask("secret") == "none":
        raise Skip("no memfd_secret here")
    p = fix(v)
    r = on(v, "load", p, *ALL, code=NOT_QUIESCENT)
    contains(r.err, "could not be looked at", "secretmem", "nothing was changed")
    equal(listed(v), [])
    on(v, "load", p)


@case
def longer_than_the_whole_may_take():
    v = Victim("coroutine")
    v.ask("touch 256")
    r = on(v, "load", fix(v), *ALL, "--timeout", "1ms", "-v", code=NOT_QUIESCENT)
    contains(r.err, "took too long", "--timeout")
    check("all threads stopped" not in r.err, "somebody was stopped\n%s" % r.err)
    equal(listed(v), [])


@case
def pages_that_another_one_serves():
    v = Victim("coroutine")
    if v.ask("fault") == "none":
        raise Skip("no userfaultfd here")
    p = fix(v)
    r = on(v, "load", p, *ALL, code=NOT_QUIESCENT)
    contains(r.err, "could not be looked at", "userfaultfd", "anonymous memory", "nothing was changed")
    equal(listed(v), [])
    on(v, "load", p)


@case
def longer_than_it_may_hold_the_threads():
    v = Victim("coroutine")
    v.ask("touch 256")
    p = fix(v)
    r = on(v, "load", p, *ALL, "--scan-limit", "1", "-v", code=NOT_QUIESCENT)
    contains(r.err, "nobody was stopped", "--scan-limit")
    check("all threads stopped" not in r.err, "somebody was stopped\n%s" % r.err)
    equal(listed(v), [])
    on(v, "load", p, *ALL, "--scan-limit", "60000")


@case
def options_that_make_no_sense():
    v = Victim("coroutine")
    p = fix(v)
    for words in (("--scan", "some"), ("--scan",), ("--scan-limit", "60001"), ("--scan-limit", "x")):
        on(v, "load", p, *words, code=USAGE)
    on(v, "upload", p, "--scan", "all", code=USAGE)


main()
