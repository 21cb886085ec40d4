#!/bin/sh
# SPDX-License-Identifier: MIT
# exports.sh LIBRARY MAP HEADER...: the library exports what the version map names, and that is what the headers declare
# with USP_API: no more, no less.
library=$1 map=$2
shift 2
exported=$(nm -D --defined-only "$library" | awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' | sort -u)
mapped=$(sed -n 's/^[[:space:]]*\(usp_[a-z_]*\);$/\1/p' "$map" | sort -u)
declared=$(sed -n '/^USP_API/ s/.*[ *]\(usp_[a-z_]*\)(.*/\1/p' "$@" | sort -u)
status=0
compare() {
	[ -n "$2" ] && [ "$2" = "$4" ] && return
	printf '%s:\n%s\n%s:\n%s\n' "$1" "$2" "$3" "$4"
	status=1
}
compare "exported by $library" "$exported" "named in $map" "$mapped"
compare "named in $map" "$mapped" "declared with USP_API" "$declared"
exit $status
