# SPDX-License-Identifier: MIT
"""The -fipa-ra trap: a caller that keeps values in registers which the old function leaves alone."""

from harness import *

CLOBBERING = replacing(("long leaf(long x)", """
    __asm__ volatile("mov $0, %%esi\\n mov $0, %%edx\\n mov $0, %%ecx\\n mov $0, %%r8d"
                     ::: "rsi", "rdx", "rcx", "r8");
    return x * 4 + 1;"""))
MODEST = replacing(("long leaf(long x)", "return x * 4 + 1;"))
CALLING = replacing(("long leaf(long x)", "return plain_leaf(x) + 100;"), extra="long plain_leaf(long);")


def old_caller(v):
    equal(v.ask("caller"), "110")


@case
def the_victim_has_the_trap():
    # gcc at -O2 must have kept an argument in a caller-saved register over the call, or this file shows nothing.
    v = Victim("ipara")
    out = subprocess.run(["objdump", "-d", "--no-show-raw-insn", "--disassemble=caller", v.exe], stdout=subprocess.PIPE,
                         text=True, check=True).stdout
    code = out[out.index("<leaf>"):]
    if not re.search(r"%(rsi|rdx|rcx|r8)", code.split("\n", 2)[1] + code.split("\n", 3)[2]):
        raise Skip("this compiler did not use the registers that leaf() leaves alone")
    old_caller(v)


@case
def code_that_clobbers_is_refused_and_the_caller_named():
    v = Victim("ipara")
    the_victim_has_the_trap()
    r = cc("fix", CLOBBERING, v, code=MISMATCH)
    contains(r.err, "leaf", "caller")
    old_caller(v)


@case
def code_that_calls_is_refused_too():
    v = Victim("ipara")
    the_victim_has_the_trap()
    r = cc("fix", CALLING, v, code=MISMATCH)
    contains(r.err, "caller")


@case
def code_that_leaves_them_alone_is_taken():
    v = Victim("ipara")
    on(v, "load", cc("fix", MODEST, v))
    equal(v.ask("caller"), str(5 + 2 + 6 + 15 + 28 + 55))
    equal(v.ask("leaf"), "17")
    on(v, "revert", "fix")
    old_caller(v)


@case
def a_function_whose_callers_keep_nothing_may_clobber():
    v = Victim("ipara")
    on(v, "load", cc("fix", CLOBBERING.replace("leaf", "plain_leaf"), v))
    equal(v.ask("plain_leaf"), "17")
    on(v, "revert", "fix")
    equal(v.ask("plain_leaf"), "13")


@case
def the_caller_replaced_together_is_fine():
    v = Victim("ipara")
    both = CLOBBERING + replacing(("long caller(long a, long b, long c, long d, long e)",
                                   "return leaf(a) + 2 * a + 3 * b + 5 * c + 7 * d + 11 * e;"),
                                  extra="long leaf(long);").replace("#include <usplice/payload.h>", "")
    r = cc("fix", both, v, code=None)
    if r.code != OK:
        # Refusing is safe; taking it must be right.
        contains(r.err, "leaf")
        return
    on(v, "load", tmp("fix.usp"))
    equal(v.ask("caller"), str(5 + 2 + 6 + 15 + 28 + 55))


main()
