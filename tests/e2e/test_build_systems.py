# SPDX-License-Identifier: MIT
"""usplice build with the build systems that programs come with; what is not installed is skipped. meson: test_build_tree.py."""

from harness import *
from projects import *

FILES = {"a.c": '#include "second.h"\n' + function("long answer(long n)", "return second(n) * 3 + 1;"),
         "second.c": '#include "second.h"\n' + function("__attribute__((noinline)) long second(long n)", "return n + STEP + (n >> 9);"),
         "second.h": "#define STEP 1\nlong second(long n);\n"}
EDIT = {"a.c": ("* 3", "* 5"), "second.h": ("STEP 1", "STEP 2")}
ASKED = {4: (16, 31)}


def project(files, command, built="prog", **how):
    return Project({**FILES, **files}, EDIT, command, built=built, **how)


def prepare(p, *commands, **how):
    """Each in the tree; then the build, and a copy of what it made as the target."""
    for command in commands:
        r = subprocess.run(command, cwd=p.tree, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **how)
        equal(r.returncode, 0, r.stdout)
    p.make()
    p.target = tmp(p.name + "-run", "prog")
    os.makedirs(os.path.dirname(p.target))
    shutil.copy(p.path(p.built), p.target)


def works(p, **how):
    report, r = p.build(**how)
    equal(p.named(report, "replaced"), ["answer", "second"], str(r))
    behaves(p, p.target, ASKED)
    p.make()  # the tree makes the original again
    equal(subprocess.run([p.path(p.built)], input="4\n", stdout=subprocess.PIPE, text=True).stdout, "ready\n16\n")


CMAKE = """
cmake_minimum_required(VERSION 3.10)
project(thing C)
set(CMAKE_C_FLAGS "-g -O2")
add_library(second STATIC second.c)
add_executable(prog main.c a.c)
target_link_libraries(prog second)
"""


@case
def cmake():
    need("cmake")
    for number, generator in enumerate(("Unix Makefiles", "Ninja")):
        need("make" if number == 0 else "ninja")
        p = project({"CMakeLists.txt": CMAKE}, ["cmake", "--build", "out", "-j2"], "out/prog", makefile=None, name="tree%d" % number)
        prepare(p, ["cmake", "-G", generator, "-S", ".", "-B", "out"])
        works(p)


@case
def autotools():
    """With its own knowledge of headers, and without, as debhelper configures."""
    need("autoreconf")
    need("automake")
    configure = "AC_INIT([thing], [1])\nAM_INIT_AUTOMAKE([foreign subdir-objects])\nAC_PROG_CC\nAC_PROG_RANLIB\nAM_PROG_AR\n" \
                "AC_CONFIG_FILES([Makefile])\nAC_OUTPUT\n"
    makefile = "bin_PROGRAMS = prog\nprog_SOURCES = main.c a.c\nprog_LDADD = libsecond.a\nnoinst_LIBRARIES = libsecond.a\n" \
               "libsecond_a_SOURCES = second.c second.h\n"
    for tracking in ("enable", "disable"):
        p = project({"configure.ac": configure, "Makefile.am": makefile}, ["make", "-j2"], makefile=None, name=tracking)
        prepare(p, ["autoreconf", "-fi"], ["./configure", "--%s-dependency-tracking" % tracking, "CFLAGS=-g -O2"])
        works(p)


@case
def ccache():
    """An object may come out of the cache, and no compiler runs."""
    need("ccache")
    os.environ["CCACHE_DIR"] = tmp("cache")
    p = project({}, ["make", "CC=ccache gcc"])
    prepare(p)
    works(p)
    works(p)


RULES = "#!/usr/bin/make -f\nexport DEB_BUILD_MAINT_OPTIONS = hardening=+all\n%:\n\tdh $@\noverride_dh_auto_install:\n" \
        "\tinstall -D prog debian/thing/usr/bin/prog\n"
CONTROL = "Source: thing\nMaintainer: A <a@localhost>\nBuild-Depends: debhelper-compat (= 13)\n\n" \
          "Package: thing\nArchitecture: any\nDepends: ${shlibs:Depends}, ${misc:Depends}\nDescription: thing\n"
CHANGELOG = "thing (1) unstable; urgency=low\n\n  * It.\n\n -- A <a@localhost>  Mon, 02 Jan 2023 00:00:00 +0000\n"


@case
def debian_packages():
    """By debian/rules, and by the whole of dpkg-buildpackage, which cleans before; the target is what is in the package."""
    need("dh")
    need("dpkg-buildpackage")
    makefile = MAKEFILE.replace("CFLAGS = -g -O2", "CFLAGS ?= -g -O2")
    for name, command in (("rules", ["debian/rules", "build"]), ("package", ["dpkg-buildpackage", "-b", "-uc", "-us", "-d"])):
        debian = {"debian/rules": RULES, "debian/control": CONTROL, "debian/changelog": CHANGELOG, "debian/source/format": "3.0 (native)\n"}
        p = project(debian, command, makefile=makefile, name=name)
        os.chmod(p.path("debian/rules"), 0o755)
        prepare(p)
        works(p)


main()
