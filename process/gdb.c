// SPDX-License-Identifier: MIT
/*
 * What gdb must be told: payload images are small ELF objects in the target's memory, as the vdso is, and gdb
 * reads those from there.
 */
#include <usplice/list.h>

#include "process/session.h"

struct usp_error *usp_print_gdb(struct usp_process *process, FILE *out)
{
	struct session *session;
	struct usp_error *error = session_open_registry(process, &session);
	if (error)
		return error;
	fprintf(out,
		"# gdb commands for the payloads in process %d; use: usplice gdb --pid %d > FILE; gdb -p %d "
		"-x FILE\n",
		session->target->pid, session->target->pid, session->target->pid);
	fprintf(out, "set confirm off\n");
	for (int i = 0; i < REGISTRY_PAYLOADS_MAX; i++)
		if (session->registry->records[i])
			fprintf(out, "add-symbol-file-from-memory 0x%lx\n",
				session->registry->records[i]->image_base);
	session_close(session);
	return NULL;
}
