# SPDX-License-Identifier: MIT
"""What a replacement may use: statics by name, thread-local data, arguments, constants, jump tables, libraries."""

from harness import *


def with_fix(text, flags=(), victim="basic", *args):
    v = Victim(victim)
    on(v, "load", cc("fix", text, v, *args, flags=flags))
    return v


FLAG_SETS = [("-O0",), ("-O2",), ("-O3",), ("-Os",), ("-O2", "-fPIC"), ("-O2", "-fno-pic")]


def form_for(flags):
    """Code with 32-bit absolute addresses reaches a program that is linked low, and no other."""
    return "basic_nopie" if "-fno-pic" in flags else "basic"


@case
def static_and_global_data_by_name():
    v = with_fix(replacing(("int bump(void)", "counter += 2; shared_counter += 3; return counter * 1000 + shared_counter;"),
                           extra="extern int counter, shared_counter;"))
    equal(v.ask("bump"), str(42 * 1000 + 403))
    on(v, "revert", "fix")
    equal(v.ask("bump"), str(43 + 404), "the data stays")


@case
def thread_local_data():
    v = with_fix(replacing(("int bump_tls(void)", "tls_counter += 2; tls_shared += 3; return tls_counter * 1000 + tls_shared;"),
                           extra="extern __thread int tls_counter, tls_shared;"))
    equal(v.ask("bump_tls"), str(9 * 1000 + 73))
    on(v, "revert", "fix")
    equal(v.ask("bump_tls"), str(10 + 74))


@case
def thread_local_data_in_every_form():
    text = replacing(("int bump_tls(void)", "tls_shared += 3; return tls_shared;"), extra="extern __thread int tls_shared;")
    for name in ("basic_nopie", "basic_static", "basic_static_pie"):
        for flags in (("-O2",), ("-O2", "-fPIC"), ("-O2", "-ftls-model=initial-exec")):
            v = with_fix(text, flags, name)
            equal(v.ask("bump_tls"), "73", "%s %s" % (name, flags))


SIGNATURE = ("double ten(int a, int b, int c, int d, int e, int f, int g, int h, int i, int j, double k, double l, "
             "double m, double n, double o, double p, double q, double r, double s, double t)")


@case
def ten_integer_and_ten_floating_arguments():
    for flags in FLAG_SETS:
        v = with_fix(replacing((SIGNATURE,
                                "return -(a + 2 * b + 3 * c + 4 * d + 5 * e + 6 * f + 7 * g + 8 * h + 9 * i + 10 * j + "
                                "k / 2 + l / 4 + m / 8 + n / 16 + o / 32 + p / 64 + q / 128 + r / 256 + s / 512 + "
                                "t / 1024);")), flags, form_for(flags))
        patched = v.ask("ten")
        on(v, "revert", "fix")
        equal(float(patched), -float(v.ask("ten")), str(flags))


@case
def recursion_and_mutual_recursion():
    v = with_fix(replacing(("int fib(int n)", "return n < 2 ? 1 : fib(n - 1) + fib(n - 2);"),
                           ("int is_even(int n)", "return n == 0 ? 7 : is_odd(n - 1);"),
                           extra="int fib(int), is_odd(int);"))
    equal(v.ask("fib 10"), "89")
    equal(v.ask("is_even 10"), "7")  # new is_even, old is_odd, new is_even, …
    on(v, "revert", "fix")
    equal(v.ask("fib 10"), "55")
    equal(v.ask("is_even 10"), "1")


@case
def strings_tables_and_constants():
    text = replacing(
        ("const char *greeting(void)", 'return words[value()];'),
        ("double scale(double x)", "return x * 2.75 - 0.125;"),
        ("int dispatch(int n)", """switch (n) {
            case 0: return 31 * value();
            case 1: return other() + 1;
            case 2: return third() * 2;
            case 3: return fib(7);
            case 4: return (int)strlen(greeting());
            case 5: return 55;
            case 6: return 66 + value();
            default: return -2; }"""),
        extra="""unsigned long strlen(const char *);
        int value(void), other(void), third(void), fib(int);
        const char *greeting(void);
        static const char *const words[] = {"zero", "one word", "two"};""")
    for flags in FLAG_SETS:
        v = with_fix(text, flags, form_for(flags))
        equal(v.ask("greeting"), "one word", str(flags))
        equal(v.ask("scale 4"), "10.8750", str(flags))
        equal([v.ask("dispatch %d" % n) for n in range(8)], ["31", "11", "200", "13", "8", "55", "67", "-2"], str(flags))


@case
def clang_builds_payloads():
    need("clang")
    text = replacing(("const char *greeting(void)", 'return value() ? "by clang" : "?";'),
                     ("int dispatch(int n)", "switch (n) { case 0: return 9; case 1: return value(); case 2: return 5;"
                      " case 3: return other(); case 4: return -3; default: return 4; }"),
                     ("double scale(double x)", "return x / 3.5;"), extra="int value(void), other(void);")
    for flags in (("-O0",), ("-O1",), ("-O2",), ("-O3",), ("-Os",), ("-O2", "-fPIC"), ("-O2", "-fno-pic")):
        v = with_fix(text, flags, form_for(flags), "--cc", "clang")
        equal(v.ask("greeting"), "by clang", str(flags))
        equal([v.ask("dispatch %d" % n) for n in range(6)], ["9", "1", "5", "10", "-3", "4"], str(flags))
        equal(v.ask("scale 7"), "2.0000", str(flags))


