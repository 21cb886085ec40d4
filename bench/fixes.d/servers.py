# SPDX-License-Identifier: MIT
"""The servers that are fixed: how each is started on loopback, what it is asked, what shows the flaw.

A server has start(program, port): the process and what it takes until it answers; probe(port): a short text that is
another one with the flaw than without, as old and new say; client(port): a function that makes one request whose
answer the fix does not change, and raises an error if that is not what it should be. The requests of the load go
through the functions that are replaced, where a request does.
"""

import os
import re
import socket
import struct
import subprocess

import harness
from harness import tmp

PATIENCE = 10  # seconds, for an answer


def connect(port):
    s = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return s


def exactly(s, n):
    data = b""
    while len(data) < n:
        more = s.recv(n - len(data))
        if not more:
            raise OSError("the connection ended after %d of %d bytes" % (len(data), n))
        data += more
    return data


def all_of(port, request, enough=None):
    """What comes until the connection ends, or until enough(data)."""
    data = b""
    with connect(port) as s:
        s.sendall(request)
        while not (enough and enough(data)):
            more = s.recv(65536)
            if not more:
                break
            data += more
    return data


def same(got, wanted):
    if got != wanted:
        raise OSError("%r instead of %r" % (got[:200], wanted))


def write(name, text, mode=0o644):
    with open(tmp(name), "w") as f:
        f.write(text)
    os.chmod(tmp(name), mode)
    return tmp(name)


class Server:
    processes = 1  # that act: with the children that it starts

    def launch(self, *argv, env=None):
        with open(tmp("server.log"), "ab") as log:
            process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=tmp(),
                                       env=dict(os.environ, **(env or {})))

        def end():
            process.terminate()
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(PATIENCE)

        harness.at_end(end)
        return process

    def answers(self, port):
        try:
            self.client(port)()
            return True
        except OSError:
            return False


class Http(Server):
    request = b"GET /x.txt HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n"

    def client(self, port):
        s = connect(port)

        def ask():
            s.sendall(self.request)
            head = b""
            while b"\r\n\r\n" not in head:
                head += exactly(s, 1) if head else exactly(s, 64)
            head, rest = head.split(b"\r\n\r\n", 1)
            same(head.split(b"\r\n")[0], b"HTTP/1.1 200 OK")
            length = int(re.search(rb"(?i)content-length: *(\d+)", head).group(1))
            same(rest + exactly(s, length - len(rest)), b"content")
        return ask


class Nginx(Http):
    """The captured text of a rewrite with arguments, used in a "set" after it, is escaped and overruns its buffer."""
    old, new, processes = "[/a%2]", "[/a+b]", 3

    def start(self, program, port):
        os.chmod(tmp(), 0o755)
        os.mkdir(tmp("logs"))
        file = write("nginx.conf", """
            daemon off; master_process on; worker_processes 2; pid %(dir)s/nginx.pid; error_log %(dir)s/error.log;
            %(user)s
            events { worker_connections 512; }
            http {
                access_log off; keepalive_requests 1000000000; client_body_temp_path %(dir)s/body;
                proxy_temp_path %(dir)s/proxy; fastcgi_temp_path %(dir)s/fastcgi; uwsgi_temp_path %(dir)s/uwsgi;
                scgi_temp_path %(dir)s/scgi;
                server {
                    listen 127.0.0.1:%(port)d;
                    location = /x.txt { rewrite ^(.*) /new?c=1; set $text $1; return 200 "content"; }
                    location / { rewrite ^(.*) /new?c=1; set $text $1; return 200 "[$text]"; }
                }
            }""" % {"dir": tmp(), "port": port, "user": "user nobody nogroup;" if os.geteuid() == 0 else ""})
        return self.launch(program, "-p", tmp(), "-c", file, "-e", tmp("error.log"))

    def probe(self, port):
        got = all_of(port, b"GET /a+b HTTP/1.0\r\n\r\n")
        return got.split(b"\r\n\r\n", 1)[-1].decode("latin1")


