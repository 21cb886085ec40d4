# SPDX-License-Identifier: MIT
"""What test_gate.py, test_gate_killed.py and test_torture.py share: the test's side of the epoch protocol
(tests/victims/epoch.h), payloads for the functions of tests/victims/sites.h, and the action with its mode.

USPLICE_TEST_MODE is what is given to --mode: gate if unset. If it is empty, no --mode is given.
"""

import mmap

from harness import *

MODE = os.environ.get("USPLICE_TEST_MODE", "gate")
IS_GATE = MODE == "gate"
SITES, DWELLS, EXTRAS = 128, ("dwell0", "dwell1", "dwell2", "dwell3"), ("climb", "leap")
ACTIONS = ("load", "apply", "revert", "replace", "unload")


def mode_options(action):
    return ["--mode", MODE] if MODE and action in ACTIONS else []


def without_consistency():
    """The option that lets each function flip by itself."""
    if not MODE:
        raise Skip("USPLICE_TEST_MODE is empty: this usplice is taken to have no --consistency")
    return ["--consistency", "none"]


# --- payloads --------------------------------------------------------------------------------------------------

# The same lines as sites.h has for version 0. always_inline: the counting is inside of the function's range.
BODIES = """
extern int epoch_inside[3];
extern long epoch_mixed;
int climb(int);
void leap(void *);
void longjmp(void *, int) __attribute__((noreturn));
static inline __attribute__((always_inline)) int dwell(int result)
{
    __atomic_add_fetch(&epoch_inside[V], 1, __ATOMIC_SEQ_CST);
    for (int k = 0; k < 8; k++)
        if (__atomic_load_n(&epoch_inside[(V + 1) % 3], __ATOMIC_SEQ_CST) ||
            __atomic_load_n(&epoch_inside[(V + 2) % 3], __ATOMIC_SEQ_CST))
            __atomic_add_fetch(&epoch_mixed, 1, __ATOMIC_SEQ_CST);
    __atomic_sub_fetch(&epoch_inside[V], 1, __ATOMIC_SEQ_CST);
    return result;
}
"""


def version_source(version, sites=SITES, extras=True, more=()):
    """C text of a payload in which the first of f, and dwell, climb, leap, are of that version."""
    base = version * 1000
    pairs = [("int f%d(void)" % i, "return %d;" % (base + i)) for i in range(sites)]
    if extras:
        pairs += [("int %s(void)" % name, "return dwell(%d);" % (base + 128 + i)) for i, name in enumerate(DWELLS)]
        pairs += [("int climb(int depth)", "if (depth <= 0) return %d; int r = climb(depth - 1); "
                   "__asm__ volatile(\"\"); return r == %d ? r : -1;" % (base + 132, base + 132)),
                  ("void leap(void *back)", "longjmp(back, %d);" % (base + 133))]
    return "#define V %d\n" % version + replacing(*pairs, *more, extra=BODIES)


def version_payload(name, version, victim, tag="", **how):
    """tag: two payloads of one text are one build, unless their tags differ."""
    text = version_source(version, **how)
    text += '__attribute__((used)) static const char tag[] = "%s";\n' % (tag or name)
    return cc(name, text, victim_path(victim))


# --- the protocol ------------------------------------------------------------------------------------------------

