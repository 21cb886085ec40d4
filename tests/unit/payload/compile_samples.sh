#!/bin/sh
# SPDX-License-Identifier: MIT
# Compiles the samples with every compiler, level and model. usage: compile_samples.sh LIST SOURCEDIR INCLUDEDIR
# LIST (the output) has a line for each object: its model (none, pie, pic, large: what it may refer to) and its path.
set -eu
list=$(realpath "$1") source=$2 include=$3
dir=$list.d
mkdir -p "$dir"
: >"$list.new"

compile() { # model name compiler flags...
	model=$1 name=$2 compiler=$3
	shift 3
	"$compiler" -std=gnu17 -DSAMPLE_PAYLOAD -I"$include" -I"$source" "$@" -c "$source/sample.c" -o "$dir/$name.o"
	echo "$model $dir/$name.o" >>"$list.new"
}

for compiler in gcc clang; do
	command -v "$compiler" >/dev/null || continue
	for level in -O0 -O1 -O2 -O3 -Os; do
		compile none "$compiler$level-none" "$compiler" $level -fno-pic -fno-pie
		compile pic "$compiler$level-pic" "$compiler" $level -fPIC
		compile pie "$compiler$level-pie" "$compiler" $level -fPIE
		compile pie "$compiler$level-pie-noplt" "$compiler" $level -fPIE -fno-plt
		compile pic "$compiler$level-pic-noplt" "$compiler" $level -fPIC -fno-plt
	done
	compile pic "$compiler-g" "$compiler" -O2 -fPIC -g
	compile pic "$compiler-gz" "$compiler" -O2 -fPIC -g -gz
	compile pic "$compiler-sections" "$compiler" -O2 -fPIC -ffunction-sections -fdata-sections
	compile pic "$compiler-cet" "$compiler" -O2 -fPIC -fcf-protection=full -fstack-protector-all
	compile pic "$compiler-medium" "$compiler" -O2 -fPIC -mcmodel=medium
	compile pic "$compiler-tls-ie" "$compiler" -O2 -fPIC -ftls-model=initial-exec
	compile pic "$compiler-hidden" "$compiler" -O2 -fPIC -fvisibility=hidden
	compile pic "$compiler-exceptions" "$compiler" -O2 -fPIC -fexceptions
	compile none "$compiler-large" "$compiler" -O2 -fno-pic -fno-pie -mcmodel=large -ftls-model=initial-exec -DSAMPLE_NO_LD
	ld -r --build-id=sha1 -o "$dir/$compiler-ld-r.o" "$dir/$compiler-sections.o"
	echo "pic $dir/$compiler-ld-r.o" >>"$list.new"
done
compile pic gcc-gnu2 gcc -O2 -fPIC -mtls-dialect=gnu2
compile pic gcc-large-pic gcc -O2 -fPIC -mcmodel=large

: >"$list.cxx"
compile_cxx() { # model name compiler flags...
	model=$1 name=$2 compiler=$3
	shift 3
	"$compiler" -std=gnu++20 -I"$include" "$@" -c "$source/sample_cxx.cc" -o "$dir/$name.o"
	echo "$model $dir/$name.o" >>"$list.cxx"
}
for compiler in g++ clang++; do
	command -v "$compiler" >/dev/null || continue
	for level in -O0 -O2; do
		compile_cxx cxx "$compiler$level-plain" "$compiler" $level -fPIC -fno-exceptions -fno-rtti
		compile_cxx cxx-exc "$compiler$level-exceptions" "$compiler" $level -fPIC
	done
	compile_cxx cxx-exc "$compiler-sections" "$compiler" -O1 -fPIC -ffunction-sections -fdata-sections -g
	ld -r --build-id=sha1 -o "$dir/$compiler-ld-r.o" "$dir/$compiler-sections.o"
	echo "cxx-exc $dir/$compiler-ld-r.o" >>"$list.cxx"
done
mv "$list.new" "$list"
