/* SPDX-License-Identifier: MIT */
/* A victim says where its own things lie: lines "name 0xhex", then "ready"; it ends when its standard input
 * does. */
#ifndef ELF_VICTIM_H
#define ELF_VICTIM_H

#include <stdio.h>

typedef void say_fn(const char *name, unsigned long value);

void victim_b_report(say_fn *say);
void lib_report(say_fn *say);

#define THREAD_OFFSET(variable) ((unsigned long)((char *)&(variable) - (char *)__builtin_thread_pointer()))

#endif
