# SPDX-License-Identifier: MIT
"""A crowd of processes of one program, patched by one command. 401 of them; USPLICE_TEST_CROWD=4001 for libpulp's number."""

from harness import *


@case
def a_crowd_of_processes():
    n = int(os.environ.get("USPLICE_TEST_CROWD", "401"))
    v, name, children = family(n - 1)
    p = value_payload("fix", 2, v)
    address = runtime(v, "value")
    r = run("load", p, "--process", name, "--all", patience=max(60, n))
    contains(r.out, "%d done" % n, "0 failed")
    for pid in [v.pid] + children:
        equal(memory(pid, address, 1), b"\xe9", "first byte of value() in %d" % pid)
    equal(v.ask("value"), "2")


main()
