// SPDX-License-Identifier: MIT
/*
 * The packed form: a header, then functions, ranges, hooks, code, symbols' string offsets and strings. All
 * counts are bounded by the size, all strings by their NUL, before anything is used.
 */
#define _GNU_SOURCE
#include "process/record.h"

#include <string.h>

#define RECORD_MAGIC   0x64726365726c7375ull /* "uslrecrd" */
#define RECORD_VERSION 3
#define NO_STRING      UINT32_MAX

struct packed_header {
	uint64_t magic;
	uint32_t version, size;
	uint32_t n_functions, n_ranges, n_hooks, n_symbols, n_code, n_states, strings_size;
	uint32_t name, version_string, description, module;
	uint32_t build_id_size, module_build_id_size, depends_size, writable_data;
	uint8_t build_id[64], module_build_id[64], depends[64];
	uint64_t image_base, image_size, pads_size, text_start, text_end, eh_frame, eh_frame_size;
};

struct packed_function {
	uint32_t name, file;
	uint64_t old_address, old_size, new_address, new_size, site;
	uint32_t site_length, n_ranges;
	uint64_t pad;
	uint32_t pad_size, enterable;
	uint8_t original[RECORD_SITE_MAX], patched[RECORD_SITE_MAX];
};

struct packed_hook {
	uint32_t kind, reserved;
	uint64_t address;
};

struct packed_code {
	uint32_t name, reserved;
	uint64_t address, size;
};

struct packed_state {
	uint32_t name, version;
};

static size_t string_size(const char *string)
{
	return string ? strlen(string) + 1 : 0;
}

static uint32_t string_put(char *strings, size_t *used, const char *string)
{
	if (!string)
		return NO_STRING;
	uint32_t at = (uint32_t)*used;
	size_t size = string_size(string);
	memcpy(strings + at, string, size);
	*used += size;
	return at;
}

struct usp_error *record_pack(const struct record *record, uint8_t **ret, size_t *ret_size)
{
	size_t strings = string_size(record->name) + string_size(record->version) +
			 string_size(record->description) + string_size(record->module);
	size_t n_ranges = 0;
	for (size_t i = 0; i < record->n_functions; i++) {
		strings += string_size(record->functions[i].name) + string_size(record->functions[i].file);
		n_ranges += record->functions[i].n_ranges;
	}
	for (size_t i = 0; i < record->n_code; i++)
		strings += string_size(record->code[i].name);
	for (size_t i = 0; i < record->n_symbols; i++)
		strings += string_size(record->symbols[i]);
	for (size_t i = 0; i < record->n_states; i++)
		strings += string_size(record->states[i].name);
	size_t size = sizeof(struct packed_header) + record->n_functions * sizeof(struct packed_function) +
		      n_ranges * sizeof(struct range) + record->n_hooks * sizeof(struct packed_hook) +
		      record->n_code * sizeof(struct packed_code) + record->n_symbols * sizeof(uint32_t) +
		      record->n_states * sizeof(struct packed_state) + strings;
	if (size > RECORD_SIZE_MAX)
		return usp_errorf(USP_BAD_PAYLOAD,
				  "the record of payload %s would be %zu bytes; at most %u are allowed",
				  record->name, size, RECORD_SIZE_MAX);
	uint8_t *bytes = calloc(1, size);
	if (!bytes)
		return &usp_error_no_memory;

	struct packed_header *header = (void *)bytes;
	struct packed_function *functions = (void *)(header + 1);
	struct range *ranges = (void *)(functions + record->n_functions);
	struct packed_hook *hooks = (void *)(ranges + n_ranges);
	struct packed_code *code = (void *)(hooks + record->n_hooks);
	uint32_t *symbols = (void *)(code + record->n_code);
	struct packed_state *states = (void *)(symbols + record->n_symbols);
	char *text = (char *)(states + record->n_states);
	size_t used = 0;

	*header = (struct packed_header){
		.magic = RECORD_MAGIC,
		.version = RECORD_VERSION,
		.size = (uint32_t)size,
		.n_functions = (uint32_t)record->n_functions,
		.n_ranges = (uint32_t)n_ranges,
		.n_hooks = (uint32_t)record->n_hooks,
		.n_symbols = (uint32_t)record->n_symbols,
		.n_code = (uint32_t)record->n_code,
		.n_states = (uint32_t)record->n_states,
		.strings_size = (uint32_t)strings,
		.build_id_size = record->build_id_size,
		.module_build_id_size = record->module_build_id_size,
		.depends_size = record->depends_size,
		.writable_data = record->writable_data,
		.image_base = record->image_base,
		.image_size = record->image_size,
		.pads_size = record->pads_size,
		.text_start = record->text_start,
		.text_end = record->text_end,
		.eh_frame = record->eh_frame,
		.eh_frame_size = record->eh_frame_size,
	};
	memcpy(header->build_id, record->build_id, sizeof(header->build_id));
	memcpy(header->module_build_id, record->module_build_id, sizeof(header->module_build_id));
	memcpy(header->depends, record->depends, sizeof(header->depends));
	header->name = string_put(text, &used, record->name);
	header->version_string = string_put(text, &used, record->version);
	header->description = string_put(text, &used, record->description);
	header->module = string_put(text, &used, record->module);

