# SPDX-License-Identifier: MIT
"""Functions at awkward places: too short, neighbours, a site across a cache line or a page, endbr64."""

from harness import *

NAMES = "tiny4 five six seventh line_a line_b over_line over_page branded branded_short looper".split()


def answers(v):
    return {n: int(v.ask(n)) for n in NAMES}


def fix(v, *names):
    return cc("fix", replacing(*[("int %s(void)" % n, "return %d;" % (1000 + NAMES.index(n))) for n in names]), v)


def one(name):
    def test():
        v = Victim("layout")
        text, old = Text(v.pid), answers(v)
        on(v, "load", fix(v, name))
        equal(answers(v), dict(old, **{name: 1000 + NAMES.index(name)}))
        on(v, "revert", "fix")
        equal(answers(v), old)
        on(v, "unload", "fix")
        text.same_as(Text(v.pid))
    test.__name__ = name + "_is_replaced_and_its_neighbours_are_not"
    case(test)


for each in ("five", "six", "line_a", "line_b", "over_line", "over_page", "branded", "looper"):
    one(each)


@case
def places_are_where_the_victim_says():
    path = victim_path("layout")
    equal(symbol(path, "over_page")[0] % 4096, 4093, "over_page in its page")
    equal(symbol(path, "over_line")[0] % 64, 61, "over_line in its cache line")
    equal(symbol(path, "line_a")[0] // 64, symbol(path, "line_b")[0] // 64, "cache lines of line_a and line_b")
    equal(symbol(path, "six")[0] + 6, symbol(path, "seventh")[0], "the end of six")


def refused(name):
    def test():
        v = Victim("layout")
        text, old = Text(v.pid), answers(v)
        r = cc("fix", replacing(("int %s(void)" % name, "return 1;")), v, code=None)
        check(r.code in (UNSUPPORTED, MISMATCH, BAD_PAYLOAD), "not refused as too short\n%s" % r)
        contains(r.err, name)
        equal(answers(v), old)
        text.same_as(Text(v.pid))
    test.__name__ = name + "_is_too_short_and_refused"
    case(test)


for each in ("tiny1", "tiny4", "branded_short"):
    refused(each)


@case
def two_functions_in_one_cache_line_at_once():
    v = Victim("layout")
    text, old = Text(v.pid), answers(v)
    on(v, "load", fix(v, "line_a", "line_b", "over_line", "over_page", "six", "seventh"))
    new = answers(v)
    for name in NAMES:
        wanted = old[name] if name in ("tiny4", "five", "branded", "branded_short", "looper") else 1000 + NAMES.index(name)
        equal(new[name], wanted, name)
    on(v, "revert", "fix")
    equal(answers(v), old)
    text.same_as(Text(v.pid))


@case
def endbr64_stays_at_the_entry():
    v = Victim("layout")
    address = runtime(v, "branded")
    on(v, "load", fix(v, "branded"))
    equal(memory(v.pid, address, 4), b"\xf3\x0f\x1e\xfa", "the first instruction of branded")
    equal(memory(v.pid, address + 4, 1), b"\xe9", "and behind it a jump")


main()
