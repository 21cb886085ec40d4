/* SPDX-License-Identifier: MIT */
/*
 * Whether two linked files are the same program as it is loaded. A stripped program and the file that a rebuild
 * links are twins if they are: then the symbols of the one say where things are in the other. Build-ids are not asked:
 * they cover the debug information, too, which is another one for another version of some header.
 */
#ifndef BUILD_PLACE_TWIN_H
#define BUILD_PLACE_TWIN_H

#include "process/elf/module.h"

/*
 * NULL: they are. USP_MISMATCH: they are not, or that could not be found out; the message is a sentence part that names
 * the first section that differs ("its .text is 64 bytes long, not 60"; "it": the twin).
 */
_must_check_ struct usp_error *twin_check(const struct module *twin, const struct module *target);

#endif
