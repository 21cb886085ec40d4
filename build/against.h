/* SPDX-License-Identifier: MIT */
/*
 * What a payload is built against: an ELF file, or a running process and one of its modules.
 */
#ifndef BUILD_AGAINST_H
#define BUILD_AGAINST_H

#include <usplice/build.h>

#include "payload/payload.h"
#include "process/elf/symbols.h"

struct against {
	struct target *target; /* NULL: a file */
	struct maps maps;
	struct modules *modules; /* of the process, or NULL */
	struct module *file;	 /* of the file, or NULL */
	struct module *module;	 /* the one that is patched; one of the above; NULL until against_choose() */
	char *name; /* for messages: "/usr/bin/x" or "libz.so.1 of process 42"; of the module once chosen */
};

_must_check_ struct usp_error *against_open(const struct usp_cc_options *options, struct against *ret);
void against_close(struct against *against);

/*
 * Chooses the module: the file; of a process the one that options->module names, else the one that has every
 * function of the payload (none and several are refused). One without a build-id is refused.
 */
_must_check_ struct usp_error *against_choose(struct against *against, const struct usp_cc_options *options,
					      const struct payload *payload);

/*
 * The function of module that a record means, by name or by address (ret->name is "" when it has none).
 * USP_NOT_FOUND, USP_AMBIGUOUS.
 */
_must_check_ struct usp_error *
against_find_function(struct module *module, const struct payload_function *function, struct symbol *ret);

#endif
