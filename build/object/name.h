/* SPDX-License-Identifier: MIT */
/*
 * The names that compilers make up: "f.cold", "f.part.0", "f.constprop.0.isra.0", "counter.3". The numbers say nothing
 * that lasts from one build to the next.
 */
#ifndef BUILD_OBJECT_NAME_H
#define BUILD_OBJECT_NAME_H

#include <stdbool.h>
#include <stddef.h>

/* A copy without its ".<digits>"; NULL: out of memory. *ret_numbered: there were some. The caller frees. */
char *object_name_base(const char *name, bool *ret_numbered);

/* How many bytes of the name are the function's own as the source has it: up to the first dot. */
size_t object_name_source(const char *name);

/* "f.part.0.cold": 8, the length of the name of what it was split off; 0: it is no .cold part. */
size_t object_name_cold(const char *name);

#endif
