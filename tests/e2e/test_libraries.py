# SPDX-License-Identifier: MIT
"""Functions of shared libraries: exported, static, hidden, IFUNC, thread-local data, two libraries, dlopen."""

import shutil

from harness import *


def lib(name="libvictim.so"):
    return victim_path(name)


def instead_of_libvictim(name):
    """A directory for LD_LIBRARY_PATH where libvictim.so is another build of it."""
    shutil.copy(lib(name), tmp("libvictim.so"))
    return {"LD_LIBRARY_PATH": os.path.dirname(tmp("x"))}


@case
def an_exported_function():
    v = Victim("uselib")
    before = Text(v.pid)
    on(v, "load", cc("fix", replacing(("int lib_value(void)", "return 5;")), lib()))
    equal((v.ask("value"), v.ask("own")), ("5", "10005"))
    equal(listed(v)[0]["module"], "libvictim.so")
    on(v, "revert", "fix")
    equal((v.ask("value"), v.ask("own")), ("1001", "11001"))
    on(v, "unload", "fix")
    before.same_as(Text(v.pid))


@case
def a_static_and_a_hidden_function():
    v = Victim("uselib")
    on(v, "load", cc("fix", replacing(("int local_helper(void)", "return 6;"), ("int lib_hidden(void)", "return 7;")),
                     lib()))
    equal((v.ask("static"), v.ask("hidden"), v.ask("static2")), ("10006", "10007", "12003"))
    on(v, "revert", "fix")
    equal((v.ask("static"), v.ask("hidden")), ("11003", "11002"))


@case
def with_bsymbolic():
    v = Victim("uselib", env=instead_of_libvictim("libvictim_symbolic.so"))
    on(v, "load", cc("fix", replacing(("int lib_value(void)", "return 5;")), lib("libvictim_symbolic.so")))
    equal((v.ask("value"), v.ask("own")), ("5", "10005"))
    on(v, "revert", "fix")
    equal((v.ask("value"), v.ask("own")), ("1001", "11001"))


@case
def prelinked_addresses():
    v = Victim("uselib", env=instead_of_libvictim("libvictim_prelinked.so"))
    target = lib("libvictim_prelinked.so")
    check(symbol(target, "lib_value")[0] > 1 << 40, "the library is not linked at a high address")
    before = Text(v.pid)
    on(v, "load", cc("fix", replacing(("int lib_value(void)", "return 5 + lib_hidden();"),
                                      ("int lib_calls_static(void)", "return local_helper();"),
                                      extra="int lib_hidden(void), local_helper(void);"), target))
    equal((v.ask("value"), v.ask("static")), ("1007", "1003"))
    on(v, "revert", "fix")
    on(v, "unload", "fix")
    before.same_as(Text(v.pid))


@case
def two_libraries_at_once():
    v = Victim("uselib")
    before = Text(v.pid)
    on(v, "load", cc("one", replacing(("int lib_value(void)", "return 5;")), lib()))
    on(v, "load", cc("two", replacing(("int lib2_value(void)", "return 6;"), ("int local_helper(void)", "return 8;")),
                     lib("libvictim2.so")))
    equal((v.ask("value"), v.ask("value2"), v.ask("static"), v.ask("static2")), ("5", "6", "11003", "10008"))
    on(v, "revert", "two")
    equal((v.ask("value"), v.ask("value2")), ("5", "2001"))
    on(v, "revert", "one")
    before.same_as(Text(v.pid))


@case
def thread_local_data_of_a_library():
    for flags in ((), ("-O2", "-fPIC"), ("-O0",), ("-O2",)):
        v = Victim("uselib")
        on(v, "load", cc("fix", replacing(("int lib_tls(void)", "lib_tls_counter += 10; return lib_tls_counter;"),
                                          extra="extern __thread int lib_tls_counter;"), lib(), flags=flags))
        equal(v.ask("tls"), "1010", str(flags))
        on(v, "revert", "fix")
        equal(v.ask("tls"), "1011", str(flags))


@case
def a_thread_local_model_that_a_library_may_not_have_is_refused_by_name():
    v = Victim("uselib")
    r = cc("fix", replacing(("int lib_tls(void)", "lib_tls_counter += 10; return lib_tls_counter;"),
                            extra="extern __thread int lib_tls_counter;"), lib(),
           flags=("-O2", "-fPIC", "-ftls-model=initial-exec"), code=None)
    if r.code == OK:
        r = on(v, "load", tmp("fix.usp"), code=None)
    if r.code != OK:
        check(r.code in (BAD_PAYLOAD, UNSUPPORTED), "refused otherwise\n%s" % r)
        contains(r.err, "lib_tls_counter", "tls-model")
    equal(v.ask("tls"), "1010" if r.code == OK else "1001")


