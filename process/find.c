// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include "process/find.h"

#include <stdio.h>
#include <string.h>

#include "process/plan.h"

static bool names_a_file(const char *payload)
{
	size_t length = strlen(payload);
	return strchr(payload, '/') || (length > 4 && !strcmp(payload + length - 4, ".usp"));
}

/* The names of all payloads, for a message; NULL when there is no memory for it. */
static char *names_there(const struct registry *registry)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	if (!out)
		return NULL;
	bool any = false;
	for (int i = 0; i < REGISTRY_PAYLOADS_MAX; i++) {
		if (!registry->records[i])
			continue;
		fprintf(out, "%s%s", any ? ", " : "", registry->records[i]->name);
		any = true;
	}
	if (!any)
		fputs("none", out);
	fclose(out);
	return text;
}

struct usp_error *find_payload(const struct session *session, const char *payload, int *index)
{
	const struct registry *registry = session->registry;
	if (names_a_file(payload)) {
		struct payload *file;
		struct usp_error *error = plan_read_payload(payload, &file);
		if (error)
			return error;
		*index = registry_find_build_id(registry, file->build_id, file->build_id_size);
		payload_destroy(file);
	} else {
		*index = registry_find_name(registry, payload);
	}
	if (*index >= 0)
		return NULL;
	_cleanup_free_ char *names = names_there(registry);
	return usp_errorf(USP_NOT_FOUND, "process %d holds no payload %s (it holds: %s)",
			  session->target->pid, payload, names ? names : "?");
}
