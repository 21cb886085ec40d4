// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include "payload/info.h"

#include <stdlib.h>
#include <string.h>

const char *payload_name_check(const char *name)
{
	size_t length = strlen(name);
	if (!length)
		return "it is empty";
	if (length > PAYLOAD_NAME_MAX)
		return "it is longer than 63 bytes";
	if (*name == '.' || *name == '-')
		return "it begins with '.' or '-'";
	if (strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._+-") != length)
		return "only letters, digits and . _ + - may be in it";
	return NULL;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

static struct usp_error *read_hex(const char *key, const char *value, uint8_t *buf, uint8_t *size)
{
	size_t length = strlen(value);
	if (!length || length % 2 || length / 2 > PAYLOAD_BUILD_ID_MAX)
		return payload_bad(".usplice.info: %s= has %zu hex digits, not 2 to %u and even", key, length,
				   2 * PAYLOAD_BUILD_ID_MAX);
	for (size_t i = 0; i < length; i += 2) {
		int high = hex_digit(value[i]), low = hex_digit(value[i + 1]);
		if (high < 0 || low < 0)
			return payload_bad(".usplice.info: %s=%s is not hexadecimal", key, value);
		buf[i / 2] = (uint8_t)(high << 4 | low);
	}
	*size = (uint8_t)(length / 2);
	return NULL;
}

enum info_key {
	KEY_FORMAT,
	KEY_NAME,
	KEY_VERSION,
	KEY_DESCRIPTION,
	KEY_TARGET,
	KEY_TARGET_BUILD_ID,
	KEY_DEPENDS,
	KEY_STATE, /* may be there several times */
	KEYS
};

static const char *const key_names[KEYS] = {
	[KEY_FORMAT] = "format",	   [KEY_NAME] = "name",	    [KEY_VERSION] = "version",
	[KEY_DESCRIPTION] = "description", [KEY_TARGET] = "target", [KEY_TARGET_BUILD_ID] = "target-build-id",
	[KEY_DEPENDS] = "depends",	   [KEY_STATE] = "state",
};

/* "NAME:VERSION" */
static struct usp_error *add_state(struct payload *payload, const char *value)
{
	const char *colon = strchr(value, ':'), *end = colon ? colon + 1 : value;
	struct payload_data_state state = {0};
	uint64_t version = 0;
	for (; colon && *end >= '0' && *end <= '9' && version <= UINT32_MAX; end++)
		version = 10 * version + (uint64_t)(*end - '0');
	if (colon && (size_t)(colon - value) <= PAYLOAD_NAME_MAX)
		memcpy(state.name, value, (size_t)(colon - value));
	if (!colon || *end || !version || version > UINT32_MAX || payload_name_check(state.name))
		return payload_bad(".usplice.info: state=%.*s is not NAME:VERSION (1 to %u)",
				   payload_text_cut(value, 80), value, UINT32_MAX);
	state.version = (uint32_t)version;
	for (size_t i = 0; i < payload->n_states; i++)
		if (!strcmp(payload->states[i].name, state.name))
			return payload_bad(".usplice.info: the state %s is there twice", state.name);
	if (payload->n_states == PAYLOAD_STATES_MAX)
		return payload_bad(".usplice.info: more than %d states", PAYLOAD_STATES_MAX);
	struct payload_data_state *grown =
		reallocarray(payload->states, payload->n_states + 1, sizeof(*grown));
	if (!grown)
		return &usp_error_no_memory;
	payload->states = grown;
	payload->states[payload->n_states++] = state;
	return NULL;
}

static struct usp_error *take(struct payload *payload, enum info_key key, const char *value)
{
	switch (key) {
	case KEY_FORMAT:
		if (strcmp(value, "1"))
			return payload_bad(
				".usplice.info: format=%.*s: this usplice knows format %u (use a newer one)",
				payload_text_cut(value, 20), value, PAYLOAD_FORMAT_VERSION);
		return NULL;
	case KEY_NAME: {
		const char *why = payload_name_check(value);
		if (why)
			return payload_bad(".usplice.info: name=%.*s cannot be a payload's name: %s",
					   payload_text_cut(value, 80), value, why);
		memcpy(payload->name, value, strlen(value) + 1);
		return NULL;
	}
	case KEY_VERSION:
		payload->version = value;
		return NULL;
	case KEY_DESCRIPTION:
		payload->description = value;
		return NULL;
	case KEY_TARGET:
		if (!*value || strlen(value) > 255 || strchr(value, '/'))
			return payload_bad(".usplice.info: target=%.*s is not the base name of a file",
					   payload_text_cut(value, 80), value);
		payload->target_name = value;
		return NULL;
	case KEY_TARGET_BUILD_ID:
		return read_hex(key_names[key], value, payload->target_build_id,
				&payload->target_build_id_size);
	case KEY_DEPENDS:
		return read_hex(key_names[key], value, payload->depends, &payload->depends_size);
	case KEY_STATE:
		return add_state(payload, value);
	default:
		return payload_bad(".usplice.info: key %d", (int)key);
	}
}

/* One string: finds its key, refuses a second one of it. */
static struct usp_error *read_string(struct payload *payload, const char *string, unsigned *seen)
{
	const char *equals = strchr(string, '=');
	if (!equals || equals == string)
		return payload_bad(".usplice.info: \"%.*s\" is not key=value", payload_text_cut(string, 80),
				   string);
	size_t length = (size_t)(equals - string);
	if (!strncmp(string, "x-", 2))
		return NULL;
	for (int key = 0; key < KEYS; key++) {
		if (strlen(key_names[key]) != length || memcmp(key_names[key], string, length))
			continue;
		if (*seen & 1u << key && key != KEY_STATE)
			return payload_bad(".usplice.info: %s= is there twice", key_names[key]);
		*seen |= 1u << key;
		return take(payload, key, equals + 1);
	}
	return payload_bad(
		".usplice.info: unknown key %.*s (use a newer usplice, or x-… for keys of your own)",
		length < 80 ? (int)length : payload_text_cut(string, 80), string);
}

struct usp_error *payload_info_read(struct payload *payload, const struct payload_section *section,
				    bool finished)
{
	unsigned seen = 0;
	size_t size = section ? section->size : 0;
	if (section && section->n_relocations)
		return payload_bad(".usplice.info: a relocation, where only text may be");
	for (size_t i = 0; i < size;) {
		const char *string = (const char *)section->data + i;
		size_t length = strnlen(string, size - i);
		if (length == size - i)
			return payload_bad(".usplice.info: the string at 0x%zx is not ended by a NUL", i);
		if (length > PAYLOAD_STRING_MAX)
			return payload_bad(".usplice.info: the string at 0x%zx is longer than %u bytes", i,
					   PAYLOAD_STRING_MAX);
		size_t good = payload_text_check(section->data + i, length);
		if (good != length)
			return payload_bad(".usplice.info: control character or bad UTF-8 at 0x%zx",
					   i + good);
		if (length) {
			struct usp_error *error = read_string(payload, string, &seen);
			if (error)
				return error;
		}
		i += length + 1; /* empty strings are padding */
	}
	if (!finished)
		return NULL;
	if (!(seen & 1u << KEY_FORMAT))
		return payload_bad(".usplice.info: no format= (make the payload with `usplice cc`)");
	if (!payload->target_build_id_size)
		return payload_bad(".usplice.info: no target-build-id= (make the payload with `usplice cc`)");
	return NULL;
}

static struct usp_error *read_note(struct payload *payload, const struct payload_section *s)
{
	Elf64_Nhdr note;
	if (s->size < sizeof(note) + 4)
		return payload_bad("section %s: 0x%llx bytes are too few for a note", s->name,
				   (unsigned long long)s->size);
	memcpy(&note, s->data, sizeof(note));
	if (note.n_namesz != 4 || memcmp(s->data + sizeof(note), "GNU", 4) || note.n_type != NT_GNU_BUILD_ID)
		return payload_bad("section %s: not a GNU build-id note", s->name);
	uint64_t room = s->size - sizeof(note) - 4;
	if (!note.n_descsz || note.n_descsz > PAYLOAD_BUILD_ID_MAX || note.n_descsz > room)
		return payload_bad("section %s: a build-id of %u bytes, not 1 to %u and inside the section",
				   s->name, note.n_descsz, PAYLOAD_BUILD_ID_MAX);
	if (room - note.n_descsz >= 4)
		return payload_bad("section %s: something after the build-id", s->name);
	memcpy(payload->build_id, s->data + sizeof(note) + 4, note.n_descsz);
	payload->build_id_size = (uint8_t)note.n_descsz;
	return NULL;
}

struct usp_error *payload_build_id_read(struct payload *payload, bool finished)
{
	const struct payload_file *file = payload->file;
	for (uint32_t i = 1; i < file->n_sections; i++) {
		if (file->sections[i].kind != PAYLOAD_SECTION_NOTE)
			continue;
		if (payload->build_id_size)
			return payload_bad("section %s (%u): a second build-id", file->sections[i].name, i);
		struct usp_error *error = read_note(payload, &file->sections[i]);
		if (error)
			return error;
	}
	if (finished && !payload->build_id_size)
		return payload_bad("no build-id (.note.gnu.build-id; make the payload with `usplice cc`, or "
				   "ld -r --build-id)");
	return NULL;
}
