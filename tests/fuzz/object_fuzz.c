// SPDX-License-Identifier: MIT
/*
 * libFuzzer: an object that is taken apart and compared with itself. tests/fuzz/run.sh object SECONDS
 */
#include <stdlib.h>
#include <string.h>

#include "build/object/diff.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct object *sides[2] = {NULL, NULL};
	struct object_diff *diff = NULL;
	for (int i = 0; i < 2; i++) {
		struct usp_error *error = object_from_memory("fuzz.o", data, size, &sides[i]);
		if (!error)
			continue;
		usp_error_destroy(error);
		object_close(sides[0]);
		return 0;
	}
	struct usp_error *error = object_diff(sides[0], sides[1], &diff);
	if (error) {
		usp_error_destroy(error);
		return 0;
	}
	/* Of all that is sound, at least nothing comes or goes. */
	for (uint32_t i = 0; i < diff->side[0]->n_pieces; i++)
		if (diff->verdicts[0][i].verdict == USP_DIFF_REMOVED && !diff->n_problems &&
		    !diff->side[0]->pieces[i].numbered)
			abort();
	object_diff_destroy(diff);
	return 0;
}
