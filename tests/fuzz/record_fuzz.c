// SPDX-License-Identifier: MIT
/*
 * Fuzzing what is read of the registry in a target's memory: a payload's record. What is accepted must pack
 * to bytes that are accepted again and say the same.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "process/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct record *record, *again;
	struct usp_error *error = record_unpack(data, size, &record);
	if (error) {
		usp_error_destroy(error);
		return 0;
	}
	uint8_t *bytes;
	size_t packed;
	error = record_pack(record, &bytes, &packed);
	if (!error)
		error = record_unpack(bytes, packed, &again);
	if (error || strcmp(record->name, again->name) || record->n_functions != again->n_functions)
		__builtin_trap();
	free(bytes);
	record_destroy(again);
	record_destroy(record);
	return 0;
}