class Evhttpd(Http):
    """The fields of a chunked request's trailer are taken for header fields."""
    old, new = "X-Admin is among the header fields", "X-Admin is not"

    def start(self, library, port):
        here = os.path.dirname(os.path.abspath(__file__))
        where = os.path.dirname(library)
        tree = os.path.join(os.path.dirname(where), "tree")
        link = os.path.join(where, "libevent-2.1.so.7")
        if not os.path.exists(link):
            os.symlink(os.path.basename(library), link)
        # Not libevent.so: that one in WORK/root or /usr is not ours.
        subprocess.run(["cc", "-O2", "-o", tmp("evhttpd"), os.path.join(here, "evhttpd.c"),
                        "-I" + os.path.join(tree, "include"), link, "-pthread"], check=True)
        return self.launch(tmp("evhttpd"), str(port), "4", env={"LD_LIBRARY_PATH": where})

    def probe(self, port):
        got = all_of(port, b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
                           b"3\r\nabc\r\n0\r\nX-Admin: yes\r\n\r\n")
        same(got.split(b"\r\n")[0], b"HTTP/1.1 200 OK")
        return self.old if b"X-Admin=yes" in got else self.new


class Haproxy(Http):
    """"#" is accepted in the path of a request."""
    old, new = "HTTP/1.1 200 OK", "HTTP/1.1 400 Bad request"

    def start(self, program, port):
        file = write("haproxy.cfg", """
global
    nbthread 2
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
frontend f
    bind 127.0.0.1:%d
    http-request return status 200 content-type text/plain string content
""" % port)
        return self.launch(program, "-f", file, "-db")

    def probe(self, port):
        got = all_of(port, b"GET /a#b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        return got.split(b"\r\n")[0].decode("latin1")


class Memcached(Server):
    """Of a user's several lines in the password file only the first is looked at."""
    old, new = "the second password gives status 0x20", "the second password gives status 0x0"

    def start(self, program, port):
        os.chmod(tmp(), 0o755)
        write("memcached.conf", "mech_list: plain\n")
        passwords = write("passwords", "bob@h:first\nbob@h:second\n")
        user = ["-u", "nobody"] if os.geteuid() == 0 else []
        return self.launch(program, "-S", "-l", "127.0.0.1", "-p", str(port), "-U", "0", "-t", "4", *user,
                           env={"MEMCACHED_SASL_PWDB": passwords, "SASL_CONF_PATH": tmp()})

    @staticmethod
    def command(s, opcode, key=b"", value=b""):
        """(status, body) of a command of the binary protocol."""
        s.sendall(struct.pack(">BBHBBHIIQ", 0x80, opcode, len(key), 0, 0, 0, len(key) + len(value), 0, 0) + key + value)
        magic, echo, _, _, _, status, length, _, _ = struct.unpack(">BBHBBHIIQ", exactly(s, 24))
        same((magic, echo), (0x81, opcode))
        return status, exactly(s, length)

    def login(self, s, password):
        return self.command(s, 0x21, b"PLAIN", b"\0bob@h\0" + password)[0]

    def client(self, port):
        def ask():
            with connect(port) as s:
                same(self.login(s, b"first"), 0)
                same(self.command(s, 0x0a)[0], 0)
        return ask

    def probe(self, port):
        with connect(port) as s:
            return "the second password gives status %#x" % self.login(s, b"second")


class Redis(Server):
    """A line end in an argument splits the error reply that repeats it."""
    old, new = "2 of 2 replies split", "0 of 2 replies split"
    split = ((b"FUNCTION", b"LIST", b"x\r\n+INJECTED"), (b"EVAL", b"error({err='x\\r\\n+INJECTED'})", b"0"))

    def start(self, program, port):
        return self.launch(program, "--port", str(port), "--bind", "127.0.0.1", "--dir", tmp(), "--save", "",
                           "--appendonly", "no", "--daemonize", "no")

    @staticmethod
    def words(*argv):
        return b"*%d\r\n" % len(argv) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in argv)

    def client(self, port):
        s = connect(port)
        requests = ((self.words(b"SET", b"key", b"content"), b"+OK\r\n"),
                    (self.words(b"GET", b"key"), b"$7\r\ncontent\r\n"),
                    (self.words(b"EVAL", b"return redis.status_reply('FINE')", b"0"), b"+FINE\r\n"),
                    (self.words(b"FUNCTION", b"LIST", b"x"), b"-ERR Unknown argument x\r\n"))

        def ask():
            for request, answer in requests:
                s.sendall(request)
                same(exactly(s, len(answer)), answer)
        return ask

    def probe(self, port):
        def is_split(*command):
            got = all_of(port, self.words(*command) + self.words(b"ECHO", b"end"),
                         enough=lambda data: data.endswith(b"$3\r\nend\r\n"))
            return b"\r\n+INJECTED" in got
        return "%d of %d replies split" % (sum(is_split(*command) for command in self.split), len(self.split))


