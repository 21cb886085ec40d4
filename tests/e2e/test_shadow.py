# SPDX-License-Identifier: MIT
"""Shadow data and states: values on objects that exist, and what one payload leaves to the next."""

from harness import *
from killing import *
from projects import COMPILERS, Project, make

STRIDE = int(os.environ.get("USPLICE_KILLAT_STRIDE", "1"))
EXTRA = "extern int counter, shared_counter;\n"
FORMS = (("basic", "-O2"), ("basic", "-O0"), ("basic", "-fPIC"), ("basic_nopie", "-fno-pic"), ("basic_static", "-O2"),
         ("basic_low", "-O2"), ("basic_high", "-O2"))


def payload(name, body, victim="basic", flags="-O2", extra="", **how):
    tag = '__attribute__((used)) static const char tag[] = "%s";\n' % name  # no two are the same build
    return cc(name, replacing(("int bump(void)", body), extra=EXTRA + tag + extra), victim_path(victim), flags=[flags], **how)


def areas(v):
    """The shadow areas of a process, by what only their first page has: (start, end, next mapping's end)."""
    found, at = [], None
    with open("/proc/%d/smaps" % v.pid) as f:
        for line in f:
            m = re.match(r"([0-9a-f]+)-([0-9a-f]+) ", line)
            if m:
                at = tuple(int(x, 16) for x in m.groups())
            if line.startswith("VmFlags:") and " wf" in line:
                found.append(at)
    return found


# The kernel's self-test: get on nothing, several objects and ids, constructors once each, free one, free all of an id.
SELF_TEST = """
static int constructed, destroyed;
static int construct(const void *object, void *data, void *context)
{
	(void)object;
	*(long *)data += *(long *)context;
	constructed++;
	return 0;
}
static void destroy(const void *object, void *data) { (void)object; (void)data; destroyed++; }
static int self_test(void)
{
	void *objects[] = {&counter, &shared_counter, 0};
	long seven = 7, *values[3][2];
	int i, id;
	for (i = 0; i < 3; i++)
		for (id = 0; id < 2; id++) {
			if (usp_shadow_get(objects[i], id))
				return 1;
			values[i][id] = i ? usp_shadow_get_or_alloc(objects[i], id, sizeof(long), construct, &seven)
					  : usp_shadow_alloc(objects[i], id, sizeof(long), construct, &seven);
			if (!values[i][id] || *values[i][id] != 7)
				return 2;
		}
	for (i = 0; i < 3; i++)
		for (id = 0; id < 2; id++)
			if (usp_shadow_get(objects[i], id) != values[i][id] ||
			    usp_shadow_get_or_alloc(objects[i], id, sizeof(long), construct, &seven) != values[i][id] ||
			    usp_shadow_alloc(objects[i], id, sizeof(long), construct, &seven))
				return 3;
	if (constructed != 6)
		return 4;
	usp_shadow_free(objects[1], 0, destroy);
	if (destroyed != 1 || usp_shadow_get(objects[1], 0) || usp_shadow_get(objects[1], 1) != values[1][1])
		return 5;
	usp_shadow_free_all(1, destroy);
	if (destroyed != 4 || usp_shadow_get(objects[0], 1) || usp_shadow_get(objects[2], 1) ||
	    usp_shadow_get(objects[2], 0) != values[2][0])
		return 6;
	usp_shadow_free_all(0, 0);
	return destroyed != 4 || usp_shadow_get(objects[0], 0) ? 7 : 1000;
}
"""


@case
def the_kernels_cases_in_every_form():
    for number, (victim, flags) in enumerate(FORMS):
        v = Victim(victim)
        on(v, "load", payload("test%d" % number, "return self_test();", victim, flags, SELF_TEST))
        equal(v.ask("bump"), "1000", "%s %s" % (victim, flags))
        v.close()


COUNT = "long *n = usp_shadow_get_or_alloc(&counter, 77, sizeof(*n), 0, 0); return n ? (int)(++*n + %d) : -1;"