class Epoch:
    """A victim of gate.c or epoch.c with its page. Actions are taken by switch()."""

    def __init__(self, victim, *kinds, lax=False, nice=0, uid=None):
        path = tmp("epoch-%d.page" % len(os.listdir(tmp())))
        with open(path, "wb") as f:
            f.truncate(4096)
        os.chmod(path, 0o666)
        with open(path, "r+b") as f:
            self.page = memoryview(mmap.mmap(f.fileno(), 4096)).cast("Q")
        self.n, self.version = 1, 0
        self.page[0] = self.n << 8
        self.page[2] = lax

        def preexec():
            os.nice(nice)
            if uid is not None:
                os.setuid(uid)

        self.v = Victim(victim, path, *kinds, preexec=preexec)
        self.pid = self.v.pid
        self.callers = self.v.report()["callers"]

    def open(self, to):
        """From here on a switch to that version may happen at any time."""
        self.n += 1
        self.page[0] = self.n << 8 | self.version << 4 | to
        self.to = to

    def settle(self, happened):
        """From here on there is one version; if nothing happened, nobody may have seen the new one."""
        if happened:
            self.version = self.to
        else:
            check(self.version == self.to or self.page[1] < self.n, "new code was seen of an action that was undone")
            self.n += 1
        self.page[0] = self.n << 8 | self.version << 4 | self.version

    def switch(self, to, action, what, *options, code=OK, timeout="50s"):
        """usplice ACTION WHAT, which makes version `to` of what is called, if the exit code is 0."""
        self.open(to)
        r = on(self.pid, action, what, *mode_options(action), "--timeout", timeout, *options, code=code)
        self.settle(r.code == OK)
        return r

    def report(self):
        return self.v.report()

    def fine(self, mixed_too=True):
        """No error so far."""
        r = self.report()
        if r["errors"] or r["failures"] or (mixed_too and r["mixed"]):
            raise Failure("%s; the first: %s" % (r, self.v.ask("first")))
        return r

    def went_on(self, calls=200, mixed_too=True):
        """Every caller makes that many calls more, and none of them is wrong."""
        if self.callers:
            self.v.ask("mark")
            until(lambda: self.v.report()["least"] >= calls, "each of the callers makes %d calls more" % calls)
        return self.fine(mixed_too)

    def progress(self):
        r = self.report()
        return r["calls"], r["events"]


# --- what must be as before ------------------------------------------------------------------------------------

# Names of threads that have a mask of their own only for moments (fork, vfork, pthread_create block signals).
RESTLESS = ("churn", "fork", "vfork")


class Outside:
    """Of a process, all that an action must leave as it was, seen from outside."""

    def __init__(self, v, steady=True):
        """steady: no threads are born or die by themselves."""
        self.v, self.steady = v, steady
        self.text = Text(v.pid)
        self.sum = self.textsum()
        self.signals, self.threads, self.files = self.signals_now(), v.threads(), self.files_now()

    def textsum(self):
        return subprocess.run([os.path.join(TOP, "scripts", "textsum"), str(self.v.pid)], stdout=subprocess.PIPE,
                              text=True, check=True).stdout

    def signals_now(self):
        """Masks and handlers; of the threads that stay."""
        rows = self.v.statuses("SigBlk", "SigIgn", "SigCgt", "Name")
        return {tid: row for tid, row in rows.items() if row["Name"] not in RESTLESS}

    def files_now(self):
        there = "/proc/%d/fd" % self.v.pid
        return {fd: os.readlink(os.path.join(there, fd)) for fd in os.listdir(there)}

    def same_signals(self):
        """Each thread is seen with the masks that it had. While it runs a handler of its own, it has others."""
        missing = dict(self.signals)
        now = {}

        def seen():
            now.update(self.signals_now())
            for tid in [t for t in missing if now.get(t) == missing[t]]:
                del missing[tid]
            return not missing

        try:
            until(seen, "masks and handlers as before", patience=10)
        except Failure:
            lines = ["thread %d: %s instead of %s" % (t, now.get(t), missing[t]) for t in missing]
            raise Failure("masks and handlers:\n" + "\n".join(lines))

    def same_life(self, after_recover=False):
        """Signals, threads, descriptors: also while a payload is there.

        after_recover: a descriptor of the registry's memfd may be left; the next upload closes it (process/registry.c).
        """
        self.same_signals()
        files = self.files_now()
        if after_recover:
            files = {fd: to for fd, to in files.items() if fd in self.files or not to.startswith("/memfd:usplice")}
        equal(files, self.files, "descriptors")
        if self.steady:
            # A helper that has ended may still be on its way out.
            until(lambda: self.v.threads() == self.threads, "the threads are those of before", patience=10)

    def same(self, after_recover=False):
        """All of it, when no payload is left."""
        self.same_life(after_recover)
        self.text.same_as(Text(self.v.pid))
        if not after_recover:
            equal(self.textsum(), self.sum, "textsum")
