// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include "build/capture/archive.h"

#include <ar.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define MAGIC_SIZE 8
#define BSD_NAME   "#1/" /* the name's length follows; the name is in front of the content */

struct archive {
	const char *path;
	const uint8_t *bytes;
	size_t size;
	bool thin;
	const char *names; /* the table of long names */
	size_t names_size;
};

#define archive_bad(archive, at, what) \
	usp_errorf(USP_BAD_PAYLOAD, "%s is broken: %s at offset %zu", (archive)->path, what, (size_t)(at))

/* A decimal number that fills the field up to spaces. False: there is none, or something else with it. */
static bool number(const char *field, size_t width, uint64_t *ret)
{
	size_t i = 0;
	*ret = 0;
	for (; i < width && field[i] >= '0' && field[i] <= '9'; i++) {
		if (*ret > (UINT64_MAX - 9) / 10)
			return false;
		*ret = *ret * 10 + (uint64_t)(field[i] - '0');
	}
	if (!i)
		return false;
	while (i < width && field[i] == ' ')
		i++;
	return i == width;
}

/* "/123": from 123 of the name table up to "/\n". "/123:456": the member at 456 of that archive. */
static struct usp_error *long_name(const struct archive *archive, size_t at, const char *field, size_t width,
				   char **name, uint64_t *nested)
{
	const char *colon = memchr(field, ':', width);
	uint64_t from;
	if (!number(field, colon ? (size_t)(colon - field) : width, &from) ||
	    (colon && !number(colon + 1, width - (size_t)(colon + 1 - field), nested)) ||
	    from >= archive->names_size)
		return archive_bad(archive, at, "a member's name");
	const char *text = archive->names + from;
	const char *end = memchr(text, '\n', archive->names_size - from);
	if (!end)
		return archive_bad(archive, at, "a member's name");
	if (end > text && end[-1] == '/')
		end--;
	*name = strndup(text, (size_t)(end - text));
	return *name ? NULL : &usp_error_no_memory;
}

/* Takes the member at `at`; *next: where the next one begins. fn NULL: only looks for the name table. */
static struct usp_error *take(struct archive *archive, size_t at, size_t *next, capture_member_fn *fn,
			      void *context)
{
	struct ar_hdr header;
	if (at > archive->size || archive->size - at < sizeof(header))
		return archive_bad(archive, at, "a member's header");
	memcpy(&header, archive->bytes + at, sizeof(header));
	uint64_t size;
	if (memcmp(header.ar_fmag, ARFMAG, sizeof(header.ar_fmag)) != 0 ||
	    !number(header.ar_size, sizeof(header.ar_size), &size))
		return archive_bad(archive, at, "a member's header");

	const char *field = header.ar_name;
	bool names = !memcmp(field, "// ", 3);
	bool special = names || !memcmp(field, "/ ", 2) || !memcmp(field, "/SYM64/ ", 8) ||
		       !memcmp(field, "__.SYMDEF", 9);
	size_t begin = at + sizeof(header);
	size_t held = archive->thin && !special ? 0 : (size_t)size;
	if (held > archive->size - begin)
		return archive_bad(archive, at, "a member that is longer than the archive");
	*next = begin + held;
	*next += *next & 1 &&
		 *next < archive->size; /* to an even place; the last one's padding may be left out */
	if (names) {
		archive->names = (const char *)archive->bytes + begin;
		archive->names_size = held;
	}
	if (special || !fn)
		return NULL;

	_cleanup_free_ char *name = NULL;
	struct capture_member member = {0};
	uint64_t name_size = 0;
	if (!memcmp(field, BSD_NAME, strlen(BSD_NAME)) && !archive->thin) {
		if (!number(field + 3, sizeof(header.ar_name) - 3, &name_size) || name_size > held)
			return archive_bad(archive, at, "a member's name");
		name = strndup((const char *)archive->bytes + begin, (size_t)name_size);
	} else if (field[0] == '/') {
		struct usp_error *error =
			long_name(archive, at, field + 1, sizeof(header.ar_name) - 1, &name, &member.nested);
		if (error)
			return error;
	} else {
		size_t length = 0;
		while (length < sizeof(header.ar_name) && field[length] != '/')
			length++;
		while (length && field[length - 1] == ' ')
			length--;
		name = strndup(field, length);
	}
	if (!name)
		return &usp_error_no_memory;
	if (member.nested && !archive->thin)
		return archive_bad(archive, at, "a member's name");
	/* "__.SYMDEF" and kin with a long name: a symbol table, too. */
	if (name_size && !strncmp(name, "__.SYMDEF", 9))
		return NULL;
	member.name = name;
	if (!archive->thin) {
		member.bytes = archive->bytes + begin + name_size;
		member.size = held - (size_t)name_size;
	}
	return fn(context, &member);
}

static struct usp_error *archive_open(const char *path, const uint8_t *bytes, size_t size,
				      struct archive *ret)
{
	*ret = (struct archive){.path = path, .bytes = bytes, .size = size};
	if (size < MAGIC_SIZE ||
	    (memcmp(bytes, "!<arch>\n", MAGIC_SIZE) != 0 && memcmp(bytes, "!<thin>\n", MAGIC_SIZE) != 0))
		return usp_errorf(USP_BAD_PAYLOAD, "%s is no archive", path);
	ret->thin = bytes[2] == 't';
	return NULL;
}

static struct usp_error *walk(struct archive *archive, capture_member_fn *fn, void *context)
{
	struct usp_error *error = NULL;
	for (size_t at = MAGIC_SIZE; !error && at < archive->size;)
		error = take(archive, at, &at, fn, context);
	return error;
}

struct usp_error *capture_archive_each(const char *path, const uint8_t *bytes, size_t size,
				       capture_member_fn *fn, void *context)
{
	struct archive archive;
	struct usp_error *error = archive_open(path, bytes, size, &archive);
	return error ? error : walk(&archive, fn, context);
}

struct usp_error *capture_archive_at(const char *path, const uint8_t *bytes, size_t size, uint64_t offset,
				     capture_member_fn *fn, void *context)
{
	struct archive archive;
	size_t next;
	struct usp_error *error = archive_open(path, bytes, size, &archive);
	if (!error && archive.thin)
		error = usp_errorf(USP_UNSUPPORTED, "%s is a thin archive that a thin archive refers into",
				   path);
	if (!error)
		error = walk(&archive, NULL, NULL);
	return error ? error : take(&archive, (size_t)offset, &next, fn, context);
}