@case
def what_does_not_reach_is_refused_and_the_flag_named():
    v = Victim("basic")
    r = cc("fix", replacing(("const char *greeting(void)", 'return "far";')), v, flags=("-O2", "-fno-pic"), code=None)
    if r.code == OK:
        r = on(v, "load", tmp("fix.usp"), code=None)
    check(r.code in (BAD_PAYLOAD, UNSUPPORTED), "not refused\n%s" % r)
    contains(r.err, "-fPIC")
    equal(v.ask("greeting"), "hello")


@case
def library_functions_near_and_far():
    extra = """
    int snprintf(char *, unsigned long, const char *, ...);
    void *memcpy(void *, const void *, unsigned long);
    int getpid(void);
    unsigned long strlen(const char *);
    static char buffer[64];
    """
    for victim in ("basic", "basic_static", "basic_low", "basic_high"):
        # A static program has only the library functions that it uses itself.
        body = ('return "plain";' if victim == "basic_static" else
                'snprintf(buffer, sizeof(buffer), "pid %d", getpid()); return buffer;')
        v = with_fix(replacing(("const char *greeting(void)", body), extra=extra), victim=victim)
        equal(v.ask("greeting"), "plain" if victim == "basic_static" else "pid %d" % v.pid, victim)


@case
def ifuncs_of_libc():
    # memcpy, strlen and strchr are IFUNCs in glibc.
    v = with_fix(replacing(("const char *greeting(void)",
                            "memcpy(buffer, text, len(text) + 1); *find(buffer, '-') = '+'; return buffer;"), extra="""
    void *memcpy(void *, const void *, unsigned long);
    unsigned long strlen(const char *);
    char *strchr(const char *, int);
    static const char *volatile text = "a-b";
    static char buffer[64];
    static unsigned long (*volatile len)(const char *) = strlen;
    static char *(*volatile find)(const char *, int) = strchr;
    """))
    equal(v.ask("greeting"), "a+b")


@case
def function_pointers_compare_equal():
    v = with_fix(replacing(("int through_pointer(void)", "return same_pointer(pointed) * 100 + pointed();"),
                           ("int pointed(void)", "return 6;"),
                           extra="int same_pointer(int (*)(void)); extern int pointed(void);"))
    equal(v.ask("through_pointer"), "106")
    equal(v.ask("same_pointer"), "1")


@case
def the_red_zone_is_the_functions_own():
    v = with_fix(replacing(("int redzone(int n)", """volatile int v[24];
        for (int i = 0; i < 24; i++) v[i] = i * n + 1;
        int sum = 0;
        for (int i = 0; i < 24; i++) sum += v[i];
        return sum;""")))
    equal(v.ask("redzone 3"), str(828 + 24))
    on(v, "revert", "fix")
    equal(v.ask("redzone 3"), "828")


@case
def errno_belongs_to_the_target():
    v = with_fix(replacing(("int errno_of_close(void)", "errno = 0; close(-1); return errno + 1000;"),
                           extra="#include <errno.h>\nint close(int);"))
    equal(v.ask("errno_of_close"), "1009")


@case
def same_named_statics_in_two_files():
    v = Victim("same")
    before = Text(v.pid)
    text = """
    #include <usplice/payload.h>
    extern int state;
    static int fixed(void) { return state + 50; }
    USPLICE_REPLACE_IN("%s", helper, fixed);
    USPLICE_SYMBOL_IN("%s", state);
    """
    equal(v.ask("x"), "101 202")
    on(v, "load", cc("b", text % ("same_b.c", "same_b.c"), v))
    equal(v.ask("x"), "101 250")
    on(v, "revert", "b")
    on(v, "unload", "b")
    on(v, "load", cc("a", text % ("same_a.c", "same_b.c"), v))
    equal(v.ask("x"), "250 202")
    on(v, "revert", "a")
    equal(v.ask("x"), "101 202")
    before.same_as(Text(v.pid))


@case
def ambiguous_names_are_listed_not_guessed():
    v = Victim("same")
    r = cc("fix", replacing(("int helper(void)", "return 5;")), v, code=AMBIGUOUS)
    contains(r.err, "helper", "same_a.c", "same_b.c")
    r = cc("fix", replacing(("int same_a(void)", "return state;"), extra="extern int state;"), v, code=AMBIGUOUS)
    contains(r.err, "state", "same_a.c", "same_b.c")
    equal(v.ask("x"), "101 202")


@case
def several_sources_make_one_payload():
    v = Victim("basic")
    one = write_source("one", replacing(("int value(void)", "return helper_of_two();"), extra="int helper_of_two(void);"))
    two = write_source("two", "int helper_of_two(void);\nint helper_of_two(void) { return 77; }\n")
    run("cc", one, two, "-o", tmp("both.usp"), "--target", v.exe)
    on(v, "load", tmp("both.usp"))
    equal(v.ask("value"), "77")


main()
