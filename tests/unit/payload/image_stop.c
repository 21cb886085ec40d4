// SPDX-License-Identifier: MIT
/*
 * For test_image_tools.sh: maps the image of an object far away, writes it to a file, prints where it is, and
 * calls into it so that image_stopped() is reached from inside; there gdb looks. usage: image_stop OBJECT OUT
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "place.h"

long image_stopped(long x);
__attribute__((noinline)) long image_stopped(long x)
{
	__asm__ volatile("" : "+r"(x));
	return x;
}

static long stop(long (*function)(long), long x)
{
	return image_stopped(function(x)) + 1;
}

uint64_t image_base;

int main(int argc, char **argv)
{
	struct place place;
	if (argc < 3)
		return 2;
	place_init(&place, PLACE_FAR);
	struct usp_error *error = place_load(&place, argv[1], false);
	if (error) {
		fprintf(stderr, "%s\n", error->message);
		return 1;
	}
	FILE *out = fopen(argv[2], "we");
	if (!out || fwrite(place.image->bytes, place.image->size, 1, out) != 1 || fclose(out))
		return 1;
	image_base = place.image->base;
	void *function = (void *)stop;
	memcpy(place.arena->stubs[2] + 2, &function, 8); /* target_apply */
	long (*callbacks)(long) = place_function(&place, "old_callbacks");
	printf("image_base 0x%llx result %ld\n", (unsigned long long)image_base, callbacks(1));
	place_deinit(&place);
	return 0;
}
