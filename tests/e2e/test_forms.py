# SPDX-License-Identifier: MIT
"""Every form that a program comes in: PIE or not, static, musl, stripped, split debug files, odd addresses."""

import shutil

from harness import *


def patch_and_unpatch(v, target=None):
    """Two functions by way of the target's own symbols and a string of the payload."""
    before = Text(v.pid)
    p = cc("fix", replacing(("int value(void)", "return 1 + one();"),
                            ("const char *greeting(void)", 'return "patched";'),
                            extra="static int one(void) { return 1; }\nint other(void);"), target or v)
    on(v, "load", p)
    equal(v.ask("all"), "2 10 100")
    equal(v.ask("greeting"), "patched")
    on(v, "revert", "fix")
    equal(v.ask("all"), "1 10 100")
    equal(v.ask("greeting"), "hello")
    on(v, "unload", "fix")
    before.same_as(Text(v.pid))


def form(name):
    def test():
        patch_and_unpatch(Victim(name))
    test.__name__ = name
    case(test)


for each in ("basic", "basic_nopie", "basic_static", "basic_static_pie", "basic_low", "basic_high", "basic_ibt",
             "basic_no_unwind", "basic_exports", "basic_stripped", "basic_split", "basic_musl", "basic_musl_dynamic"):
    form(each)


@case
def debug_file_beside_the_program():
    # fib is in no .dynsym: only the debug file knows it.
    os.mkdir(tmp(".debug"))
    shutil.copy(victim_path("basic_split"), tmp("prog"))
    shutil.copy(victim_path("basic_split.debug"), tmp(".debug", "basic_split.debug"))
    v = Victim(tmp("prog"))
    on(v, "load", cc("fix", replacing(("int fib(int n)", "return -n;")), v))
    equal(v.ask("fib 5"), "-5")


@case
def debug_file_gone():
    shutil.copy(victim_path("basic_split"), tmp("prog"))
    v = Victim(tmp("prog"))
    r = cc("fix", replacing(("int fib(int n)", "return -n;")), v, code=NOT_FOUND)
    contains(r.err, "fib")


@case
def built_against_the_process():
    v = Victim("basic")
    patch_and_unpatch(v, v.pid)


@case
def started_through_the_dynamic_loader():
    loader = "/lib64/ld-linux-x86-64.so.2"
    if not os.path.exists(loader):
        raise Skip("no " + loader)
    v = Victim(loader, victim_path("basic"))
    patch_and_unpatch(v, victim_path("basic"))


@case
def libc_as_a_program():
    libc_path = "/lib/x86_64-linux-gnu/libc.so.6"
    if not os.path.exists(libc_path):
        raise Skip("no " + libc_path)
    out = subprocess.run([libc_path], stdout=subprocess.PIPE, check=True, text=True).stdout
    contains(out, "GNU C Library")
    v = Victim("basic")
    p = cc("libc-fix", replacing(("int getpagesize(void)", "return 4096;")), libc_path)
    on(v, "load", p)
    equal(listed(v)[0]["module"], "libc.so.6")
    on(v, "revert", "libc-fix")
    equal(v.ask("value"), "1")


@case
def no_build_id():
    v = Victim("basic_no_build_id")
    r = cc("fix", replacing(("int value(void)", "return 2;")), v, code=None)
    check(r.code != OK, "a payload was made for a program that cannot be told from another\n%s" % r)
    contains(r.err, "build-id")


@case
def executable_deleted_and_replaced():
    shutil.copy(victim_path("basic"), tmp("prog"))
    v = Victim(tmp("prog"))
    p = value_payload("fix", 2, victim_path("basic"))
    os.unlink(tmp("prog"))
    shutil.copy(victim_path("busy"), tmp("prog"))
    on(v, "load", p)
    equal(v.ask("value"), "2")
    on(v, "revert", "fix")
    equal(v.ask("value"), "1")


@case
def hostile_file_name():
    name = tmp("a b\n\x1b[31mc) (deleted)")
    shutil.copy(victim_path("basic"), name)
    v = Victim(name)
    on(v, "load", value_payload("fix", 2, v))
    equal(v.ask("value"), "2")
    r = run("list", "--pid", v.pid)
    check("\x1b[31mc" not in r.out + r.err, "a file name's escape sequence reached the terminal")


main()
