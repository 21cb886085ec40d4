/* SPDX-License-Identifier: MIT */
/* What test_image_cxx.cc needs of place.h, whose headers are C. */
#ifndef TESTS_IMAGE_CXX_H
#define TESTS_IMAGE_CXX_H

#include <stddef.h>

struct cxx_payload;
extern long cxx_shared_total;
long target_throw(long x);

struct cxx_payload *cxx_load(const char *path, int far, const char **message);
void cxx_unload(struct cxx_payload *p);
long (*cxx_function(struct cxx_payload *p, const char *old_name))(long);
void *cxx_eh_frame(struct cxx_payload *p);
size_t cxx_exports(struct cxx_payload *p);

#endif