	for (size_t i = 0; i < record->n_functions; i++) {
		const struct record_function *from = &record->functions[i];
		functions[i] = (struct packed_function){
			.name = string_put(text, &used, from->name),
			.file = string_put(text, &used, from->file),
			.old_address = from->old_address,
			.old_size = from->old_size,
			.new_address = from->new_address,
			.new_size = from->new_size,
			.site = from->site,
			.site_length = from->site_length,
			.n_ranges = (uint32_t)from->n_ranges,
			.pad = from->pad,
			.pad_size = from->pad_size,
			.enterable = from->enterable,
		};
		memcpy(functions[i].original, from->original, RECORD_SITE_MAX);
		memcpy(functions[i].patched, from->patched, RECORD_SITE_MAX);
		if (from->n_ranges)
			memcpy(ranges, from->ranges, from->n_ranges * sizeof(*ranges));
		ranges += from->n_ranges;
	}
	for (size_t i = 0; i < record->n_hooks; i++)
		hooks[i] = (struct packed_hook){.kind = record->hooks[i].kind,
						.address = record->hooks[i].address};
	for (size_t i = 0; i < record->n_code; i++)
		code[i] = (struct packed_code){
			.name = string_put(text, &used, record->code[i].name),
			.address = record->code[i].address,
			.size = record->code[i].size,
		};
	for (size_t i = 0; i < record->n_symbols; i++)
		symbols[i] = string_put(text, &used, record->symbols[i]);
	for (size_t i = 0; i < record->n_states; i++)
		states[i] = (struct packed_state){string_put(text, &used, record->states[i].name),
						  record->states[i].version};
	*ret = bytes;
	*ret_size = size;
	return NULL;
}

static struct usp_error *bad(const char *what)
{
	return usp_errorf(USP_FAILED, "the registry in the target is damaged (%s); usplice leaves it alone",
			  what);
}

/* The string at offset, or NULL for "none"; *ok turns false when it is not wholly inside. */
static const char *string_get(const char *strings, uint32_t size, uint32_t at, bool optional, bool *ok)
{
	if (optional && at == NO_STRING)
		return NULL;
	if (at >= size || !memchr(strings + at, 0, size - at)) {
		*ok = false;
		return "";
	}
	return strings + at;
}

static bool sizes_agree(const struct packed_header *header, size_t size)
{
	uint64_t need = sizeof(*header) + (uint64_t)header->n_functions * sizeof(struct packed_function) +
			(uint64_t)header->n_ranges * sizeof(struct range) +
			(uint64_t)header->n_hooks * sizeof(struct packed_hook) +
			(uint64_t)header->n_code * sizeof(struct packed_code) +
			(uint64_t)header->n_symbols * sizeof(uint32_t) +
			(uint64_t)header->n_states * sizeof(struct packed_state) + header->strings_size;
	return header->size == size && need == size;
}

struct usp_error *record_unpack(const uint8_t *bytes, size_t size, struct record **ret)
{
	if (size < sizeof(struct packed_header) || size > RECORD_SIZE_MAX)
		return bad("a record's size");
	struct packed_header header;
	memcpy(&header, bytes, sizeof(header));
	if (header.magic != RECORD_MAGIC)
		return bad("a record's mark");
	if (header.version != RECORD_VERSION)
		return usp_errorf(USP_UNSUPPORTED,
				  "the registry was written by another version of usplice (record %u, this "
				  "one knows %u)",
				  header.version, RECORD_VERSION);
	if (!sizes_agree(&header, size) || header.build_id_size > 64 || header.module_build_id_size > 64 ||
	    header.depends_size > 64)
		return bad("a record's counts");

