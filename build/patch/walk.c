// SPDX-License-Identifier: MIT
#include "build/patch/walk.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

FTS *walk_open(const char *directory)
{
	char *const paths[] = {(char *)directory, NULL};
	return fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
}

FTSENT *walk_next(FTS *tree)
{
	FTSENT *entry;
	errno = 0;
	while ((entry = fts_read(tree))) {
		if (entry->fts_info == FTS_D && !strcmp(entry->fts_name, ".git"))
			fts_set(tree, entry, FTS_SKIP);
		if (entry->fts_info == FTS_F)
			return entry;
		if (entry->fts_info == FTS_DNR || entry->fts_info == FTS_ERR || entry->fts_info == FTS_NS) {
			errno = entry->fts_errno;
			return NULL;
		}
		errno = 0;
	}
	return NULL;
}

struct usp_error *walk_end(FTS *tree, const char *directory, struct usp_error *error)
{
	int number = errno;
	fts_close(tree);
	return error || !number ? error
				: usp_error_errno(USP_FAILED, number, "cannot look through %s", directory);
}
