// SPDX-License-Identifier: MIT
#include "refusal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "payload/payload.h"

static void check_good(void **state)
{
	(void)state;
	for (int finished = 0; finished < 2; finished++) {
		struct elfmaker *e = malloc(sizeof(*e));
		elfmaker_payload(e);
		elf_build(e);
		struct payload *payload = NULL;
		struct usp_error *error = payload_read(e->bytes, e->size, finished, &payload);
		if (error)
			fail_msg("%s", error->message);
		assert_int_equal(payload->n_functions, 1);
		payload_destroy(payload);
		elfmaker_deinit(e);
		free(e);
	}
}

/* Every shorter file, too: none may be accepted, none may be read past its end (ASan looks). */
static void check_cut_off(void **state)
{
	(void)state;
	struct elfmaker *e = malloc(sizeof(*e));
	elfmaker_payload(e);
	elf_build(e);
	for (size_t size = 0; size < e->size; size++) {
		uint8_t *part = malloc(size + !size);
		memcpy(part, e->bytes, size);
		struct payload *payload = NULL;
		struct usp_error *error = payload_read(part, size, true, &payload);
		assert_non_null(error);
		assert_null(payload);
		assert_int_equal(error->code, USP_BAD_PAYLOAD);
		usp_error_destroy(error);
		free(part);
	}
	elfmaker_deinit(e);
	free(e);
}

static void check_refusal(void **state)
{
	const struct refusal *r = *state;
	struct elfmaker *e = malloc(sizeof(*e));
	elfmaker_payload(e);
	r->spoil(e);
	elf_build(e);
	uint8_t *exact = malloc(e->size + !e->size); /* so that ASan sees one byte too far */
	memcpy(exact, e->bytes, e->size);
	struct payload *payload = NULL;
	struct usp_error *error = payload_read(exact, e->size, !r->source, &payload);
	if (!error)
		fail_msg("accepted, expected \"%s\"", r->message);
	assert_null(payload);
	if (error->code != USP_BAD_PAYLOAD || !strstr(error->message, r->message))
		fail_msg("code %d, \"%s\" has no \"%s\"", error->code, error->message, r->message);
	usp_error_destroy(error);
	free(exact);
	elfmaker_deinit(e);
	free(e);
}

int refusals_run(const char *group, const struct refusal *refusals, unsigned n)
{
	struct CMUnitTest *tests = calloc(n + 2, sizeof(*tests));
	tests[0] = (struct CMUnitTest){"the good payload", check_good, NULL, NULL, NULL};
	tests[1] = (struct CMUnitTest){"cut off anywhere", check_cut_off, NULL, NULL, NULL};
	for (unsigned i = 0; i < n; i++)
		tests[i + 2] = (struct CMUnitTest){refusals[i].what, check_refusal, NULL, NULL,
						   (void *)&refusals[i]};
	int failed = _cmocka_run_group_tests(group, tests, n + 2, NULL, NULL);
	free(tests);
	return failed;
}
