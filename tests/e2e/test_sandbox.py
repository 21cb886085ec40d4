# SPDX-License-Identifier: MIT
"""Shut-in targets: chroot, other users, namespaces, seccomp, no-new-privs, memory-deny-write-execute."""

import shutil

from harness import *

NOBODY = 65534


def patch(v, p, answer="1"):
    before = Text(v.pid)
    on(v, "load", p)
    equal(v.ask("value"), "2")
    equal(applied(v), ["fix"])
    on(v, "revert", "fix")
    equal(v.ask("value"), answer)
    on(v, "unload", "fix")
    before.same_as(Text(v.pid))


def sandbox(*how):
    def test():
        v = Victim("sandbox", *how)
        patch(v, value_payload("fix", 2, v))
    test.__name__ = "_".join(how)
    case(test)


for each in (("nnp",), ("seccomp",), ("errno",), ("mdwe",), ("dumpable",), ("mdwe", "nnp", "dumpable", "seccomp")):
    sandbox(*each)


def as_nobody(root=None):
    def change():
        if root:
            os.chroot(root)
            os.chdir("/")
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    return change


@case
def another_users_process():
    need_root()
    path = tmp("basic")
    shutil.copy(victim_path("basic"), path)
    v = Victim(path, preexec=as_nobody())
    patch(v, value_payload("fix", 2, v))


@case
def a_library_in_a_chroot_of_another_user():
    need_root()
    root = tmp("root")
    os.mkdir(root)
    copy_program(root, os.path.realpath(victim_path("uselib")))
    # No /proc in there, which the loader would need for an $ORIGIN.
    v = Victim(os.path.realpath(victim_path("uselib")), preexec=as_nobody(root),
               env={"LD_LIBRARY_PATH": os.path.realpath(VICTIMS)})
    check(os.readlink("/proc/%d/root" % v.pid) == os.path.realpath(root), "it is not in the chroot")
    before = Text(v.pid)
    p = cc("fix", replacing(("int lib_value(void)", "return 5;"), ("int local_helper(void)", "return 6;")),
           root + os.path.realpath(victim_path("libvictim.so")))
    on(v, "load", p)
    equal((v.ask("value"), v.ask("own"), v.ask("static")), ("5", "10005", "10006"))
    on(v, "revert", "fix")
    equal((v.ask("value"), v.ask("static")), ("1001", "11003"))
    on(v, "unload", "fix")
    before.same_as(Text(v.pid))
    # By the process alone, whose files only its own root shows.
    p = cc("fix", replacing(("int lib_value(void)", "return 7;")), v.pid, "--module", "libvictim.so", output=tmp("b.usp"))
    on(v, "load", p)
    equal(v.ask("value"), "7")


@case
def a_debug_file_in_the_chroot_only():
    need_root()
    root = tmp("root")
    os.mkdir(root)
    program = os.path.realpath(victim_path("basic_split"))
    copy_program(root, program)
    notes = subprocess.run(["readelf", "-n", program], stdout=subprocess.PIPE, text=True, check=True).stdout
    build_id = re.search(r"Build ID: (\w+)", notes).group(1)
    there = "%s/usr/lib/debug/.build-id/%s/%s.debug" % (root, build_id[:2], build_id[2:])
    os.makedirs(os.path.dirname(there))
    shutil.copy(victim_path("basic_split.debug"), there)
    v = Victim(program, preexec=as_nobody(root))
    on(v, "load", cc("fix", replacing(("int fib(int n)", "return -n;")), v.pid))
    equal(v.ask("fib 4"), "-4")


def unshared(options, script, *words):
    unshare = need("unshare")
    probe = subprocess.run([unshare] + options + ["true"], stderr=subprocess.PIPE, text=True)
    if probe.returncode:
        raise Skip("no such namespace here: " + probe.stderr.strip())
    return Victim(unshare, *options, "sh", "-c", script, "sh", *words, child_of=only_child)


@case
def a_mount_namespace_of_its_own():
    need_root()
    hidden = tmp("hidden")
    os.mkdir(hidden)
    v = unshared(["--mount"], 'mount -t tmpfs none "$1" && cp "$2" "$1/prog" && "$1/prog"; exit $?', hidden,
                 victim_path("basic"))
    check(not os.path.exists(hidden + "/prog"), "the program is visible from outside")
    v.exe = victim_path("basic")
    patch(v, cc("fix", replacing(("int value(void)", "return 2;")), v.pid))


@case
def a_pid_namespace_of_its_own():
    need_root()
    v = unshared(["--pid", "--fork", "--mount-proc"], '"$1"; exit $?', victim_path("basic"))
    with open("/proc/%d/status" % v.pid) as f:
        inner = re.search(r"NSpid:\s*(.*)", f.read()).group(1).split()
    check(len(inner) == 2 and inner[1] != inner[0], "it has no other pid inside: %s" % inner)
    patch(v, cc("fix", replacing(("int value(void)", "return 2;")), v.pid))
    on(v, "load", cc("fix", replacing(("int value(void)", "return 2;")), v.pid))
    inside = "/tmp/perf-%s.map" % inner[1]
    at_end(lambda: os.path.exists(inside) and os.unlink(inside))
    with open(inside) as f:
        contains(f.read(), "value")


@case
def a_user_namespace_of_its_own():
    v = unshared(["--user", "--map-root-user"], '"$1"; exit $?', victim_path("basic"))
    patch(v, cc("fix", replacing(("int value(void)", "return 2;")), v.pid))


@case
def not_enough_rights():
    need_root()
    v = Victim("basic")
    p = value_payload("fix", 2, v)
    os.chmod(p, 0o644)
    before = Text(v.pid)
    try:
        probe = run("version", preexec=as_nobody())
    except (PermissionError, Failure):
        raise Skip("nobody may not run the command from where it was built")
    contains(probe.out, "usplice")
    for action in ("load", "upload", "check"):
        r = run(action, p, "--pid", v.pid, code=PERMISSION, preexec=as_nobody())
        contains(r.err, str(v.pid))
    run("list", "--pid", v.pid, code=PERMISSION, preexec=as_nobody())
    before.same_as(Text(v.pid))


@case
def ones_own_process_without_root():
    need_root()
    shutil.copy(victim_path("basic"), tmp("basic"))
    v = Victim(tmp("basic"), preexec=as_nobody())
    p = value_payload("fix", 2, v)
    os.chmod(p, 0o644)
    try:
        run("version", preexec=as_nobody())
    except (PermissionError, Failure):
        raise Skip("nobody may not run the command from where it was built")
    for step in (("load", p), ("list",), ("revert", "fix"), ("unload", "fix")):
        run(*step, "--pid", v.pid, preexec=as_nobody())
    equal(v.ask("value"), "1")


main()
