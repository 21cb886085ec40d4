# SPDX-License-Identifier: MIT
"""usplice build: a target without symbols, and the file that the build links in its place: the same program or not."""

import struct

from harness import *
from projects import *

CODE = """
static const char *const words[] = {"nought", "one", "two"};
static long calls;
__attribute__((noinline)) static long length(const char *word)
{
	long n = 0;
	while (word[n])
		n++;
	return n;
}
long answer(long n)
{
	calls++;
	return n < 0 ? calls : length(words[n % 3]) * 10;
}
"""
EDIT = ("length(words[n % 3]) * 10", "length(words[n % 3]) * 100")
ASKED = {0: (60, 600), 4: (30, 300)}


def built_as(number):
    return ["make", "CFLAGS=-g -O2", "LDFLAGS=-Wl,--build-id=0x%040x" % number]


def stripped():
    """A project, and its program as another build would have linked it, without symbols."""
    p = Project(CODE, EDIT, command=built_as(1))
    program = p.install()
    subprocess.run(["strip", program], check=True)
    p.make(["make", "clean"])
    p.command = built_as(2)
    return p, program


def headers_of(data):
    """(e_shoff, [(name, offset, size)]) of an ELF file."""
    at, = struct.unpack_from("<Q", data, 0x28)
    number, strings = struct.unpack_from("<HH", data, 0x3c)
    rows = [struct.unpack_from("<IIQQQQ", data, at + 64 * i) for i in range(number)]
    base = rows[strings][4]
    return at, [(data[base + r[0]:data.index(b"\0", base + r[0])].decode(), r[4], r[5]) for r in rows]


def edit(program, change):
    with open(program, "rb") as f:
        data = bytearray(f.read())
    change(data)
    os.unlink(program)
    with open(program, "wb") as f:
        f.write(data)
    os.chmod(program, 0o755)


@case
def another_build_id_only():
    p, program = stripped()
    report, r = p.build()
    equal((report["verdict"], p.named(report, "replaced")), ("ready", ["answer"]), str(r))
    behaves(p, program, ASKED)


@case
def one_byte_is_another():
    for name in (".text", ".rodata", ".data.rel.ro", ".eh_frame"):
        p, program = stripped()

        def change(data):
            offset, size = [row[1:] for row in headers_of(data)[1] if row[0] == name][0]
            data[offset + size - 1] ^= 1
        edit(program, change)
        _, r = p.build(code=NOT_FOUND)
        contains(r.err, program, "another program", name + " is not the same")
        shutil.rmtree(os.path.dirname(program))
        shutil.rmtree(p.tree)


@case
def no_section_headers():
    p, program = stripped()

    def change(data):
        struct.pack_into("<Q", data, 0x28, 0)
        struct.pack_into("<HH", data, 0x3c, 0, 0)
    edit(program, change)
    _, r = p.build(code=NOT_FOUND)
    contains(r.err, program, "no section headers")


@case
def other_flags():
    p, program = stripped()
    p.command = ["make", "CFLAGS=-g -O1", "LDFLAGS=-Wl,--build-id=0x%040x" % 1]  # and the very build-id
    _, r = p.build(code=NOT_FOUND)
    contains(r.err, program, "another program: its .")


@case
def linked_without_symbols():
    p = Project(CODE, EDIT, command=["make", "CFLAGS=-g -O2", "LDFLAGS=-s"])
    p.install()
    _, r = p.build(code=NOT_FOUND)
    contains(r.err, "neither", "has a symbol table", "without -s")


main()
