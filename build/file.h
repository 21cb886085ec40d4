/* SPDX-License-Identifier: MIT */
/*
 * Whole files in and out. A file that is written over is either the old one or the whole new one, at any
 * moment.
 */
#ifndef BUILD_FILE_H
#define BUILD_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* Reads a regular file of at most max bytes; the caller frees *bytes. */
_must_check_ struct usp_error *file_read(const char *path, size_t max, uint8_t **bytes, size_t *size);

/* Writes path as a whole: a temporary file beside it, renamed when it is complete; removed again on failure.
 */
_must_check_ struct usp_error *file_write(const char *path, const void *bytes, size_t size);

/* A directory with all that is in it; links are not followed. What cannot be removed stays: there is nobody to tell. */
void file_remove_tree(const char *path);

#endif
