#!/bin/sh
# SPDX-License-Identifier: MIT
# Seeds for elf_fuzz: small libraries of several forms, and a memory map. usage: elf_seeds.sh DIR SOURCEROOT
# The first byte says what it is and where it lies: m a map, 0 1 2 a library at three biases.
set -eu
dir=$1 root=$2
mkdir -p "$dir"
echo 'V1 { global: function; chosen; variable; caller; local: *; };' >"$dir/../seeds.map"
link() {
	name=$1
	shift
	gcc -O2 -shared -fPIC -nostdlib -Wl,--build-id "$@" -o "$dir/../seed.so" "$root/tests/fuzz/elf_seed.c"
	for bias in 0 1 2; do
		{ printf "$bias" && cat "$dir/../seed.so"; } >"$dir/$name-$bias"
	done
}
dense="-Wl,-z,norelro -Wl,-z,noseparate-code -Wl,-z,max-page-size=4096"
link plain
link sysv -Wl,--hash-style=sysv $dense
link stripped -s
link versions $dense "-Wl,--version-script=$dir/../seeds.map"
link descriptors $dense -mtls-dialect=gnu2 -s "-Wl,--version-script=$dir/../seeds.map"
rm -f "$dir/../seed.so" "$dir/../seeds.map"
{ printf m && cat /proc/self/maps; } >"$dir/maps"