@case
def data_outlives_the_payload():
    v = Victim("basic")
    on(v, "load", payload("one", COUNT % 100))
    equal([v.ask("bump"), v.ask("bump")], ["101", "102"])
    here = areas(v)
    equal(len(here), 1)
    on(v, "revert", "one")
    on(v, "unload", "one")
    on(v, "load", payload("two", COUNT % 200))
    equal(v.ask("bump"), "203")
    equal(areas(v), here, "there is one place for it")
    on(v, "revert", "two")
    on(v, "load", payload("last", "usp_shadow_free_all(77, 0); return usp_shadow_get(&counter, 77) != 0;"))
    equal(v.ask("bump"), "0")


@case
def no_place_for_it_without_need():
    v = Victim("basic")
    on(v, "load", payload("plain", "return 5;"))
    equal(areas(v), [])
    p = payload("uses", COUNT % 1)
    on(v, "load", p, "--dry-run")
    checked(v, p)
    equal(areas(v), [], "a dry run maps nothing")


def stateful(name, *states, **how):
    """It takes over what is there; allocated by whoever comes first, counted in the shadow of NULL."""
    text = "".join("USPLICE_STATE(\"%s\", %d);\n" % s for s in states) + """
struct taken { int allocations; };
static int make(const void *object, void *data, void *context)
{
	(void)object; (void)context;
	((struct taken *)data)->allocations++;
	return 0;
}
static int take_over(void) { return usp_shadow_get_or_alloc(0, 99, sizeof(struct taken), make, 0) ? 0 : -1; }
USPLICE_PRE_APPLY_HOOK(take_over);
"""
    return payload(name, "struct taken *t = usp_shadow_get(0, 99); return t ? t->allocations : -1;", extra=text, **how)


@case
def state_carried_from_payload_to_payload():
    v = Victim("basic")
    for name, states in (("old", [("ocsp", 1)]), ("same", [("ocsp", 1)]), ("new", [("ocsp", 2), ("more", 1)]),
                         ("other", [("else", 4)]), ("ignorant", [])):
        on(v, "upload", stateful(name, *states))
    on(v, "apply", "old")
    equal(v.ask("bump"), "1")
    # The same version may replace both ways, a newer one too; nothing is allocated again.
    for name in ("same", "old", "same", "new"):
        on(v, "replace", name)
        equal((applied(v), v.ask("bump")), ([name], "1"))
    for name in ("old", "ignorant", "other"):
        for dry in ((), ("--dry-run",)):
            r = on(v, "replace", name, *dry, code=ORDER)
            contains(r.err, "payload new has the state")
            equal((applied(v), v.ask("bump")), (["new"], "1"))
    r = on(v, "apply", "old", code=ORDER)
    contains(r.err, "ocsp", "version 2", "version 1")
    on(v, "apply", "old", "--nodeps", code=ORDER)
    # On top of it: who knows nothing of it does no harm to it.
    on(v, "apply", "other")
    on(v, "apply", "ignorant")
    equal(applied(v), ["new", "other", "ignorant"])
    for name in ("ignorant", "other", "new"):
        on(v, "revert", name)
    on(v, "apply", "old")  # nobody has it in version 2 any more
    equal(v.ask("bump"), "1")


@case
def states_are_shown():
    v = Victim("basic")
    on(v, "load", stateful("shown", ("ocsp", 4000000000), ("a.b+c-d_e", 1)))
    contains(on(v, "info", "shown").out, "ocsp, version 4000000000", "a.b+c-d_e, version 1")
    equal(sorted(s["name"] + ":%d" % s["version"] for s in info(v, "shown")["data_states"]),
          ["a.b+c-d_e:1", "ocsp:4000000000"])
    for extra, words in (('USPLICE_STATE("a", 0);', ("state=a:0",)), ('USPLICE_STATE("a b", 1);', ("state=a b:1",)),
                         ('USPLICE_STATE("a", 4294967296);', ("NAME:VERSION",)),
                         ('USPLICE_STATE("a", 1); USPLICE_STATE("a", 2);', ("a is there twice",))):
        r = payload("wrong", "return 1;", extra=extra, code=BAD_PAYLOAD)
        contains(r.err, *words)


