// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include "build/capture/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "payload/hash.h"

/* A record: the size of all that follows, the type, the fields. */
#define HEAD (2 * sizeof(uint32_t))

bool capture_record_begin(struct capture_record *record, enum capture_record_type type)
{
	*record = (struct capture_record){0};
	record->f = open_memstream(&record->bytes, &record->size);
	if (!record->f)
		return false;
	capture_record_number(record, 0);
	capture_record_number(record, type);
	return true;
}

void capture_record_number(struct capture_record *record, uint32_t number)
{
	fwrite(&number, sizeof(number), 1, record->f);
}

void capture_record_string(struct capture_record *record, const char *string)
{
	fwrite(string, strlen(string) + 1, 1, record->f);
}

void capture_record_hash(struct capture_record *record, const uint8_t *hash)
{
	fwrite(hash, PAYLOAD_HASH_SIZE, 1, record->f);
}

struct usp_error *capture_record_send(struct capture_record *record, int fd)
{
	bool failed = ferror(record->f);
	failed = fclose(record->f) || failed;
	_cleanup_free_ char *bytes = record->bytes;
	if (failed)
		return &usp_error_no_memory;
	if (record->size > UINT32_MAX)
		return usp_errorf(USP_FAILED, "a command line or a list of inputs of the build is too long");
	uint32_t size = (uint32_t)(record->size - sizeof(size));
	memcpy(bytes, &size, sizeof(size));
	for (size_t sent = 0; sent < record->size;) {
		ssize_t n = write(fd, bytes + sent, record->size - sent);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return usp_error_errno(USP_FAILED, errno, "cannot tell the caller what was built");
		sent += (size_t)n;
	}
	return NULL;
}

struct usp_error *capture_reader_fill(struct capture_reader *reader, int fd, bool *ended)
{
	enum {
		STEP = 65536,
	};
	if (reader->capacity - reader->size < STEP) {
		size_t capacity = 2 * reader->capacity + STEP;
		uint8_t *grown = realloc(reader->bytes, capacity);
		if (!grown)
			return &usp_error_no_memory;
		reader->bytes = grown;
		reader->capacity = capacity;
	}
	ssize_t n = read(fd, reader->bytes + reader->size, reader->capacity - reader->size);
	if (n < 0 && errno != EINTR && errno != EAGAIN)
		return usp_error_errno(USP_FAILED, errno, "cannot read what was built");
	*ended = n == 0;
	reader->size += n > 0 ? (size_t)n : 0;
	return NULL;
}

bool capture_reader_next(const struct capture_reader *reader, struct capture_fields *fields, size_t *taken)
{
	uint32_t head[2];
	if (reader->size < HEAD)
		return false;
	memcpy(head, reader->bytes, HEAD);
	size_t size = sizeof(uint32_t) + head[0];
	if (reader->size < size)
		return false;
	*taken = size;
	*fields = (struct capture_fields){
		.type = head[1],
		.at = reader->bytes + HEAD,
		.end = reader->bytes + size,
		.bad = size < HEAD,
	};
	return true;
}

void capture_reader_drop(struct capture_reader *reader, size_t taken)
{
	reader->size -= taken;
	memmove(reader->bytes, reader->bytes + taken, reader->size);
}

static bool has(struct capture_fields *fields, size_t n)
{
	if (fields->bad || (size_t)(fields->end - fields->at) < n)
		fields->bad = true;
	return !fields->bad;
}

uint32_t capture_fields_number(struct capture_fields *fields)
{
	uint32_t ret = 0;
	if (has(fields, sizeof(ret))) {
		memcpy(&ret, fields->at, sizeof(ret));
		fields->at += sizeof(ret);
	}
	return ret;
}

const char *capture_fields_string(struct capture_fields *fields)
{
	const char *ret = (const char *)fields->at;
	const uint8_t *end = has(fields, 1) ? memchr(ret, '\0', (size_t)(fields->end - fields->at)) : NULL;
	if (!end) {
		fields->bad = true;
		return "";
	}
	fields->at = end + 1;
	return ret;
}

void capture_fields_hash(struct capture_fields *fields, uint8_t *hash)
{
	memset(hash, 0, PAYLOAD_HASH_SIZE);
	if (has(fields, PAYLOAD_HASH_SIZE)) {
		memcpy(hash, fields->at, PAYLOAD_HASH_SIZE);
		fields->at += PAYLOAD_HASH_SIZE;
	}
}
