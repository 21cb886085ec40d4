// SPDX-License-Identifier: MIT
#include "process/unwinder.h"

#include <string.h>

#include "process/callable.h"

#define CALL_TIME_NS 2000000000ull

/* The unwinder is libgcc_s, or libgcc_eh linked into the executable. */
static bool find_entry(const struct session *session, const char *name, uint64_t *address)
{
	for (size_t i = 0; i < session->modules->n; i++) {
		struct module *module = session->modules->v[i];
		struct symbol symbol;
		if (!module->is_main && strncmp(module->name, "libgcc_s", 8))
			continue;
		struct usp_error *error = symbol_find(module, name, NULL, STT_FUNC, &symbol);
		if (!error) {
			*address = symbol.address;
			return true;
		}
		usp_error_destroy(error);
	}
	return false;
}

enum usp_unwind unwinder_look(const struct session *session)
{
	uint64_t in, out;
	return find_entry(session, "__register_frame_info", &in) &&
			       find_entry(session, "__deregister_frame_info", &out)
		       ? USP_UNWIND_REGISTERED
		       : USP_UNWIND_NO_UNWINDER;
}

static struct usp_error *call_unwinder(struct session *session, uint64_t function, uint64_t eh_frame,
				       uint64_t object, uint64_t *result)
{
	struct callable *callable;
	struct usp_error *error = callable_create(session, &callable);
	if (error)
		return error;
	struct remote *remote = NULL;
	error = remote_open(session->target, &session->maps, NULL, &session->registry->header.area,
			    callable_accept, callable, &remote);
	if (!error) {
		const uint64_t args[6] = {eh_frame, object};
		error = remote_call(remote, function, args, 0, now_ns() + CALL_TIME_NS, result);
		struct usp_error *close_error = remote_close(remote);
		if (error)
			usp_error_destroy(close_error);
		else
			error = close_error;
	}
	callable_destroy(callable);
	return error;
}

struct usp_error *unwinder_register(struct session *session, uint64_t eh_frame, uint64_t object,
				    enum usp_unwind *unwind)
{
	uint64_t function, result;
	*unwind = USP_UNWIND_NO_UNWINDER;
	if (!find_entry(session, "__register_frame_info", &function))
		return NULL;
	struct usp_error *error = call_unwinder(session, function, eh_frame, object, &result);
	if (error && error->code == USP_NOT_QUIESCENT) {
		usp_error_destroy(error);
		*unwind = USP_UNWIND_NO_THREAD;
		return NULL;
	}
	if (!error)
		*unwind = USP_UNWIND_REGISTERED;
	return usp_error_prefix(error, "telling the target's unwinder about the new code");
}

struct usp_error *unwinder_deregister(struct session *session, uint64_t eh_frame)
{
	uint64_t function, result;
	if (!find_entry(session, "__deregister_frame_info", &function))
		return usp_errorf(USP_UNSUPPORTED,
				  "the target's libgcc_s that was told about the payload is gone");
	return usp_error_prefix(call_unwinder(session, function, eh_frame, 0, &result),
				"taking the payload out of the target's unwinder");
}
