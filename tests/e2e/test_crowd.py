# SPDX-License-Identifier: MIT
"""A crowd: 4 001 processes of one program, patched by one command."""

from harness import *


@case
def four_thousand_and_one_processes():
    v, name, children = family(4000)
    p = value_payload("fix", 2, v)
    address = runtime(v, "value")
    r = run("load", p, "--process", name, "--all", patience=240)
    contains(r.out, "4001 done", "0 failed")
    for pid in [v.pid] + children:
        equal(memory(pid, address, 1), b"\xe9", "first byte of value() in %d" % pid)
    equal(v.ask("value"), "2")


main()
