#!/bin/sh
# SPDX-License-Identifier: MIT
# Cross-compiles core/ and test_arch.c for AArch64 and runs that under user-mode emulation. exit 77: not possible here.
# usage: aarch64.sh SOURCE_ROOT
set -eu
root=$1
cc=aarch64-linux-gnu-gcc
for tool in $cc qemu-aarch64; do
	if ! command -v $tool >/dev/null; then
		echo "1..0 # SKIP no $tool on this machine"
		exit 77
	fi
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# shellcheck disable=SC2046
$cc -std=gnu17 -O2 -static -Wall -Wextra -Werror -mno-outline-atomics -I"$root" -o "$work/test_arch" \
	"$root/tests/unit/core/test_arch.c" $(find "$root/core" -name '*.c')
qemu-aarch64 "$work/test_arch" | tee "$work/out"
# It was AArch64's own code that ran.
grep -q 'checks, aarch64$' "$work/out"
! grep -q '^not ok' "$work/out"
