# SPDX-License-Identifier: MIT
"""No memory is lost, however often."""

from harness import *

HUNDRED = replacing(*[("int f%02d(void)" % i, "return %d;" % (1100 + i)) for i in range(100)])


def footprint(v):
    size = sum(m.end - m.start for m in maps(v.pid) if m.name != "[stack]")
    with open("/proc/%d/status" % v.pid) as f:
        data = int(re.search(r"VmData:\s*(\d+)", f.read()).group(1))
    return size, data, len(maps(v.pid))


@case
def three_hundred_times_apply_and_revert_of_a_hundred_functions():
    v = Victim("many")
    before = Text(v.pid)
    equal(v.ask("sum"), "14950")
    on(v, "upload", cc("fix", HUNDRED, v))
    for i in range(300):
        on(v, "apply", "fix")
        if i == 0:
            equal(v.ask("sum"), "114950")
            first = footprint(v)
        elif i == 299:
            equal(v.ask("sum"), "114950")
            equal(footprint(v), first, "mapped bytes, VmData, mappings after 300 times")
        on(v, "revert", "fix")
    equal(v.ask("sum"), "14950")
    on(v, "unload", "fix")
    before.same_as(Text(v.pid))


@case
def sixty_times_load_and_unload():
    v = Victim("many")
    p = cc("fix", HUNDRED, v)
    for i in range(60):
        on(v, "load", p)
        on(v, "revert", "fix")
        on(v, "unload", "fix")
        if i == 0:
            first = footprint(v)
    equal(footprint(v), first, "mapped bytes, VmData, mappings after 60 times")


@case
def sixty_failed_loads():
    v = Victim("many")
    p = cc("fix", HUNDRED + "static int no(void) { return 1; }\nUSPLICE_PRE_APPLY_HOOK(no);\n", v)
    on(v, "load", p, code=VETO)
    first = footprint(v)
    for _ in range(60):
        on(v, "load", p, code=VETO)
    equal(footprint(v), first, "mapped bytes, VmData, mappings after 60 vetoed loads")


main()
