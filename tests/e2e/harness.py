# SPDX-License-Identifier: MIT
"""What the end-to-end tests share: victims, the command, comparison of text, TAP.

A test file is a list of functions marked @case and ends with harness.main(). Each case gets a fresh temporary
directory; what it starts is ended by pid when it is over, and a victim that is not meant to die must still live, be
traced by nobody, and end by itself with status 0 when its input ends. Nothing waits for a time: victims answer.
"""

import contextlib
import ctypes
import hashlib
import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback

USPLICE = os.environ.get("USPLICE", "usplice")
VICTIMS = os.environ.get("VICTIMS", ".")
HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
PATIENCE = float(os.environ.get("USPLICE_TEST_PATIENCE", "60"))  # seconds: longer is a hang

# The exit codes of the command: enum usp_code in <usplice/error.h>.
OK, FAILED, USAGE, NOT_FOUND, EXISTS, WRONG_STATE, ORDER, MISMATCH, NOT_QUIESCENT, VETO = range(10)
PERMISSION, BUSY, BAD_PAYLOAD, GONE, UNSUPPORTED, AMBIGUOUS, NO_CHANGE = range(10, 17)
CODE_NAMES = ("OK FAILED USAGE NOT_FOUND EXISTS WRONG_STATE ORDER MISMATCH NOT_QUIESCENT VETO PERMISSION BUSY "
              "BAD_PAYLOAD GONE UNSUPPORTED AMBIGUOUS NO_CHANGE").split()


class Skip(Exception):
    """Raised with the reason why a case cannot run on this machine."""


class Failure(Exception):
    """What was seen is not what should be."""


def check(condition, message):
    if not condition:
        raise Failure(message)


def equal(got, wanted, what=""):
    if got != wanted:
        raise Failure("%s: got %r, wanted %r" % (what or "value", got, wanted))


def contains(text, *words):
    for word in words:
        if word not in text:
            raise Failure("%r is not in:\n%s" % (word, text))


# --- cases -----------------------------------------------------------------------------------------------------

_cases = []
_cleanups = []
_tmp = None


def case(function):
    _cases.append(function)
    return function


def at_end(function):
    """function() is called when the case is over, last one first."""
    _cleanups.append(function)


def tmp(*names):
    """A path in the case's own temporary directory."""
    return os.path.join(_tmp, *names)


def _run(function):
    global _tmp
    _tmp = tempfile.mkdtemp(prefix="usplice-test.")
    os.chmod(_tmp, 0o755)
    problems = []
    skip = None
    try:
        function()
    except Skip as reason:
        skip = str(reason)
    except Failure as failure:
        problems.append(str(failure))
        frames = [f for f in traceback.extract_tb(failure.__traceback__) if not f.filename.endswith("harness.py")]
        problems.append("at " + ", ".join("%s:%d" % (os.path.basename(f.filename), f.lineno) for f in frames))
    except Exception:  # a test file's own fault fails the case, too
        problems.append(traceback.format_exc())
    while _cleanups:
        try:
            _cleanups.pop()()
        except Exception as error:
            problems.append("at the end: %s" % error)
    shutil.rmtree(_tmp, ignore_errors=True)
    return skip, problems


@contextlib.contextmanager
def standing_alone():
    """For a program that is no test (bench/run): a temporary directory, and all that was started is ended."""
    global _tmp
    with tempfile.TemporaryDirectory(prefix="usplice-bench.") as _tmp:
        try:
            yield
        finally:
            while _cleanups:
                _cleanups.pop()()


def main():
    wanted = sys.argv[1:]
    chosen = [c for c in _cases if c.__name__ in wanted] or [
        c for c in _cases if not wanted or any(w in c.__name__ for w in wanted)]
    print("1..%d" % len(chosen), flush=True)
    failed = 0
    for number, function in enumerate(chosen, 1):
        started = time.monotonic()
        skip, problems = _run(function)
        name = function.__name__.replace("_", " ")
        if problems:
            failed += 1
            print("not ok %d - %s" % (number, name))
            for problem in problems:
                for line in problem.splitlines():
                    print("# " + line)
        elif skip:
            print("ok %d - %s # SKIP %s" % (number, name, skip))
        else:
            print("ok %d - %s" % (number, name))
        if os.environ.get("USPLICE_TEST_TIMES"):
            print("# %.2f s" % (time.monotonic() - started))
        sys.stdout.flush()
    sys.exit(1 if failed else 0)


def need_root():
    if os.getuid() != 0:
        raise Skip("needs root")


def need(program):
    found = shutil.which(program) or shutil.which(program, path="/usr/sbin:/sbin")
    if not found:
        raise Skip("%s is not installed" % program)
    return found


