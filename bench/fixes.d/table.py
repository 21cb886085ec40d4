# SPDX-License-Identifier: MIT
"""The fixes: Debian 12's own, of these packages at these versions.

configure and prepare are run by a shell in the unpacked tree, with $FLAGS (the compiler's) and $LINK (the linker's) as
dpkg-buildflags gives them; make is what `usplice build` is told, with the same words put in. linked is the file of the
build that runs. verdict is what has to come out; layout, a structure that the refusal has to name. server: how it is
run (servers.py).
"""

import collections

Fix = collections.namedtuple(
    "Fix", "name package version patch needs configure prepare make linked verdict layout server")
JOBS = "-j2"


def fix(name, package, version, patch, linked, make, needs="", configure="true", prepare="true", verdict="ready",
        layout=None, server=None):
    return Fix(name, package, version, patch, needs.split(), configure, prepare, make, linked, verdict, layout, server)


NGINX = dict(package="nginx", version="1.22.1-9+deb12u9", linked="objs/nginx",
             needs="libpcre2-dev libssl-dev zlib1g-dev",
             configure='./configure --with-cc-opt="$FLAGS" --with-ld-opt="$LINK" --with-threads '
                       '--with-http_ssl_module --with-http_v2_module --with-http_mp4_module --with-http_dav_module '
                       '--with-stream --with-stream_ssl_module',
             make=["make", JOBS, "-f", "objs/Makefile", "binary"])

FIXES = [
    fix("memcached-CVE-2026-47783", "memcached", "1.6.18-1+deb12u1", "0008-CVE-2026-47783-CVE-2026-47784.patch",
        needs="libevent-dev libsasl2-dev",
        configure='./configure --enable-sasl --enable-sasl-pwdb --enable-proxy CFLAGS="$FLAGS" LDFLAGS="$LINK"',
        prepare="make -C vendor", make=["make", JOBS, "memcached"], linked="memcached", server="memcached"),
    fix("expat-CVE-2024-45491", "expat", "2.5.0-1+deb12u2", "CVE-2024-45491.patch",
        needs="autoconf automake libtool",
        configure='cd expat && ./buildconf.sh && ./configure CFLAGS="$FLAGS" LDFLAGS="$LINK" --without-docbook '
                  '--without-examples --without-tests --without-xmlwf --disable-static',
        make=["make", JOBS, "-C", "expat/lib"], linked="expat/lib/.libs/libexpat.so.1.8.10", verdict="no-change"),
    fix("libevent-CVE-2026-63379", "libevent", "2.1.12-stable-8+deb12u1", "CVE-2026-63379.patch",
        needs="autoconf automake libtool",
        configure='autoreconf -fi && ./configure CFLAGS="$FLAGS" LDFLAGS="$LINK" --disable-static '
                  '--disable-samples --disable-libevent-regress --disable-openssl',
        make=["make", JOBS], linked=".libs/libevent-2.1.so.7.0.1", server="evhttpd"),
    fix("nginx-CVE-2026-42945", patch="CVE-2026-42945.patch", server="nginx", **NGINX),
    fix("nginx-CVE-2026-40701", patch="CVE-2026-40701.patch", verdict="refused", layout="ngx_ssl_ocsp_ctx_s", **NGINX),
    fix("redis-CVE-2025-67733", "redis", "5:7.0.15-1~deb12u10", "CVE-2025-67733.patch", needs="libssl-dev",
        prepare="make -C deps hiredis linenoise lua hdr_histogram",
        make=["make", "-C", "src", JOBS, "redis-server", "MALLOC=libc", "BUILD_TLS=yes", "OPTIMIZATION=-O2",
              "CFLAGS=$FLAGS", "LDFLAGS=$LINK"],
        linked="src/redis-server", server="redis"),
    fix("unbound-CVE-2024-8508", "unbound", "1.17.1-2+deb12u4", "CVE-2024-8508.patch",
        needs="libevent-dev libssl-dev libexpat1-dev bison flex",
        configure='./configure CFLAGS="$FLAGS" LDFLAGS="$LINK" --with-pthreads --with-libevent --with-ssl '
                  '--enable-subnet --disable-shared --enable-static --disable-flto',
        make=["make", JOBS, "unbound"], linked="unbound", server="unbound"),
    fix("haproxy-CVE-2023-45539", "haproxy", "2.6.12-1+deb12u3",
        "BUG-MINOR-h1-do-not-accept-as-part-of-the-URI-compon.patch", needs="libpcre2-dev libssl-dev zlib1g-dev",
        make=["make", JOBS, "TARGET=linux-glibc", "USE_OPENSSL=1", "USE_ZLIB=1", "USE_PCRE2=1", "DEBUG_CFLAGS=$FLAGS",
              "CPU_CFLAGS=-O2", "LDFLAGS=$LINK", "haproxy"],
        linked="haproxy", server="haproxy"),
]
