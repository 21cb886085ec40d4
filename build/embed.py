#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""embed.py IN OUT: writes the bytes of IN as the C array payload_header."""
import sys

data = open(sys.argv[1], 'rb').read()
with open(sys.argv[2], 'w') as out:
    out.write('// Made by build/embed.py.\n#include "build/payload_header.h"\n\nconst char payload_header[] = {\n')
    for i in range(0, len(data), 20):
        out.write('\t' + ' '.join('%d,' % (b if b < 128 else b - 256) for b in data[i:i + 20]) + '\n')
    out.write('\t0,\n};\nconst size_t payload_header_size = sizeof(payload_header) - 1;\n')