# --- victims ---------------------------------------------------------------------------------------------------

def victim_path(name):
    path = os.path.join(VICTIMS, name)
    if not os.path.exists(path):
        raise Skip("the victim %s was not built (compiler or C library missing)" % name)
    return path


class Victim:
    """A program that answers lines. pid is the process that is patched (another than the child's under unshare)."""

    def __init__(self, *argv, env=None, preexec=None, ready="ready", cwd=None, child_of=None):
        argv = list(argv)
        if "/" not in argv[0]:
            argv[0] = victim_path(argv[0])
        self.argv = argv
        self.exe = argv[0]
        environment = dict(os.environ, **(env or {}))
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment,
                                        preexec_fn=preexec, cwd=cwd)
        self.pid = self.process.pid
        self.buffer = b""
        self.may_die = False
        at_end(self.close)
        if ready:
            self.greeting = self.line()
            check(self.greeting.startswith(ready), "%s said %r instead of ready" % (argv, self.greeting))
        if child_of:
            self.pid = child_of(self.process.pid)

    def line(self, patience=None):
        deadline = time.monotonic() + (patience or PATIENCE)
        fd = self.process.stdout.fileno()
        while b"\n" not in self.buffer:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([fd], [], [], left)[0]:
                raise Failure("%s does not answer; it is %s" % (os.path.basename(self.exe), self.state()))
            more = os.read(fd, 65536)
            if not more:
                self.process.wait(PATIENCE)
                raise Failure("%s ended with status %s" % (os.path.basename(self.exe), self.process.returncode))
            self.buffer += more
        line, self.buffer = self.buffer.split(b"\n", 1)
        return line.decode()

    def tell(self, command):
        try:
            self.process.stdin.write(command.encode() + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            self.process.wait(PATIENCE)
            raise Failure("%s ended with status %s" % (os.path.basename(self.exe), self.process.returncode))

    def ask(self, command, patience=None):
        self.tell(command)
        return self.line(patience)

    def report(self, command="report"):
        """key=number … as a dictionary."""
        return {k: int(v, 0) for k, v in (w.split("=") for w in self.ask(command).split())}

    def state(self):
        try:
            with open("/proc/%d/status" % self.pid) as f:
                return re.search(r"State:\s*(.*)", f.read()).group(1)
        except OSError:
            return "gone"

    def threads(self):
        return sorted(int(t) for t in os.listdir("/proc/%d/task" % self.pid))

    def statuses(self, *fields):
        """{tid: {field: value}} of /proc/PID/task/TID/status."""
        all_of = {}
        for tid in self.threads():
            try:
                with open("/proc/%d/task/%d/status" % (self.pid, tid)) as f:
                    text = f.read()
            except OSError:
                continue  # ended meanwhile
            all_of[tid] = {k: re.search(r"^%s:\s*(.*)$" % k, text, re.M).group(1) for k in fields}
        return all_of

    def undisturbed(self):
        """Nobody traces it and no thread is stopped."""
        for tid, s in self.statuses("TracerPid", "State").items():
            equal(s["TracerPid"], "0", "tracer of thread %d" % tid)
            check(s["State"][0] not in "tT", "thread %d is left %s" % (tid, s["State"]))

    def close(self):
        if self.process.stdin.closed:
            return  # done already
        if self.process.poll() is None and not self.may_die:
            try:
                self.undisturbed()
                self.process.stdin.close()
                try:
                    status = self.process.wait(PATIENCE)
                except subprocess.TimeoutExpired:
                    raise Failure("%s does not end; it is %s" % (os.path.basename(self.exe), self.state()))
                equal(status, 0, "status of %s at its end" % os.path.basename(self.exe))
            finally:
                self.kill()
        else:
            died = self.process.poll()
            self.kill()
            check(self.may_die or died == 0, "%s died with status %s" % (os.path.basename(self.exe), died))

    def kill(self):
        for pid in {self.pid, self.process.pid}:
            if self.process.poll() is None:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
        try:
            self.process.wait(PATIENCE)
        finally:
            for stream in (self.process.stdin, self.process.stdout):
                try:
                    stream.close()
                except BrokenPipeError:
                    pass


# --- memory ----------------------------------------------------------------------------------------------------

class Mapping:
    def __init__(self, line):
        fields = line.rstrip("\n").split(None, 5)
        self.start, self.end = (int(x, 16) for x in fields[0].split("-"))
        self.perms, self.name = fields[1], fields[5] if len(fields) > 5 else ""


def maps(pid):
    with open("/proc/%d/maps" % pid) as f:
        return [Mapping(line) for line in f]


def memory(pid, start, size):
    with open("/proc/%d/mem" % pid, "rb", buffering=0) as f:
        f.seek(start)
        data = b""
        while len(data) < size:
            more = f.read(size - len(data))
            if not more:
                raise Failure("cannot read %#x of process %d" % (start, pid))
            data += more
        return data


def poke(pid, address, data):
    with open("/proc/%d/mem" % pid, "r+b", buffering=0) as f:
        f.seek(address)
        equal(f.write(data), len(data), "bytes written")


def is_ours(mapping):
    return "usplice" in mapping.name


class Text:
    """All executable mappings of a process, by address.

    usplice's own are left out: those with its name, and the images of the payloads that it lists.
    """

    def __init__(self, pid, like=None):
        """like: another one of the same process, with the same payloads in it."""
        self.v = {}
        self.images = like.images if like else [(int(p["base"], 0), int(p["base"], 0) + p["size"]) for p in listed(pid)]
        for m in maps(pid):
            image = not m.name and any(start <= m.start < end for start, end in self.images)
            if "x" in m.perms and m.name != "[vsyscall]" and not is_ours(m) and not image:
                data = memory(pid, m.start, m.end - m.start)
                self.v[m.start] = (m.end, m.perms, m.name, hashlib.sha256(data).hexdigest(), data)

    def __eq__(self, other):
        return self.v == other.v

    def same_as(self, other, may_load=False):
        """may_load: the program may have loaded libraries of its own meanwhile."""
        for start, (end, perms, name, digest, data) in self.v.items():
            if start not in other.v:
                raise Failure("%s at %#x is gone or split" % (name, start))
            o = other.v[start]
            equal(o[:3], (end, perms, name), "mapping at %#x" % start)
            if o[3] != digest:
                at = next(i for i in range(len(data)) if data[i] != o[4][i])
                raise Failure("%s differs at %#x: %s instead of %s" %
                              (name, start + at, o[4][at:at + 8].hex(), data[at:at + 8].hex()))
        more = [start for start in other.v if start not in self.v]
        if may_load:
            more = [start for start in more if not other.v[start][2].startswith("/")]
        equal(more, [], "new executable mappings")


def permissions(pid):
    """(start, end, perms, name) of every file mapping but usplice's own."""
    return [(m.start, m.end, m.perms, m.name) for m in maps(pid) if m.name.startswith("/") and not is_ours(m)]


def symbol(path, name):
    """(link-time address, size) of a function by nm."""
    out = subprocess.run(["nm", "-S", path], stdout=subprocess.PIPE, check=True, text=True).stdout
    for line in out.splitlines():
        fields = line.split()
        if len(fields) == 4 and fields[3] == name:
            return int(fields[0], 16), int(fields[1], 16)
    raise Failure("%s has no %s" % (path, name))


def runtime(victim, name):
    """The runtime address of a function of a victim's executable."""
    address, _ = symbol(victim.exe, name)
    real = os.path.realpath(victim.exe)
    first = next(m for m in maps(victim.pid) if m.name == real)
    with open(victim.exe, "rb") as f:
        dynamic = f.read(18)[16] == 3
    return address + (first.start if dynamic else 0)


# --- the command -----------------------------------------------------------------------------------------------

class Result:
    def __init__(self, argv, code, out, err, seconds):
        self.argv, self.code, self.out, self.err, self.seconds = argv, code, out, err, seconds

    def __str__(self):
        name = CODE_NAMES[self.code] if 0 <= self.code < len(CODE_NAMES) else "signal or unknown"
        return "$ %s\nexit %d (%s)\n%s%s" % (" ".join(self.argv), self.code, name, self.out, self.err)


def start(*args, preexec=None, env=None, prefix=()):
    """The command in the background: a Popen with pipes."""
    argv = list(prefix) + [USPLICE] + [str(a) for a in args]
    p = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True,
                         preexec_fn=preexec, env=dict(os.environ, **(env or {})))

    def end():
        if p.poll() is None:
            p.kill()
        p.communicate()

    at_end(end)
    return p


