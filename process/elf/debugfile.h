/* SPDX-License-Identifier: MIT */
/*
 * The separate debug file of a module: by build-id, then by .gnu_debuglink; in the target's root, then in our
 * own. Only a file that proves to belong (same build-id, else the CRC that the link names) is given out.
 */
#ifndef PROCESS_ELF_DEBUGFILE_H
#define PROCESS_ELF_DEBUGFILE_H

#include "process/elf/elffile.h"
#include "process/elf/module.h"

/*
 * *ret: the debug file, or NULL when there is none that belongs. *where (to be freed): a text for messages,
 * the file that was taken or the ones that were looked for. 0 or -ENOMEM.
 */
_must_check_ int debugfile_open(struct module *module, struct elf_file **ret, char **where);

#endif
