// SPDX-License-Identifier: MIT
#include "test_image_cxx.h"

#include <stdlib.h>

#include "place.h"

struct cxx_payload {
	struct place place;
};

struct cxx_payload *cxx_load(const char *path, int far, const char **message)
{
	static const struct place_symbol symbols[] = {{"target_throw", (const void *)target_throw},
						      {"shared_total", &cxx_shared_total},
						      {NULL, NULL}};
	struct cxx_payload *p = calloc(1, sizeof(*p));
	place_symbols = symbols;
	place_init(&p->place, far ? PLACE_FAR : PLACE_NEAR);
	struct usp_error *error = place_load(&p->place, path, false);
	if (!error)
		return p;
	*message = error->message; /* leaked: the test fails */
	cxx_unload(p);
	return NULL;
}

void cxx_unload(struct cxx_payload *p)
{
	place_deinit(&p->place);
	free(p);
}

long (*cxx_function(struct cxx_payload *p, const char *old_name))(long)
{
	return (long (*)(long))place_function(&p->place, old_name);
}

void *cxx_eh_frame(struct cxx_payload *p)
{
	return (void *)p->place.image->eh_frame;
}

size_t cxx_exports(struct cxx_payload *p)
{
	return p->place.payload->n_exports;
}
