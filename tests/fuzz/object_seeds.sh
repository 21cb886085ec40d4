#!/bin/sh
# SPDX-License-Identifier: MIT
# object_seeds.sh DIRECTORY ROOT: the pairs of tests/pairs, compiled in some ways.
set -eu
mkdir -p "$1"
for source in "$2"/tests/pairs/*.c; do
	name=$(basename "$source" .c)
	for flags in "-O2 -g1" "-O0" "-Os -fPIC -ffunction-sections"; do
		# shellcheck disable=SC2086
		cc -w -c $flags "$source" -o "$1/$name$(printf %s "$flags" | tr -d ' =-').o"
	done
done
