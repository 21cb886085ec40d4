# SPDX-License-Identifier: MIT
"""Controllers that are killed as they enter their Nth system call."""

from harness import *


def killat(n, *words, well=True):
    """None, or, if the command came to its end before its Nth system call, how many there were. well: a good end."""
    p = subprocess.run([os.environ["KILLAT"], str(n), "--", USPLICE] + [str(w) for w in words], stdout=subprocess.PIPE,
                       stderr=subprocess.PIPE, text=True, timeout=PATIENCE)
    check(p.returncode in (0, 3), "killat: exit %d\n%s%s" % (p.returncode, p.stdout, p.stderr))
    if p.returncode == 0:
        return None
    calls = re.search(r"killat: (\d+) system calls, exit status (\d+)", p.stdout)
    check(calls and not (well and int(calls.group(2))), "the command that was not killed failed\n%s%s" % (p.stdout, p.stderr))
    return int(calls.group(1))


def let_go(v):
    """The kernel detaches a dead tracer's threads; that takes a moment."""
    def free():
        rows = v.statuses("TracerPid", "State").values()
        return all(row["TracerPid"] == "0" and row["State"][0] not in "tT" for row in rows)

    until(free, "nobody traces the target and all of it runs")
