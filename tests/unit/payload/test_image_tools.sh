#!/bin/sh
# SPDX-License-Identifier: MIT
# An image, seen by the tools of others: readelf, eu-elflint, eu-readelf, gdb (from memory, without a file).
# usage: test_image_tools.sh IMAGE_STOP LIST
set -u
stop=$1 list=$2
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
count=0 failed=0

report() { # status text
	count=$((count + 1))
	if [ "$1" = 0 ]; then echo "ok $count - $2"; else echo "not ok $count - $2"; failed=1; fi
}

check() { # text file-with-output pattern
	if grep -qE -- "$3" "$2"; then report 0 "$1"; else report 1 "$1"; sed 's/^/# /' "$2"; fi
}

for object in $(grep -E '/(gcc|clang)-(O0-pic|O2-pic|O3-pic|g|ld-r|sections|exceptions|large-pic)\.o$' "$list" | cut -d' ' -f2); do
	name=$(basename "$object" .o)
	image=$dir/$name.so
	if ! "$stop" "$object" "$image" >"$dir/out" 2>&1; then
		report 1 "$name: runs"
		sed 's/^/# /' "$dir/out"
		continue
	fi
	readelf -aW "$image" >"$dir/readelf" 2>"$dir/warnings"
	grep -v '^$' "$dir/warnings" >"$dir/bad"
	if [ -s "$dir/bad" ]; then report 1 "$name: readelf has no warning"; sed 's/^/# /' "$dir/bad"; else report 0 "$name: readelf has no warning"; fi
	check "$name: symbol" "$dir/readelf" 'FUNC +GLOBAL +(DEFAULT|HIDDEN) +[0-9]+ t_callbacks'
	if grep -E '^ +(LOAD|GNU_STACK)' "$dir/readelf" | grep -q 'RWE'; then report 1 "$name: no W+X"; else report 0 "$name: no W+X"; fi
	readelf --debug-dump=frames "$image" >"$dir/frames" 2>"$dir/warnings"
	if [ -s "$dir/warnings" ]; then report 1 "$name: frames have no warning"; sed 's/^/# /' "$dir/warnings"; else report 0 "$name: frames have no warning"; fi
	check "$name: frames" "$dir/frames" 'FDE cie='
	check "$name: ended" "$dir/frames" 'ZERO terminator'
	if command -v eu-elflint >/dev/null; then
		# A shared object without a dynamic section is unusual, and said so; anything else is wrong.
		eu-elflint --gnu-ld "$image" >"$dir/lint" 2>&1
		grep -vE '^No errors$|dynamic' "$dir/lint" >"$dir/bad"
		if [ -s "$dir/bad" ]; then report 1 "$name: eu-elflint"; sed 's/^/# /' "$dir/bad"; else report 0 "$name: eu-elflint"; fi
		eu-readelf -e "$image" >"$dir/hdr" 2>&1
		check "$name: sorted table" "$dir/hdr" 'table_enc: +0x3b'
	fi
	if command -v gdb >/dev/null; then
		gdb -nx -batch -iex 'set auto-load off' -ex 'set debuginfod enabled off' -ex 'break image_stopped' -ex run \
			-ex 'add-symbol-file-from-memory image_base' -ex 'print &t_callbacks' -ex bt \
			--args "$stop" "$object" "$image" >"$dir/gdb" 2>&1
		check "$name: gdb walks through, by name" "$dir/gdb" '^#[0-9]+ .* in t_callbacks '
		check "$name: gdb reaches main" "$dir/gdb" '^#[0-9]+ .* (in )?main \('
	fi
done
[ $count -ge 20 ] || { echo "not ok - the samples are missing"; failed=1; }
echo "1..$count"
exit $failed
