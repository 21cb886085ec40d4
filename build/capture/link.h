/* SPDX-License-Identifier: MIT */
/*
 * What a linker is offered, by its command line: objects, the members of archives, libraries by -l, what
 * linker scripts name. Errs towards too much: a word that is an option's argument and happens to name an
 * object counts.
 */
#ifndef BUILD_CAPTURE_LINK_H
#define BUILD_CAPTURE_LINK_H

#include "build/capture/capture.h"
#include "build/capture/tool.h"

/*
 * The caller frees with capture_inputs_free(), also after an error. A library that no -L directory has is
 * not among them: it is found in the linker's own directories, where nothing lies that the build has made.
 */
_must_check_ struct usp_error *capture_link_inputs(const struct capture_tool *tool,
						   struct capture_input **inputs, size_t *n);
void capture_inputs_free(struct capture_input *inputs, size_t n);

#endif