def run(*args, code=OK, patience=None, **how):
    """Runs usplice; code is the exit code (or a tuple of them) that it must have, None for any but a signal."""
    started = time.monotonic()
    p = start(*args, **how)
    try:
        out, err = p.communicate(timeout=patience or PATIENCE)
    except subprocess.TimeoutExpired:
        p.kill()
        out, err = p.communicate()
        raise Failure("usplice %s hangs\n%s%s" % (" ".join(map(str, args)), out, err))
    result = Result(p.args, p.returncode, out, err, time.monotonic() - started)
    wanted = tuple(range(len(CODE_NAMES))) if code is None else code if isinstance(code, tuple) else (code,)
    if result.code not in wanted:
        raise Failure("wanted %s\n%s" % (" or ".join(CODE_NAMES[c] for c in wanted), result))
    # A failure says something, and a success nothing bad.
    check(result.code == OK or result.err.strip() or "--quiet" in args, "a failure without a message\n%s" % result)
    return result


def on(victim, action, *args, **how):
    """usplice ACTION … --pid of the victim."""
    pid = victim if isinstance(victim, int) else victim.pid
    return run(action, *args, "--pid", pid, **how)


def listed(victim):
    """The payloads of usplice list --json."""
    pid = victim if isinstance(victim, int) else victim.pid
    answer = json.loads(run("list", "--json", "--pid", pid).out)
    for process in answer["processes"]:
        if process["pid"] == pid:
            return process["payloads"]
    return []


