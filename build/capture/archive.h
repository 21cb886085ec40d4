/* SPDX-License-Identifier: MIT */
/*
 * The members of an archive (ar), regular or thin: each one's name, content and, of a thin archive, file.
 * libelf does not read thin archives, so both are read here. The archive is hostile until checked.
 */
#ifndef BUILD_CAPTURE_ARCHIVE_H
#define BUILD_CAPTURE_ARCHIVE_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct capture_member {
	const char *name;
	/* Of a regular archive: in its bytes. */
	const uint8_t *bytes;
	size_t size;
	/*
	 * Of a thin one (bytes is NULL): name is a file, from the archive's directory. If nested is not 0, that is
	 * an archive, and the member is what has its header at this offset of it.
	 */
	uint64_t nested;
};

typedef struct usp_error *capture_member_fn(void *context, const struct capture_member *member);

/* path is for messages. Symbol tables and name tables are no members. USP_BAD_PAYLOAD: broken. */
_must_check_ struct usp_error *capture_archive_each(const char *path, const uint8_t *bytes, size_t size,
						    capture_member_fn *fn, void *context);
/* The one whose header is at this offset of a regular archive. */
_must_check_ struct usp_error *capture_archive_at(const char *path, const uint8_t *bytes, size_t size,
						  uint64_t offset, capture_member_fn *fn, void *context);

#endif
