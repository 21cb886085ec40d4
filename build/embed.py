#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""embed.py OUT NAME=FILE ...: writes the bytes of each FILE as the C array NAME, and NAME_size."""
import sys

with open(sys.argv[1], 'w') as out:
    out.write('// Made by build/embed.py.\n#include "build/payload_header.h"\n')
    for word in sys.argv[2:]:
        name, _, path = word.partition('=')
        with open(path, 'rb') as f:
            data = f.read()
        out.write('\nconst char %s[] = {\n' % name)
        for i in range(0, len(data), 20):
            out.write('\t' + ' '.join('%d,' % (b if b < 128 else b - 256) for b in data[i:i + 20]) + '\n')
        out.write('\t0,\n};\nconst size_t %s_size = sizeof(%s) - 1;\n' % (name, name))
