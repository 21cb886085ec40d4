/* SPDX-License-Identifier: MIT */
/*
 * The time that the builds think it is: SOURCE_DATE_EPOCH, which gcc and clang take for __DATE__ and __TIME__. Without it an
 * object that has them, and that some builds compile anew each time, would differ between the builds, and not by the patch.
 */
#ifndef BUILD_PATCH_EPOCH_H
#define BUILD_PATCH_EPOCH_H

#include "base/error.h"

/*
 * "SOURCE_DATE_EPOCH=SECONDS", the caller's to free: the time of debian/changelog's newest entry, as dpkg-buildpackage sets
 * it, else when the target was written. NULL in *ret: the environment has one.
 */
_must_check_ struct usp_error *epoch_word(const char *source, const char *target, char **ret);

#endif