@case
def data_of_another_layout_is_refused():
    r = payload("other", "return *(volatile int *)&usplice_shadow_2;", extra="extern int usplice_shadow_2 __attribute__((weak));\n",
                code=BAD_PAYLOAD)
    contains(r.err, "usplice_shadow_2", "usplice_shadow_1")


@case
def controller_killed_while_it_is_made():
    """A fresh process each time: the place is made once. After the next command there is one, or none and nothing left."""
    p, n, places, finished = payload("fix", COUNT % 0), 1, set(), False
    while not finished:
        v = Victim("basic")
        finished = killat(n, "upload", p, "--pid", v.pid)
        let_go(v)
        places.add(len(areas(v)))
        on(v, "recover")
        if not states(v):
            on(v, "upload", p)
        equal(len(areas(v)), 1, "killed at system call %d: shadow areas" % n)
        on(v, "apply", "fix")
        equal(v.ask("bump"), "1")
        on(v, "revert", "fix")
        on(v, "unload", "fix")
        v.close()
        n += 1 + 2 * min(STRIDE, 20)
    equal(places, {0, 1})


# What a fix is like that needs a new member in objects that exist.
TREE = """
struct connection {
	long fd;
	long sent;
};
static struct connection connections[4];
long answer(long n)
{
	struct connection *c = &connections[n % 4];
	c->sent += n;
	return c->sent;
}
"""
FIXED = TREE.replace("\tlong sent;\n", "\tlong sent;\n#ifndef USPLICE\n\tlong limit;\n#endif\n") \
    .replace("static struct connection c", """#ifdef USPLICE
#include <usplice/payload.h>
#define LIMIT 202699999
static long *limit_of(struct connection *c)
{
	return usp_shadow_get_or_alloc(c, LIMIT, sizeof(long), (void *)0, (void *)0);
}
static void forget(void)
{
	usp_shadow_free_all(LIMIT, (void *)0);
}
USPLICE_POST_REVERT_HOOK(forget);
#else
#define limit_of(c) (&(c)->limit)
#endif
static struct connection c""").replace("\tc->sent += n;", "\tif (*limit_of(c) >= 2)\n\t\treturn -1;\n\t++*limit_of(c);\n\tc->sent += n;")


@case
def member_that_a_fix_adds():
    builds = [(c, f) for c in COMPILERS for f in ("-O2", "-O0", "-O2 -fno-pic", "-O2 -std=c89 -pedantic -Wall -Werror")]
    for number, (compiler, flags) in enumerate(builds):
        p = Project(TREE, FIXED, make(compiler, flags), name="tree%d" % number)
        program = p.install()
        report, r = p.build()
        what = "%s %s\n%s" % (compiler, flags, r)
        equal([f["kind"] for f in report["findings"] if not f["note"]], [], what)
        v = Victim(program)
        equal(v.ask("5"), "5", what)
        on(v, "load", tmp("tree%d.usp" % number))
        equal([v.ask("5") for _ in range(3)] + [v.ask("6")], ["10", "15", "-1", "6"], what)
        name = listed(v)[0]["name"]
        on(v, "revert", name)
        equal(v.ask("5"), "20", what)
        on(v, "apply", name)
        equal([v.ask("5") for _ in range(3)], ["25", "30", "-1"], what + ": the limits began anew")
        v.close()


@case
def member_that_a_fix_adds_in_a_library():
    from projects import MAKEFILE_LIBRARY
    for compiler in COMPILERS:
        p = Project(TREE, FIXED, ["make", "CC=" + compiler], MAKEFILE_LIBRARY, built="libthing.so", name=compiler)
        program = p.install()
        p.build()
        v = Victim(program)
        on(v, "load", tmp(compiler + ".usp"))
        equal([v.ask("5") for _ in range(3)], ["5", "10", "-1"], compiler)
        v.close()


main()
