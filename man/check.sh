#!/bin/sh
# SPDX-License-Identifier: MIT
# check.sh PAGE...: formats each page with every warning on; a warning is a failure. mandoc's lint too, where it is.
status=0
for page; do
	said=$(groff -mdoc -ww -Tutf8 -z "$page" 2>&1)
	if [ -n "$said" ]; then
		printf '%s\n' "$said"
		status=1
	fi
	if command -v mandoc >/dev/null; then
		mandoc -Tlint -W warning "$page" || status=1
	fi
done
exit $status