class RedisRestore(Redis):
    """RESTORE takes a stream in which two consumers have one entry, which is freed twice later, and a map that says in
    more bytes than it has to how long a field is."""
    old, new = "a stream OK, a map OK", "a stream refused, a map refused"
    dumps = {
        "stream": "0f01100000000000000001000000000000000025250000000a00010100010101856669656c64060001020100010001857661"
                  "6c7565060401ff01010001076d7967726f7570010001000000000000000100000000000000004a79898f9f01000001020963"
                  "6f6e73756d6572414a79898f9f010000010000000000000001000000000000000009636f6e73756d6572425479898f9f0100"
                  "0001000000000000000100000000000000000900f6ea7b6cb8b8d8b4",
        "map": "091101fe040000000100ff00040076616c31ff0900f9d5a4f77d003f1b",
    }

    def probe(self, port):
        def is_taken(kind):
            self.asked = getattr(self, "asked", 0) + 1
            got = all_of(port, self.words(b"RESTORE", b"%s%d" % (kind.encode(), self.asked), b"0",
                                          bytes.fromhex(self.dumps[kind])),
                         enough=lambda data: data.endswith(b"\r\n"))
            return {b"+OK\r\n": "OK", b"-ERR Bad data format\r\n": "refused"}.get(got, repr(got))
        return ", ".join("a %s %s" % (kind, is_taken(kind)) for kind in self.dumps)


class Unbound(Server):
    """Names are compressed without bound: 400 of them at most 120 times now, so that the answer is longer."""
    old, new = "8328 bytes", "13948 bytes"

    def start(self, program, port):
        os.chmod(tmp(), 0o755)
        file = write("unbound.conf", """
server:
  interface: 127.0.0.1
  port: %(port)d
  num-threads: 4
  do-daemonize: no
  chroot: ""
  username: ""
  directory: "%(dir)s"
  pidfile: "%(dir)s/unbound.pid"
  use-syslog: no
  logfile: "%(dir)s/unbound.log"
  access-control: 127.0.0.0/8 allow
  module-config: "iterator"
  minimal-responses: no
  local-zone: "x.test." static
  local-zone: "y.test." static
  local-data: "y.test. IN A 127.1.2.3"
%(mx)s
remote-control:
  control-enable: no
""" % {"dir": tmp(), "port": port,
       "mx": "\n".join('  local-data: "x.test. IN MX 10 m%d.mail.provider.x.test."' % i for i in range(400))})
        return self.launch(program, "-c", file)

    @staticmethod
    def question(name, kind):
        labels = b"".join(bytes([len(label)]) + label for label in name.split(b"."))
        return struct.pack(">HHHHHH", 0x1234, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">HH", kind, 1)

    def client(self, port):
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.settimeout(PATIENCE)
        s.connect(("127.0.0.1", port))

        def ask():
            s.send(self.question(b"y.test", 1))
            got = s.recv(65536)
            same((got[:2], got[3] & 15, got[6:8], got[-4:]), (b"\x12\x34", 0, b"\0\1", bytes([127, 1, 2, 3])))
        return ask

    def probe(self, port):
        question = self.question(b"x.test", 15)
        with connect(port) as s:
            s.sendall(struct.pack(">H", len(question)) + question)
            got = exactly(s, struct.unpack(">H", exactly(s, 2))[0])
        same(got[6:8], struct.pack(">H", 400))
        return "%d bytes" % len(got)


SERVERS = {"nginx": Nginx, "evhttpd": Evhttpd, "haproxy": Haproxy, "memcached": Memcached, "redis": Redis,
           "redis-restore": RedisRestore, "unbound": Unbound}
