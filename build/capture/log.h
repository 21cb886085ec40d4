/* SPDX-License-Identifier: MIT */
/*
 * What the helper process tells the caller: one record for each object and each link, and one at the end,
 * over a stream. Everything in a record is written and read by field, in order.
 */
#ifndef BUILD_CAPTURE_LOG_H
#define BUILD_CAPTURE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/error.h"

enum capture_record_type {
	CAPTURE_RECORD_OBJECT = 1, /* hash, path, directory, command, tool */
	CAPTURE_RECORD_LINK,	   /* hash, path, tool, relocatable, n, n of: hash, path */
	CAPTURE_RECORD_END,	   /* status as waitpid(): the build ran */
	CAPTURE_RECORD_NO_START,   /* errno: the command could not be run */
	CAPTURE_RECORD_ERROR,	   /* code, errno, message: the capture failed, the build was ended */
};

/* ---- writing ---- */

struct capture_record {
	FILE *f;
	char *bytes;
	size_t size;
};

_must_check_ bool capture_record_begin(struct capture_record *record, enum capture_record_type type);
void capture_record_number(struct capture_record *record, uint32_t number);
void capture_record_string(struct capture_record *record, const char *string);
void capture_record_hash(struct capture_record *record, const uint8_t *hash);
/* Sends it, and frees it in any case. */
_must_check_ struct usp_error *capture_record_send(struct capture_record *record, int fd);

/* ---- reading ---- */

struct capture_reader {
	uint8_t *bytes; /* what came and was not read yet */
	size_t size, capacity;
};

/* A record, while its reader is not used; fields that are not there read as 0 and "", and set bad. */
struct capture_fields {
	enum capture_record_type type;
	const uint8_t *at, *end;
	bool bad;
};

/* Takes what has come on fd. *ended: nothing will any more. */
_must_check_ struct usp_error *capture_reader_fill(struct capture_reader *reader, int fd, bool *ended);
/* The next whole record, or false. Its size goes into *taken, for capture_reader_drop(). */
bool capture_reader_next(const struct capture_reader *reader, struct capture_fields *fields, size_t *taken);
void capture_reader_drop(struct capture_reader *reader, size_t taken);
uint32_t capture_fields_number(struct capture_fields *fields);
const char *capture_fields_string(struct capture_fields *fields);
void capture_fields_hash(struct capture_fields *fields, uint8_t *hash);

#endif
