/* SPDX-License-Identifier: MIT */
/*
 * What the tests of a capture share: an empty directory for each, a build that is a shell script, and
 * looking for objects, links and inputs in what came of it.
 */
#ifndef CAPTURE_TEST_H
#define CAPTURE_TEST_H

#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <ftw.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "build/capture/capture.h"
#include "build/file.h"

#define UNUSED __attribute__((unused))

static char directory[] = "/tmp/usplice-test-capture-XXXXXX";

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *where)
{
	(void)st, (void)type, (void)where;
	return remove(path);
}

static void put(const char *path, const char *text)
{
	FILE *f = fopen(path, "we");
	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static int setup(void **state)
{
	(void)state;
	strcpy(strrchr(directory, '-'), "-XXXXXX");
	if (!mkdtemp(directory) || chdir(directory) < 0 || setenv("TMPDIR", directory, 1) < 0 ||
	    mkdir("store", 0755) < 0)
		return -1;
	put("a.c", "int two(void);\nint main(void) { return two() - 2; }\n");
	put("b.c", "int one = 1;\nint two(void) { return one + 1; }\n");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	return chdir("/") < 0 ? -1 : nftw(directory, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

/* One that ends with success gives NULL. */
static struct usp_error *try_build(const char *const *command, struct capture *capture)
{
	struct workdir workdir;
	assert_null(workdir_create(false, &workdir));
	struct capture_options options = {.command = command, .store = "store", .output = "output"};
	struct usp_error *error = capture_run(&workdir, &options, capture);
	workdir_destroy(&workdir);
	if (error)
		assert_int_equal(capture->n_objects + capture->n_links, 0);
	return error;
}

UNUSED static struct usp_error *try_script(const char *script, struct capture *capture)
{
	const char *const command[] = {"sh", "-ec", script, NULL};
	return try_build(command, capture);
}

UNUSED static struct capture built(const char *script)
{
	struct capture capture;
	struct usp_error *error = try_script(script, &capture);
	if (error)
		fail_msg("%s: %s", script, error->message);
	return capture;
}

static bool is_path(const char *path, const char *name)
{
	size_t n = strlen(directory);
	return *name == '/' ? !strcmp(path, name)
			    : !strncmp(path, directory, n) && path[n] == '/' && !strcmp(path + n + 1, name);
}

/* What the store has is what was written. */
static void check_stored(const char *stored, const uint8_t *hash)
{
	_cleanup_free_ uint8_t *bytes = NULL;
	size_t size;
	uint8_t of_stored[PAYLOAD_HASH_SIZE];
	assert_null(file_read(stored, 1 << 26, &bytes, &size));
	assert_int_equal(payload_hash(bytes, size, of_stored), 0);
	assert_memory_equal(of_stored, hash, PAYLOAD_HASH_SIZE);
}

/* The object of this name, of which there must be just one; NULL: none. */
UNUSED static const struct capture_object *find_object(const struct capture *capture, const char *name)
{
	const struct capture_object *ret = NULL;
	for (size_t i = 0; i < capture->n_objects; i++) {
		if (!is_path(capture->objects[i].path, name))
			continue;
		if (ret)
			fail_msg("%s is there twice", name);
		ret = &capture->objects[i];
		check_stored(ret->stored, ret->hash);
	}
	return ret;
}

UNUSED static const struct capture_link *find_link(const struct capture *capture, const char *name)
{
	const struct capture_link *ret = NULL;
	for (size_t i = 0; i < capture->n_links; i++) {
		if (!is_path(capture->links[i].path, name))
			continue;
		if (ret)
			fail_msg("%s is there twice", name);
		ret = &capture->links[i];
		check_stored(ret->stored, ret->hash);
	}
	return ret;
}

/* The input of this name, or NULL. */
UNUSED static const struct capture_input *find_input(const struct capture_link *link, const char *name)
{
	for (size_t i = 0; i < link->n_inputs; i++) {
		if (is_path(link->inputs[i].path, name))
			return &link->inputs[i];
	}
	return NULL;
}

/* How many inputs have the content of an object that was captured. */
UNUSED static size_t own_inputs(const struct capture *capture, const struct capture_link *link)
{
	size_t ret = 0;
	for (size_t i = 0; i < link->n_inputs; i++) {
		bool own = false;
		for (size_t k = 0; k < capture->n_objects; k++)
			own = own ||
			      !memcmp(capture->objects[k].hash, link->inputs[i].hash, PAYLOAD_HASH_SIZE);
		ret += own;
	}
	return ret;
}

/* link has the object as an input of this name. */
UNUSED static void check_input(const struct capture_link *link, const char *name,
			       const struct capture_object *object)
{
	const struct capture_input *input = find_input(link, name);
	assert_non_null(object);
	if (!input)
		fail_msg("%s is no input of %s", name, link->path);
	assert_memory_equal(input->hash, object->hash, PAYLOAD_HASH_SIZE);
}

#endif