def states(victim):
    """[(name, "applied" or "checked", position)] in the order of upload."""
    return [(p["name"], p["state"], p["position"]) for p in listed(victim)]


def applied(victim):
    """Names from the bottom of the stack to its top."""
    rows = [p for p in listed(victim) if p["state"] == "applied"]
    return [p["name"] for p in sorted(rows, key=lambda p: p["position"])]


def info(victim, name):
    answer = json.loads(run("info", name, "--json", "--pid", victim.pid).out)
    return answer["processes"][0]["payloads"][0]


def checked(victim, file, code=OK):
    """(the row of usplice check --json, the Result)"""
    r = run("check", file, "--json", "--pid", victim.pid, code=code)
    return json.loads(r.out)["processes"][0], r


# --- payloads --------------------------------------------------------------------------------------------------

def write_source(name, text):
    path = tmp(name + ".c")
    with open(path, "w") as f:
        f.write(text)
    return path


def replacing(*pairs, extra=""):
    """C text: each pair is ("int value(void)", "return 2;"). What bodies need from the target goes into extra."""
    text = "#include <usplice/payload.h>\n%s\n" % extra
    for signature, body in pairs:
        name = re.search(r"(\w+)\(", signature).group(1)
        text += "static %s\n{\n\t%s\n}\n" % (signature.replace(name + "(", "new_%s(" % name, 1), body)
        text += "USPLICE_REPLACE(%s, new_%s);\n" % (name, name)
    return text


def cc(name, text, target, *args, flags=(), code=OK, output=None):
    """usplice cc; the payload's path. With code other than OK, the Result."""
    source = write_source(name, text)
    output = output or tmp(name + ".usp")
    target = str(target.exe if isinstance(target, Victim) else target)
    r = run("cc", source, "-o", output, "--target", target, *args, *(["--"] + list(flags) if flags else []), code=code)
    return output if code == OK else r


def value_payload(name, result, victim, **how):
    """A payload that makes value() return result."""
    return cc(name, replacing(("int value(void)", "return %s;" % result)), victim, **how)


# --- other ways to start things ----------------------------------------------------------------------------------

libc = ctypes.CDLL(None, use_errno=True)
PTRACE_DETACH, PTRACE_SEIZE = 17, 0x4206


def ptrace(request, pid):
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p]
    libc.ptrace.restype = ctypes.c_long
    if libc.ptrace(request, pid, None, None) != 0:
        raise Skip("ptrace is not permitted here: %s" % os.strerror(ctypes.get_errno()))


def only_child(pid):
    """Waits until process pid has a child and gives the one at the end of the line."""
    while True:
        with open("/proc/%d/task/%d/children" % (pid, pid)) as f:
            children = f.read().split()
        if not children:
            return pid
        pid = int(children[0])


def until(condition, what, patience=None):
    """Polls a condition of the system that has no event; gives what it returned."""
    deadline = time.monotonic() + (patience or PATIENCE)
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise Failure("never happened: %s" % what)
        time.sleep(0.005)


def copy_program(root, *programs):
    """Copies programs and the libraries that they need into a directory for chroot, at the same paths."""
    done = set()
    for program in programs:
        out = subprocess.run(["ldd", program], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
        for path in [program] + re.findall(r"(/\S+) \(0x", out):
            if path in done:
                continue
            done.add(path)
            there = root + path
            os.makedirs(os.path.dirname(there), exist_ok=True)
            shutil.copy(os.path.realpath(path), there)


def family(n):
    """A victim with n children under a name of its own: (victim, name, pids of the children)."""
    name = "uspv%d" % os.getpid()
    shutil.copy(victim_path("family"), tmp(name))
    v = Victim(tmp(name), "many", str(n))
    with open("/proc/%d/task/%d/children" % (v.pid, v.pid)) as f:
        children = [int(x) for x in f.read().split()]
    equal(len(children), n, "children")
    return v, name, children


def free_port():
    import socket
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]
