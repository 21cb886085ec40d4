#!/bin/sh
# SPDX-License-Identifier: MIT
# Seeds for payload_fuzz, from compiled sources: small objects of each kind. usage: payload_seeds.sh DIR SOURCEROOT
set -eu
dir=$1 root=$2
mkdir -p "$dir"
compile() {
	name=$1 compiler=$2
	shift 2
	command -v "$compiler" >/dev/null || return 0
	"$compiler" -I"$root/include" "$@" -c "$root/tests/fuzz/payload_seed.c" -o "$dir/$name.o"
}
for compiler in gcc clang; do
	compile $compiler-none $compiler -Os -fno-pic -fno-pie
	compile $compiler-pic $compiler -O2 -fPIC
	compile $compiler-sections $compiler -O0 -fPIC -ffunction-sections -fdata-sections
	compile $compiler-large $compiler -Os -fno-pic -fno-pie -mcmodel=large -DNO_TLS
	compile $compiler-exceptions $compiler -Os -fPIC -fexceptions -fno-plt
	compile $compiler-finished $compiler -Os -fPIC -DFINISHED
	[ -f "$dir/$compiler-finished.o" ] &&
		ld -r --build-id=sha1 -o "$dir/$compiler-ld-r.o" "$dir/$compiler-finished.o"
	compile $compiler-g $compiler -Os -g
done
