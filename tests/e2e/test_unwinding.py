# SPDX-License-Identifier: MIT
"""Unwinders through payload code: pthread_cancel, backtrace(), longjmp, C++ exceptions, gdb, perf."""

from harness import *

THROUGH = replacing(("int through(int (*callback)(void))", "int r = callback(); return r + 2;"))


def patched(victim, flags=("-O2", "-fexceptions")):
    v = Victim(victim)
    equal(v.ask("through"), "4")
    on(v, "load", cc("fix", THROUGH, v, flags=flags))
    equal(v.ask("through"), "5")
    return v


def registered(v):
    equal(info(v, "fix")["unwind"], "registered")


@case
def pthread_cancel_passes():
    v = patched("unwind")
    equal(v.ask("cancel"), "cancelled cleaned")
    on(v, "revert", "fix")
    equal(v.ask("cancel"), "cancelled cleaned")


@case
def backtrace_passes():
    v = Victim("unwind")
    original = v.ask("trace")  # loads libgcc_s
    contains(original, "root=1")
    on(v, "load", cc("fix", THROUGH, v))
    registered(v)
    frames = v.ask("trace")
    contains(frames, "root=1")
    equal(int(frames.split()[0]), int(original.split()[0]), "frames to main")
    on(v, "revert", "fix")
    on(v, "unload", "fix")
    equal(v.ask("trace"), original)


@case
def longjmp_passes():
    v = patched("unwind")
    equal(v.ask("jump"), "5")


@case
def exceptions_pass():
    v = Victim("exceptions")
    equal(v.ask("throw"), "caught thrown destroyed=2")
    on(v, "load", cc("fix", THROUGH, v, flags=("-fexceptions",)))
    registered(v)
    equal(v.ask("through"), "5")
    equal(v.ask("throw"), "caught thrown destroyed=2")
    on(v, "load", cc("fix2", replacing(("int through(int (*callback)(void))", "int r = callback(); return r + 3;")), v))
    equal(v.ask("throw"), "caught thrown destroyed=2")
    on(v, "revert", "fix2")
    on(v, "unload", "fix2")
    equal(v.ask("throw"), "caught thrown destroyed=2")
    on(v, "revert", "fix")
    on(v, "unload", "fix")
    equal(v.ask("throw"), "caught thrown destroyed=2")


@case
def where_no_unwinder_can_be_told_it_is_said():
    v = Victim("basic_static")
    p = value_payload("fix", 2, v)
    row, _ = checked(v, p)
    on(v, "load", p)
    equal(row["unwind"], info(v, "fix")["unwind"], "check and info")
    check(info(v, "fix")["unwind"] in ("registered", "no-unwinder", "no-thread"), "unwind: %s" % info(v, "fix")["unwind"])


@case
def gdb_shows_the_payloads_functions():
    gdb = need("gdb")
    v = patched("unwind")
    equal(v.ask("enter"), "entered")
    v.may_die = True  # its thread blocks for good
    commands = tmp("commands.gdb")
    with open(commands, "w") as f:
        f.write(run("gdb", "--pid", v.pid).out)
    out = subprocess.run([gdb, "-nx", "-batch", "-iex", "set debuginfod enabled off", "-p", str(v.pid), "-x", commands,
                          "-ex", "thread apply all bt"],
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=PATIENCE).stdout
    frames = [re.sub(r"^#\d+\s+(0x\w+ in )?", "", line).split()[0] for line in out.splitlines() if line.startswith("#")]
    check("new_through" in frames, "no frame new_through:\n" + out)
    at = frames.index("new_through")
    equal((frames[at - 1], frames[at + 1]), ("block", "cancelled"), "frames beside new_through in\n" + out)


@case
def without_payloads_gdb_needs_nothing():
    v = Victim("basic")
    r = run("gdb", "--pid", v.pid)
    check("add-symbol-file" not in r.out, r.out)


def perf_map(pid, root=""):
    with open("%s/tmp/perf-%d.map" % (root, pid)) as f:
        return {fields[2].strip(): (int(fields[0], 16), int(fields[1], 16))
                for fields in (line.split(" ", 2) for line in f if line.strip())}


@case
def perf_map_names_the_payloads_functions():
    v = Victim("unwind")
    at_end(lambda: os.path.exists("/tmp/perf-%d.map" % v.pid) and os.unlink("/tmp/perf-%d.map" % v.pid))
    text = """
    #include <usplice/payload.h>
    static __attribute__((noinline)) int helping(int r) { __asm__ volatile(""); return r + 2; }
    static int fixed(int (*callback)(void)) { return helping(callback()); }
    USPLICE_REPLACE(through, fixed);
    """
    on(v, "load", cc("fix", text, v))
    equal(v.ask("through"), "5")
    rows = perf_map(v.pid)
    function = info(v, "fix")["functions"][0]
    place = (int(function["new_address"], 0), function["new_size"])
    check([n for n in rows if rows[n] == place and ("through" in n or "fixed" in n)], "no row for through(): %s" % rows)
    check([n for n in rows if "helping" in n], "no row for the payload's own helping(): %s" % rows)


@case
def perf_shows_payload_functions_by_name():
    need("perf")
    v = Victim("busy", "spin=1")
    at_end(lambda: os.path.exists("/tmp/perf-%d.map" % v.pid) and os.unlink("/tmp/perf-%d.map" % v.pid))
    on(v, "load", cc("fix", """
    #include <usplice/payload.h>
    static __attribute__((noipa)) int helping(int n) { for (int i = 0; i < 1000000; i++) __asm__ volatile("" : "+r"(n)); return n; }
    static int fixed(void) { return helping(2); }
    USPLICE_REPLACE(outer, fixed);
    """, v))

    def seen():
        data = tmp("perf.data")
        r = subprocess.run(["perf", "record", "-q", "-e", "cpu-clock", "-o", data, "-p", str(v.pid), "--", "sleep", "0.2"],
                           capture_output=True, text=True)
        check(r.returncode == 0, "perf record: %s" % r.stderr)
        r = subprocess.run(["perf", "script", "-F", "ip,sym", "-i", data], capture_output=True, text=True)
        return "helping [usplice fix]" in r.stdout

    until(seen, "perf to name helping()")


@case
def perf_map_does_not_follow_links():
    # The target owns its /tmp: a link there must not make root write elsewhere.
    v = Victim("unwind")
    precious = tmp("precious")
    with open(precious, "w") as f:
        f.write("precious\n")
    link = "/tmp/perf-%d.map" % v.pid
    if os.path.lexists(link):  # of an earlier process with this pid
        os.unlink(link)
    os.symlink(precious, link)
    at_end(lambda: os.path.lexists(link) and os.unlink(link))
    on(v, "load", cc("fix", THROUGH, v))
    with open(precious) as f:
        equal(f.read(), "precious\n", "the file that the link points to")


main()
