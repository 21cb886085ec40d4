// SPDX-License-Identifier: MIT
#include "process/shadow.h"

#include <stddef.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include <usplice/shadow.h>

#include "process/upload.h"

#ifndef MADV_WIPEONFORK
#define MADV_WIPEONFORK 18
#endif

#define LOCK_SIZE offsetof(struct usplice_shadow, table) /* what a forked child gets zeroed */

_Static_assert(LOCK_SIZE == 4096, "the lock has a page of its own");

/* As an upload: noted as pending before, as the shadow data's after; whoever comes later finds one of the two. */
static struct usp_error *make(struct session *session, struct remote *remote, uint64_t at, uint64_t size)
{
	int64_t result;
	struct usp_error *error = registry_set_pending(session->target, session->registry, at, size);
	if (!error)
		error = remote_syscall_ok(
			remote, "mmap", SYS_mmap,
			(const uint64_t[6]){at, size, PROT_READ | PROT_WRITE,
					    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, UINT64_MAX, 0},
			&result);
	if (!error)
		error = remote_syscall_ok(remote, "madvise(MADV_WIPEONFORK)", SYS_madvise,
					  (const uint64_t[6]){at, LOCK_SIZE, MADV_WIPEONFORK}, &result);
	if (!error)
		error = registry_set_shadow(session->target, session->registry, at);
	if (!error)
		return registry_set_pending(session->target, session->registry, 0, 0);
	struct usp_error *clean = session_refresh_maps(session);
	if (!clean)
		clean = upload_recover(session, remote);
	usp_error_destroy(clean);
	return usp_error_prefix(error, "making room for shadow data");
}

struct usp_error *shadow_need(struct session *session, struct remote *remote, const struct plan *plan)
{
	uint64_t at, size = (sizeof(struct usplice_shadow) + 4095) & ~4095ull;
	if (session->registry->header.shadow)
		return NULL;
	struct usp_error *error = plan_find_place(session, plan, size, &at);
	if (!error)
		error = make(session, remote, at, size);
	return error ? error : session_refresh_maps(session);
}