	struct record *record = calloc(1, sizeof(*record));
	if (!record)
		return &usp_error_no_memory;
	size_t rest = size - sizeof(header);
	uint8_t *storage = malloc(rest + 1);
	record->storage = storage;
	record->functions = calloc(header.n_functions + 1u, sizeof(*record->functions));
	record->hooks = calloc(header.n_hooks + 1u, sizeof(*record->hooks));
	record->code = calloc(header.n_code + 1u, sizeof(*record->code));
	record->symbols = calloc(header.n_symbols + 1u, sizeof(*record->symbols));
	record->states = calloc(header.n_states + 1u, sizeof(*record->states));
	if (!storage || !record->functions || !record->hooks || !record->code || !record->symbols ||
	    !record->states) {
		record_destroy(record);
		return &usp_error_no_memory;
	}
	memcpy(storage, bytes + sizeof(header), rest);
	const struct packed_function *functions = (void *)storage;
	struct range *ranges = (void *)(storage + header.n_functions * sizeof(*functions));
	const struct packed_hook *hooks = (void *)(ranges + header.n_ranges);
	const struct packed_code *code = (void *)(hooks + header.n_hooks);
	const uint32_t *symbols = (void *)(code + header.n_code);
	const struct packed_state *states = (const void *)(symbols + header.n_symbols);
	const char *strings = (const char *)(states + header.n_states);
	bool ok = true;

	record->name = string_get(strings, header.strings_size, header.name, false, &ok);
	record->version = string_get(strings, header.strings_size, header.version_string, true, &ok);
	record->description = string_get(strings, header.strings_size, header.description, true, &ok);
	record->module = string_get(strings, header.strings_size, header.module, false, &ok);
	memcpy(record->build_id, header.build_id, 64);
	memcpy(record->module_build_id, header.module_build_id, 64);
	memcpy(record->depends, header.depends, 64);
	record->build_id_size = header.build_id_size;
	record->module_build_id_size = header.module_build_id_size;
	record->depends_size = header.depends_size;
	record->writable_data = header.writable_data;
	record->image_base = header.image_base;
	record->image_size = header.image_size;
	record->pads_size = header.pads_size;
	record->text_start = header.text_start;
	record->text_end = header.text_end;
	record->eh_frame = header.eh_frame;
	record->eh_frame_size = header.eh_frame_size;
	record->n_functions = header.n_functions;
	record->n_hooks = header.n_hooks;
	record->n_code = header.n_code;
	for (uint32_t i = 0; i < header.n_code; i++)
		record->code[i] = (struct record_code){
			.name = string_get(strings, header.strings_size, code[i].name, false, &ok),
			.address = code[i].address,
			.size = code[i].size,
		};
	record->n_symbols = header.n_symbols;
	for (uint32_t i = 0; i < header.n_symbols; i++)
		record->symbols[i] = string_get(strings, header.strings_size, symbols[i], false, &ok);
	record->n_states = header.n_states;
	for (uint32_t i = 0; i < header.n_states; i++)
		record->states[i] = (struct record_state){
			string_get(strings, header.strings_size, states[i].name, false, &ok),
			states[i].version};

	uint64_t used_ranges = 0;
	for (uint32_t i = 0; i < header.n_functions && ok; i++) {
		const struct packed_function *from = &functions[i];
		struct record_function *to = &record->functions[i];
		if (from->site_length < 1 || from->site_length > RECORD_SITE_MAX - 1 ||
		    from->n_ranges > header.n_ranges - used_ranges ||
		    from->site + from->site_length < from->site || from->pad + from->pad_size < from->pad) {
			ok = false;
			break;
		}
		*to = (struct record_function){
			.name = string_get(strings, header.strings_size, from->name, false, &ok),
			.file = string_get(strings, header.strings_size, from->file, true, &ok),
			.old_address = from->old_address,
			.old_size = from->old_size,
			.new_address = from->new_address,
			.new_size = from->new_size,
			.site = from->site,
			.site_length = from->site_length,
			.ranges = ranges + used_ranges,
			.n_ranges = from->n_ranges,
			.pad = from->pad,
			.pad_size = from->pad_size,
			.enterable = from->enterable != 0,
		};
		memcpy(to->original, from->original, RECORD_SITE_MAX);
		memcpy(to->patched, from->patched, RECORD_SITE_MAX);
		used_ranges += from->n_ranges;
	}
	for (uint32_t i = 0; i < header.n_hooks; i++)
		record->hooks[i] = (struct record_hook){.kind = hooks[i].kind, .address = hooks[i].address};
	if (!ok || used_ranges != header.n_ranges || strlen(record->name) > 63) {
		record_destroy(record);
		return bad("a record's contents");
	}
	*ret = record;
	return NULL;
}

void record_destroy(struct record *record)
{
	if (!record)
		return;
	free(record->functions);
	free(record->hooks);
	free(record->code);
	free(record->symbols);
	free(record->states);
	free(record->storage);
	free(record);
}