@case
def an_ifunc_and_its_callers():
    v = Victim("uselib")
    equal((v.ask("ifunc"), v.ask("calls_ifunc")), ("1004", "11004"))
    on(v, "load", cc("fix", replacing(("int lib_calls_ifunc(void)", "return lib_ifunc() + 5;"),
                                      extra="int lib_ifunc(void);"), lib()))
    equal(v.ask("calls_ifunc"), "1009")
    on(v, "revert", "fix")
    # The implementation that was chosen is an ordinary function.
    on(v, "load", cc("chosen", replacing(("int ifunc_chosen(void)", "return 9;")), lib()))
    equal((v.ask("ifunc"), v.ask("calls_ifunc")), ("9", "10009"))


@case
def a_thread_that_never_leaves_the_library():
    # One thread sits in lib_forever() for good. Another function of the library is no concern of its.
    v = Victim("uselib")
    r = on(v, "load", cc("fix", replacing(("int lib_value(void)", "return 5;")), lib()))
    equal(v.ask("value"), "5")
    r = on(v, "load", cc("stuck", replacing(("int lib_forever(int fd)", "return fd;")), lib()), "--timeout", "300ms",
           code=NOT_QUIESCENT)
    contains(r.err, "lib_forever")
    equal(applied(v), ["fix"])


@case
def a_constructor_that_allocated():
    v = Victim("uselib")
    equal(v.ask("allocated"), "1")
    on(v, "load", cc("fix", replacing(("int lib_allocated(void)", "return allocated != 0 ? 2 : 0;"),
                                      extra="extern void *allocated;"), lib()))
    equal(v.ask("allocated"), "2")


@case
def a_library_opened_and_closed_by_the_program():
    v = Victim("uselib")
    p = cc("plug", replacing(("int plug_value(void)", "return 33;")), lib("libplug.so"))
    r = on(v, "load", p, code=(NOT_FOUND, MISMATCH))  # not loaded yet
    contains(r.err, "libplug.so")
    equal(v.ask("open " + lib("libplug.so")), "opened")
    equal(v.ask("opened"), "3001")
    on(v, "load", p)
    equal(v.ask("opened"), "33")
    on(v, "revert", "plug")
    equal(v.ask("opened"), "3001")
    on(v, "unload", "plug")
    equal(v.ask("close"), "closed")
    equal(v.ask("open " + lib("libplug.so")), "opened")
    on(v, "load", p)
    equal(v.ask("opened"), "33")
    # Closed while it is patched: nothing is left to write to, and the tool must find that out.
    equal(v.ask("close"), "closed")
    listed(v)
    r = on(v, "revert", "plug", code=None)
    equal(v.ask("value"), "1001")
    equal(v.ask("open " + lib("libplug.so")), "opened")
    equal(v.ask("opened"), "3001")


@case
def page_permissions_are_as_before():
    v = Victim("uselib")
    before = permissions(v.pid)
    on(v, "load", cc("fix", replacing(("int lib_value(void)", "return 5;")), lib()))
    equal(permissions(v.pid), before, "file mappings")
    on(v, "revert", "fix")
    on(v, "unload", "fix")
    equal(permissions(v.pid), before, "file mappings")


@case
def a_function_of_libc_that_the_program_is_using():
    v = Victim("basic")
    target = os.path.realpath("/lib/x86_64-linux-gnu/libc.so.6")
    on(v, "load", cc("fix", replacing(("int close(int fd)", "return fd == -1 ? 0 : -1;")), target))
    equal(v.ask("errno_of_close"), "0")
    on(v, "revert", "fix")
    equal(v.ask("errno_of_close"), "9")


@case
def by_module_of_a_process():
    v = Victim("uselib")
    p = cc("fix", replacing(("int lib2_value(void)", "return 6;")), v.pid, "--module", "libvictim2.so")
    on(v, "load", p)
    equal(v.ask("value2"), "6")
    # Without --module: the one module that has it.
    p = cc("fix1", replacing(("int lib_value(void)", "return 5;")), v.pid)
    on(v, "load", p)
    equal(v.ask("value"), "5")


main()
