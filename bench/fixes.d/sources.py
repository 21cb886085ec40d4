# SPDX-License-Identifier: MIT
"""Sources of Debian packages, and what is missing to build them, without touching the machine's own configuration.

apt is run with a configuration, lists and a cache of its own below the work directory; where the mirror is, the
machine's configuration says. Development packages that are not installed are unpacked into WORK/root; the program then
runs in a mount namespace of its own, where that lies over /usr (only there, and only as long as it runs).
"""

import glob
import os
import re
import shutil
import subprocess
import sys

from harness import Failure

SUITE = "bookworm"


class Unavailable(Exception):
    """Cannot be had here, and that is nobody's fault: the fix is skipped, with this reason."""


def call(argv, log=None, error=Unavailable, **how):
    """Runs a command, output into the file log; raises the error with what seems to be the reason."""
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          errors="replace", **how)
    if log:
        with open(log, "a") as f:
            f.write("$ %s\n%s" % (" ".join(argv), done.stdout))
    if done.returncode:
        lines = [line for line in done.stdout.splitlines() if line.strip()] or ["it says nothing"]
        reason = next((line for line in lines if re.match(r"E: |.*\b[Ee]rror\b", line)), lines[-1])
        shown = re.sub(r" -o \S+", "", " ".join(argv))
        raise error("%s fails: %s" % (shown[:80], reason.strip()))
    return done.stdout


