// SPDX-License-Identifier: MIT
#include "payload/payload.h"

#include <stdlib.h>
#include <string.h>

#include "payload/file.h"
#include "payload/info.h"
#include "payload/layout.h"
#include "payload/records.h"

static bool is_export(const struct payload_file *file, const struct payload_symbol *s)
{
	if (s->binding != STB_GLOBAL || s->section == SHN_UNDEF || s->section == SHN_ABS)
		return false;
	if (s->visibility == STV_HIDDEN || s->visibility == STV_INTERNAL)
		return false;
	return payload_section_is_mapped(&file->sections[s->section]);
}

static struct usp_error *list_exports(struct payload *payload)
{
	const struct payload_file *file = payload->file;
	payload->exports = calloc(file->n_symbols, sizeof(*payload->exports));
	if (!payload->exports)
		return &usp_error_no_memory;
	for (uint32_t i = 1; i < file->n_symbols; i++) {
		if (is_export(file, &file->symbols[i]))
			payload->exports[payload->n_exports++] = file->symbols[i].name;
	}
	return NULL;
}

/* Weak where the header declares it: unanswered it would be a null pointer at run time. */
static struct usp_error *find_shadow(struct payload *payload)
{
	static const char prefix[] = "usplice_shadow_";
	for (uint32_t i = 1; i < payload->file->n_symbols; i++) {
		const struct payload_symbol *s = &payload->file->symbols[i];
		if (s->section != SHN_UNDEF || strncmp(s->name, prefix, sizeof(prefix) - 1))
			continue;
		if (strcmp(s->name, PAYLOAD_SHADOW_SYMBOL))
			return payload_bad("it uses shadow data of another layout (%s; this usplice has %s)",
					   s->name, PAYLOAD_SHADOW_SYMBOL);
		payload->needs_shadow = true;
	}
	return NULL;
}

static void note_writable(struct payload *payload)
{
	for (uint32_t i = 1; i < payload->file->n_sections; i++) {
		const struct payload_section *s = &payload->file->sections[i];
		if (s->kind == PAYLOAD_SECTION_DATA || s->kind == PAYLOAD_SECTION_BSS)
			payload->has_writable_data = payload->has_writable_data || s->size;
	}
}

static struct usp_error *fill(struct payload *payload, const void *data, size_t size, bool finished)
{
	struct usp_error *error = payload_file_open(data, size, &payload->file);
	if (error)
		return error;
	struct payload_file *file = payload->file;
	error = payload_file_symbols(file);
	if (!error)
		error = payload_file_relocations(file);
	if (!error)
		error = payload_info_read(payload, payload_records_section(file, ".usplice.info"), finished);
	if (!error)
		error = payload_build_id_read(payload, finished);
	if (!error)
		error = payload_records_read(payload, finished);
	if (!error)
		error = find_shadow(payload);
	if (!error)
		error = payload_layout(file);
	if (!error)
		error = list_exports(payload);
	if (!error)
		note_writable(payload);
	return error;
}

struct usp_error *payload_read(const void *data, size_t size, bool finished, struct payload **ret)
{
	struct payload *payload = calloc(1, sizeof(*payload));
	if (!payload)
		return &usp_error_no_memory;
	struct usp_error *error = fill(payload, data, size, finished);
	if (error) {
		payload_destroy(payload);
		return error;
	}
	*ret = payload;
	return NULL;
}

void payload_destroy(struct payload *payload)
{
	if (!payload)
		return;
	payload_file_close(payload->file);
	free(payload->functions);
	free(payload->hooks);
	free(payload->exports);
	free(payload->states);
	free(payload);
}
