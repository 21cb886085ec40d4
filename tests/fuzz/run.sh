#!/bin/sh
# SPDX-License-Identifier: MIT
# Builds and runs a fuzzer. usage: tests/fuzz/run.sh TARGET SECONDS [BUILDDIR]
# TARGET is the name before _fuzz.c (payload). Its corpus grows in BUILDDIR/corpus-TARGET; what crashes it is left in
# BUILDDIR/crash-… and makes the exit code 1. A target brings: TARGET_fuzz.c, TARGET_sources, and where it has them
# TARGET_seeds.sh, TARGET.dict, corpus/TARGET/.
set -eu
[ $# -ge 2 ] || { sed -n 3p "$0"; exit 2; }
target=$1 seconds=$2
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
build=${3:-${TMPDIR:-/tmp}/usplice-fuzz}
clang=${CLANG:-clang}
command -v "$clang" >/dev/null || { echo "run.sh: no clang: skipped" >&2; exit 77; }
[ -f "$here/${target}_fuzz.c" ] || { echo "run.sh: no such target: $target" >&2; exit 2; }

mkdir -p "$build/corpus-$target"
build=$(cd "$build" && pwd)
sources=$(cd "$root" && cat "$here/${target}_sources")
libraries=$(pkg-config --libs libsodium libelf libdw)
(cd "$root" && "$clang" -std=gnu17 -g -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined \
	-fno-omit-frame-pointer -I. -Iinclude "$here/${target}_fuzz.c" $sources $libraries -o "$build/${target}_fuzz")

seeds=
if [ -x "$here/${target}_seeds.sh" ]; then
	"$here/${target}_seeds.sh" "$build/seeds-$target" "$root"
	seeds="$build/seeds-$target"
fi
[ -d "$here/corpus/$target" ] && seeds="$seeds $here/corpus/$target"
dictionary=
[ -f "$here/$target.dict" ] && dictionary="-dict=$here/$target.dict"

cd "$build"
exec "./${target}_fuzz" -max_total_time="$seconds" -max_len=65536 -timeout=20 -rss_limit_mb=2048 -print_final_stats=1 \
	$dictionary "corpus-$target" $seeds
