# SPDX-License-Identifier: MIT
"""Stock servers, as Debian ships them: nginx with its master and workers, redis by the demo."""

import http.client
import signal
import threading

from harness import *

CONFIGURATION = """
daemon off;
%(user)s
worker_processes 2;
pid %(dir)s/nginx.pid;
error_log %(dir)s/error.log;
events { worker_connections 64; }
http {
    access_log off;
    client_body_temp_path %(dir)s/body;
    proxy_temp_path %(dir)s/proxy;
    fastcgi_temp_path %(dir)s/fastcgi;
    uwsgi_temp_path %(dir)s/uwsgi;
    scgi_temp_path %(dir)s/scgi;
    server { listen 127.0.0.1:%(port)d; root %(dir)s/html; }
}
"""

# Last-Modified comes from ngx_http_time().
FIXED_TIME = """
#include <usplice/payload.h>
#include <string.h>
static unsigned char *fixed(unsigned char *buffer, long t)
{
    (void)t;
    return (unsigned char *)memcpy(buffer, "Thu, 01 Jan 1970 00:00:42 GMT", 29) + 29;
}
USPLICE_REPLACE(ngx_http_time, fixed);
"""


class Load(threading.Thread):
    """Requests over kept connections, without a pause; every answer is looked at."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.port, self.go, self.served, self.failed, self.answers = port, True, 0, [], set()
        self.reloading = False

    def run(self):
        connection, used = None, 0
        while self.go:
            try:
                used = used + 1 if connection else 0
                connection = connection or http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
                connection.request("GET", "/x.txt")
                response = connection.getresponse()
                body = response.read()
                if response.status != 200 or body != b"content\n":
                    self.failed.append("%d %r" % (response.status, body[:40]))
                self.answers.add(response.getheader("Last-Modified"))
                self.served += 1
                if response.getheader("Connection") == "close":  # nginx ends a connection now and then
                    connection = None
            except http.client.RemoteDisconnected:
                # It may close a kept connection that is idle between two requests.
                connection = None
            except (ConnectionResetError, BrokenPipeError) as error:
                # So a worker that ends closes its idle connections: a request on one may just be on its way.
                if not (used and self.reloading):
                    self.failed.append(repr(error))
                connection = None
            except Exception as error:
                self.failed.append(repr(error))
                connection = None


def children(pid):
    with open("/proc/%d/task/%d/children" % (pid, pid)) as f:
        return [int(x) for x in f.read().split()]


def modified(port):
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    c.request("GET", "/x.txt")
    r = c.getresponse()
    r.read()
    return r.getheader("Last-Modified")


@case
def nginx_master_and_workers():
    nginx = need("nginx")
    port = free_port()
    os.mkdir(tmp("html"))
    with open(tmp("html", "x.txt"), "w") as f:
        f.write("content\n")
    with open(tmp("nginx.conf"), "w") as f:
        f.write(CONFIGURATION % dict(dir=tmp(), port=port, user="user nobody nogroup;" if os.getuid() == 0 else ""))
    server = subprocess.Popen([nginx, "-p", tmp(), "-c", tmp("nginx.conf"), "-e", tmp("error.log")],
                              stderr=subprocess.DEVNULL)

    def end():
        server.terminate()
        server.wait(PATIENCE)

    at_end(end)
    until(lambda: os.path.exists(tmp("nginx.pid")) and len(children(server.pid)) == 2, "two workers")

    def answers():
        try:
            return modified(port)
        except OSError:
            return None

    original = until(answers, "nginx answers")
    workers = children(server.pid)
    everyone = [server.pid] + workers
    before = {pid: Text(pid) for pid in everyone}
    p = cc("fix", FIXED_TIME, os.path.realpath(nginx))
    load = Load(port)
    load.start()
    until(lambda: load.served > 50, "requests are served")
    for pid in everyone:
        on(pid, "load", p)
    for _ in range(20):
        equal(modified(port), "Thu, 01 Jan 1970 00:00:42 GMT")
    # New workers are forked from the patched master and are patched, too.
    load.reloading = True
    os.kill(server.pid, signal.SIGHUP)
    new = until(lambda: [c for c in children(server.pid) if c not in workers] if
                len(set(children(server.pid)) - set(workers)) == 2 and not set(children(server.pid)) & set(workers) else None,
                "new workers, and the old ones gone")
    served = load.served
    until(lambda: load.served > served + 2, "requests are served by the new workers")
    load.reloading = False
    for _ in range(20):
        equal(modified(port), "Thu, 01 Jan 1970 00:00:42 GMT")
    for pid in [server.pid] + new:
        equal(applied(pid), ["fix"])
        on(pid, "revert", "fix")
        on(pid, "unload", "fix")
    for _ in range(20):
        equal(modified(port), original)
    load.go = False
    load.join(PATIENCE)
    equal(load.failed, [], "failed requests of %d" % load.served)
    equal(load.answers, {original, "Thu, 01 Jan 1970 00:00:42 GMT"}, "answers seen")
    # nginx itself loads more libraries (for getpwnam) when it reads its configuration again.
    for pid in [server.pid] + new:
        before[server.pid].same_as(Text(pid), may_load=True)


@case
def redis_by_the_demo():
    need("redis-server")
    need("redis-benchmark")
    need("redis-cli")
    out = subprocess.run([os.path.join(TOP, "scripts", "demo"), os.environ.get("BUILD", ".")], stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, text=True, timeout=120)
    check(out.returncode == 0, "the demo failed\n" + out.stdout)
    contains(out.stdout, "text identical to before: yes", "failed: 0", "patched by usplice", "patched again")
    check("\x1b[" not in out.stdout, "colours where there is no terminal")


main()
