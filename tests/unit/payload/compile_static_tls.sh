#!/bin/sh
# SPDX-License-Identifier: MIT
# Compiles static_tls_payload.c in each way of asking for a thread-local variable.
# usage: compile_static_tls.sh LIST SOURCEDIR INCLUDEDIR; LIST (the output) has a line for each object: its path.
set -eu
list=$(realpath "$1") source=$2 include=$3
dir=$list.d
mkdir -p "$dir"
: >"$list.new"

compile() { # name compiler flags...
	name=$1 compiler=$2
	shift 2
	"$compiler" -std=gnu17 -DSAMPLE_PAYLOAD -I"$include" -fPIC "$@" -c "$source/static_tls_payload.c" -o "$dir/$name.o"
	echo "$dir/$name.o" >>"$list.new"
}

for compiler in gcc clang; do
	command -v "$compiler" >/dev/null || continue
	for level in -O0 -O1 -O2 -O3 -Os; do
		compile "$compiler$level" "$compiler" $level
		compile "$compiler$level-noplt" "$compiler" $level -fno-plt
	done
	compile "$compiler-hidden" "$compiler" -O2 -fvisibility=hidden
	compile "$compiler-medium" "$compiler" -O2 -mcmodel=medium
	compile "$compiler-medium-noplt" "$compiler" -O2 -mcmodel=medium -fno-plt
	compile "$compiler-cet" "$compiler" -O2 -fcf-protection=full
	compile "$compiler-tls-ie" "$compiler" -O2 -ftls-model=initial-exec
	compile "$compiler-pie" "$compiler" -O2 -fPIE
	compile "$compiler-sections" "$compiler" -O2 -ffunction-sections
	ld -r -o "$dir/$compiler-ld-r.o" "$dir/$compiler-sections.o"
	echo "$dir/$compiler-ld-r.o" >>"$list.new"
	if command -v ld.lld >/dev/null; then
		ld.lld -r -o "$dir/$compiler-lld-r.o" "$dir/$compiler-sections.o"
		echo "$dir/$compiler-lld-r.o" >>"$list.new"
	fi
done
for level in -O0 -O1 -O2 -O3 -Os; do
	compile "gcc$level-gnu2" gcc $level -mtls-dialect=gnu2
	compile "gcc$level-large" gcc $level -mcmodel=large
done
compile clang-large clang -O2 -mcmodel=large
mv "$list.new" "$list"