class Apt:
    def __init__(self, work):
        self.work, self.directory, self.failed = work, os.path.join(work, "apt"), None

    def path(self, *names):
        return os.path.join(self.directory, *names)

    def run(self, *argv, cwd=None):
        own = ["Dir::Etc::sourcelist=" + self.path("sources.list"), "Dir::Etc::sourceparts=/dev/null",
               "Dir::State::lists=" + self.path("lists"), "Dir::Cache=" + self.path("cache"),
               "APT::Sandbox::User=root", "Acquire::Retries=2"]
        options = [word for o in own for word in ("-o", o)]
        return call(["apt-get"] + options + list(argv), self.path("log"), cwd=cwd)

    def ready(self):
        """Lists of our own, fetched once for each work directory."""
        if self.failed:
            raise self.failed
        try:
            if not os.path.exists(self.path("ready")):
                self.update()
        except Unavailable as why:
            self.failed = why
            raise

    def update(self):
        if not shutil.which("apt-get") or not shutil.which("dpkg-source"):
            raise Unavailable("no apt-get and dpkg-source here (the package dpkg-dev has the latter)")
        for name in ("lists/partial", "cache/archives/partial", "src"):
            os.makedirs(self.path(name), exist_ok=True)
        with open(self.path("sources.list"), "w") as f:
            f.writelines(self.entries())
        self.run("update", "--error-on=any")
        open(self.path("ready"), "w").close()

    @staticmethod
    def entries():
        """Each entry that the machine has for this suite, with its sources."""
        out = call(["apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE) $(COMPONENT)",
                    "Created-By: Packages"])
        wanted = {(SUITE, "main"), (SUITE + "-updates", "main"), (SUITE + "-security", "main")}
        entries = sorted({tuple(line.split()) for line in out.splitlines() if len(line.split()) == 3})
        entries = [e for e in entries if e[1:] in wanted]
        if not entries:
            raise Unavailable("this machine's apt knows no mirror of Debian %s" % SUITE)
        key = "/usr/share/keyrings/debian-archive-keyring.gpg"
        signed = "[signed-by=%s] " % key if os.path.exists(key) else ""
        return ["%s %s%s %s %s\n" % ((kind, signed) + e) for e in entries for kind in ("deb", "deb-src")]

    def dsc(self, package, version):
        """The .dsc of the source package, fetched if it is not there yet."""
        path = self.path("src", "%s_%s.dsc" % (package, re.sub(r"^\d+:", "", version)))
        if not os.path.exists(path):
            self.ready()
            self.run("source", "--download-only", "%s=%s" % (package, version), cwd=self.path("src"))
        return path

    def deb(self, package, version):
        """A binary package, as Debian ships it; fetched if it is not there yet."""
        directory = self.path("deb", "%s=%s" % (package, version))
        if not glob.glob(os.path.join(directory, "*.deb")):
            self.ready()
            os.makedirs(directory, exist_ok=True)
            self.run("download", "%s=%s" % (package, version), cwd=directory)
        return glob.glob(os.path.join(directory, "*.deb"))[0]

    @staticmethod
    def missing(packages):
        """Those that are not installed on this machine."""
        out = subprocess.run(["dpkg-query", "-W", "-f", "${db:Status-Status} ${Package}\n"] + list(packages),
                             stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
        there = {line.split()[1] for line in out.splitlines() if line.startswith("installed ")}
        return sorted(set(packages) - there)

    def have(self, packages):
        """Unpacks packages and what they depend on below WORK/root, if they are not installed."""
        missing = [name for name in self.missing(packages) if not os.path.exists(self.path("have", name))]
        if not missing:
            return
        self.ready()
        for old in glob.glob(self.path("cache/archives/*.deb")):
            os.unlink(old)
        self.run("install", "--download-only", "--no-install-recommends", "--yes", *missing)
        for deb in glob.glob(self.path("cache/archives/*.deb")):
            call(["dpkg-deb", "-x", deb, os.path.join(self.work, "root")], self.path("log"))
        self.alternatives(os.path.join(self.work, "root/usr/bin"))
        os.makedirs(self.path("have"), exist_ok=True)
        for name in missing:
            open(self.path("have", name), "w").close()

    @staticmethod
    def alternatives(directory):
        """The names that a package's installation script would have made."""
        for name in ("aclocal", "automake"):
            found = glob.glob(os.path.join(directory, name + "-*"))
            if found and not os.path.lexists(os.path.join(directory, name)):
                os.symlink(os.path.basename(found[0]), os.path.join(directory, name))


def overlay(work):
    """This program again from its start, with WORK/root over /usr. Returns when that is so; raises Unavailable."""
    root = os.path.join(work, "root", "usr")
    if os.environ.get("USPLICE_FIXES_ROOT") == root:
        return
    script = 'mount -t overlay -o ro,lowerdir="$0:/usr" none /usr && exec "$@"'
    call(["unshare", "-m", "sh", "-c", script, root, "true"])
    os.environ["USPLICE_FIXES_ROOT"] = root
    sys.stdout.flush()
    os.execvp("unshare", ["unshare", "-m", "sh", "-c", script, root, sys.executable] + sys.argv)


# --- a tree -----------------------------------------------------------------------------------------------------------

def flags(tree):
    """Debian's flags for what is built in this tree, as variables of the environment."""
    def get(*names):
        return " ".join(call(["dpkg-buildflags", "--get", name], cwd=tree).strip() for name in names)
    return {"FLAGS": get("CFLAGS", "CPPFLAGS"), "LINK": get("LDFLAGS")}


def words(argv, variables):
    """$FLAGS and $LINK put in."""
    return [re.sub(r"\$(\w+)", lambda m: variables[m.group(1)], word) for word in argv]


def unpack(dsc, tree, patch, log):
    """The source as it was before this patch of the series; None: as it is built."""
    shutil.rmtree(tree, ignore_errors=True)
    call(["dpkg-source", "--no-check", "--skip-patches", "-x", dsc, tree], log, Failure)
    with open(os.path.join(tree, "debian/patches/series")) as f:
        series = [line.split("#")[0].split() for line in f]
    for name, *strip in [words_ for words_ in series if words_]:
        if name == patch:
            return
        call(["patch", "-s", *(strip or ["-p1"]), "-i", os.path.join("debian/patches", name)], log, Failure, cwd=tree)
    if patch:
        raise Failure("%s is not in the series of %s" % (patch, os.path.basename(dsc)))


def unpack_patches(dsc, directory, log):
    """A source package's debian/patches alone."""
    os.makedirs(directory, exist_ok=True)
    archive = dsc[:-len(".dsc")] + ".debian.tar.xz"
    call(["tar", "-xf", archive, "-C", directory, "--strip-components=2", "debian/patches"], log, Failure)


def unpack_file(deb, path, directory, log):
    """One file of a binary package, as it would be installed: its path."""
    call(["dpkg-deb", "-x", deb, directory], log, Failure)
    return os.path.join(directory, path.lstrip("/"))


def shell(script, tree, variables, log, argv=()):
    environment = {k: v for k, v in os.environ.items() if not re.match(r"(MAKE|DESTDIR$|CFLAGS$|USPLICE)", k)}
    environment.update(variables, LC_ALL="C.UTF-8")
    call(["sh", "-ec", script, "sh"] + list(argv), log, Failure, cwd=tree, env=environment)
