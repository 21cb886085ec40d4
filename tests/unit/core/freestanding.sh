#!/bin/sh
# SPDX-License-Identifier: MIT
# Links all of core/ with no libc and shows that nothing is left undefined but what a compiler itself calls.
# usage: freestanding.sh SOURCE_ROOT COMPILER NM [flags]; exit 77: no such compiler.
set -eu
root=$1 cc=$2 nm=$3
shift 3
if ! command -v "$cc" >/dev/null || ! command -v "$nm" >/dev/null; then
	echo "skipped: no $cc or no $nm on this machine"
	exit 77
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
bad=0

# Every header of core/ includes core/ and the three headers alone.
if grep -rnE '^[[:space:]]*#[[:space:]]*include' "$root/core" |
   grep -vE '"core/[a-z0-9_/]+\.h"|<(stdint|stddef|stdbool)\.h>'; then
	echo "core/ includes something that is not its own"
	bad=1
fi

for level in -O0 -O2; do
	n=0
	objects=
	for source in $(find "$root/core" -name '*.c' | sort); do
		object="$work/$n.o"
		"$cc" -std=gnu17 -ffreestanding -nostdinc -isystem "$("$cc" -print-file-name=include)" \
			-fno-stack-protector $level -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
			-Werror "$@" -I"$root" -c "$source" -o "$object"
		objects="$objects $object"
		n=$((n + 1))
	done
	[ "$n" -ge 15 ] || { echo "only $n sources found"; exit 1; }
	# shellcheck disable=SC2086
	"$cc" -ffreestanding -nostdlib -r $objects -o "$work/core.o"
	left=$("$nm" -u "$work/core.o" | awk '{ print $NF }' | grep -vxE 'memcpy|memmove|memset|memcmp' || true)
	if [ -n "$left" ]; then
		echo "$cc $level: undefined:" $left
		bad=1
	else
		echo "$cc $level: $n objects, nothing undefined but $("$nm" -u "$work/core.o" | awk '{ print $NF }' | tr '\n' ' ')"
	fi
	# The check itself can fail: a file that calls printf is found.
	echo 'int printf(const char *, ...); int f(void); int f(void) { return printf("x"); }' >"$work/x.c"
	"$cc" -ffreestanding -c "$work/x.c" -o "$work/x.o"
	"$nm" -u "$work/x.o" | awk '{ print $NF }' | grep -qvxE 'memcpy|memmove|memset|memcmp' ||
		{ echo "the check finds nothing"; exit 1; }
done
exit $bad
