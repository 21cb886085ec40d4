/* SPDX-License-Identifier: MIT */
/*
 * The records of a payload, out of its .usplice.* sections: functions, hooks, source files of symbols.
 * Layouts: <usplice/payload.h>.
 */
#ifndef PAYLOAD_RECORDS_H
#define PAYLOAD_RECORDS_H

#include "payload/file.h"

/* Fills in functions, hooks (by kind, in link order) and the file's symbols[].file. file->relocations are
 * read. */
_must_check_ struct usp_error *payload_records_read(struct payload *payload, bool finished);

/* The record section `name` (it is there once at most: checked by payload_records_read()), or NULL. */
const struct payload_section *payload_records_section(const struct payload_file *file, const char *name);

#endif
