# SPDX-License-Identifier: MIT
#
# The front door; the building itself is Meson's. A fresh Debian 12 needs git and make, scripts/deps gets the rest.
#
#   make           builds the command and the library        make install [DESTDIR= PREFIX=]
#   make demo      patches a running redis-server            make clean
#   make check     all tests                                 make bench     the measures of docs/measurements.md
#   make asan      unit tests under ASan and UBSan           make fuzz [SECONDS=60]
#   make format    clang-format on the sources               make format-check

B       ?= build-out
PREFIX  ?= /usr/local
DESTDIR ?=
SECONDS ?= 60
JOBS    ?= $(shell nproc 2>/dev/null || echo 2)

.PHONY: all demo check bench install clean asan fuzz format format-check
.DEFAULT_GOAL := all

# Sets the build directory up once, and again when the prefix asked for is another.
define configure
	@scripts/deps build
	@if [ ! -e $(B)/build.ninja ]; then meson setup $(B) --prefix=$(PREFIX); \
	elif [ "$$(cat $(B)/.prefix 2>/dev/null)" != "$(PREFIX)" ]; then meson configure $(B) -Dprefix=$(PREFIX); fi
	@echo "$(PREFIX)" >$(B)/.prefix
endef

all:
	$(configure)
	@ninja -C $(B) -j$(JOBS) product

demo:
	@scripts/deps demo
	$(configure)
	@ninja -C $(B) -j$(JOBS) --quiet product bench/latency_probe
	@scripts/demo $(B)

check:
	@scripts/deps demo test
	$(configure)
	meson test -C $(B) --print-errorlogs --num-processes $(JOBS)

bench:
	@scripts/deps bench
	$(configure)
	@ninja -C $(B) -j$(JOBS) product bench/pause bench/load
	@bench/run $(B)
	@bench/servers $(B)

install:
	$(configure)
	@ninja -C $(B) -j$(JOBS) product
	DESTDIR=$(DESTDIR) meson install -C $(B) --no-rebuild

asan:
	@scripts/deps build test
	@[ -e build-asan/build.ninja ] || \
		meson setup build-asan -Db_sanitize=address,undefined -Db_lundef=false -Dbuildtype=debug
	meson test -C build-asan --print-errorlogs --no-suite e2e --num-processes $(JOBS)

fuzz:
	@scripts/deps build test
	@for file in tests/fuzz/*_fuzz.c; do \
		tests/fuzz/run.sh $$(basename $$file _fuzz.c) $(SECONDS) build-fuzz || exit 1; done

format:
	@scripts/deps test
	@git ls-files -co --exclude-standard '*.c' '*.h' | xargs clang-format -i

format-check:
	@scripts/deps test
	@git ls-files -co --exclude-standard '*.c' '*.h' | xargs clang-format --dry-run -Werror

clean:
	rm -rf $(B) build-asan build-fuzz build-ci-gcc build-ci-clang build-ci-asan build-ci-tsan
