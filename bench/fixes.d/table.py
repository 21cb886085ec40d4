# SPDX-License-Identifier: MIT
"""The fixes: Debian 12's own, of these packages at these versions.

configure and prepare are run by a shell in the unpacked tree, with $FLAGS (the compiler's) and $LINK (the linker's) as
dpkg-buildflags gives them; make is what `usplice build` is told, with the same words put in. linked is the file of the
build that runs. verdict is what has to come out; layout, a structure that the refusal has to name. server: how it is
run (servers.py).

Of some, what runs is Debian's own binary, stripped, as the package `shipped` has it. The source is the one that it was
built from, built as Debian builds it; the patches are those that came with a later version, `fixed`. Their make cleans
first: dh_auto_configure turns automake's tracking of dependencies off.
"""

import collections

Fix = collections.namedtuple(
    "Fix", "name package version patches needs configure prepare make linked verdict layout server shipped fixed")
Shipped = collections.namedtuple("Shipped", "package version path")
JOBS = "-j2"


def fix(name, package, version, patch, linked, make, needs="", configure="true", prepare="true", verdict="ready",
        layout=None, server=None, shipped=None, fixed=None):
    """patch: one, or several, with blanks between; fixed: the version that has them, if it is not that one."""
    return Fix(name, package, version, patch.split(), needs.split(), configure, prepare, make, linked, verdict, layout,
               server, shipped, fixed or version)


NGINX = dict(package="nginx", version="1.22.1-9+deb12u9", linked="objs/nginx",
             needs="libpcre2-dev libssl-dev zlib1g-dev",
             configure='./configure --with-cc-opt="$FLAGS" --with-ld-opt="$LINK" --with-threads '
                       '--with-http_ssl_module --with-http_v2_module --with-http_mp4_module --with-http_dav_module '
                       '--with-stream --with-stream_ssl_module',
             make=["make", JOBS, "-f", "objs/Makefile", "binary"])

DEBHELPER = "dh_update_autotools_config && dh_autoreconf && debian/rules override_dh_auto_configure"


def cleaned(*targets):
    return ["sh", "-ec", "make clean; " + "; ".join("make %s %s" % (JOBS, target) for target in targets)]


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
    fix("memcached-shipped", "memcached", "1.6.18-1", patch="0008-CVE-2026-47783-CVE-2026-47784.patch "
        "0009-CVE-2023-46852.patch CVE-2023-46853.patch", fixed="1.6.18-1+deb12u1", verdict="no-change",
        needs="debhelper libevent-dev libsasl2-dev libssl-dev pkg-config", configure=DEBHELPER,
        make=cleaned("memcached"), linked="memcached",
        shipped=Shipped("memcached", "1.6.18-1", "/usr/bin/memcached")),
    fix("libevent-shipped", "libevent", "2.1.12-stable-8", patch="CVE-2026-63382.patch CVE-2026-63379.patch "
        "CVE-2026-63381.patch CVE-2026-63383.patch CVE-2026-63384.patch CVE-2026-63385.patch CVE-2026-63387.patch",
        fixed="2.1.12-stable-8+deb12u1", needs="debhelper libssl-dev", configure=DEBHELPER,
        make=cleaned("include/event2/event-config.h", "libevent.la"), linked=".libs/libevent-2.1.so.7.0.1",
        server="evhttpd",
        shipped=Shipped("libevent-2.1-7", "2.1.12-stable-8", "/usr/lib/x86_64-linux-gnu/libevent-2.1.so.7.0.1")),
    fix("redis-shipped", "redis", "5:7.0.15-1~deb12u7", patch="CVE-2026-23631.patch CVE-2026-25243.patch "
        "CVE-2026-66373.patch CVE-2026-81934.patch CVE-2026-92925.patch", fixed="5:7.0.15-1~deb12u10",
        needs="debhelper libhiredis-dev libjemalloc-dev liblua5.1-dev liblzf-dev libssl-dev libsystemd-dev "
              "lua-bitop-dev lua-cjson-dev pkg-config",
        make=["env", "DEB_BUILD_OPTIONS=nocheck parallel=" + JOBS[2:], "sh", "-c",
              "rm -f debian/debhelper-build-stamp && exec debian/rules build"],
        linked="src/redis-server", server="redis-restore",
        shipped=Shipped("redis-tools", "5:7.0.15-1~deb12u7", "/usr/bin/redis-check-rdb")),
]
